// Plays an event file and prints the account of each device as one JSON line.
// usage: invact_replay_events FILE
#include <cstdio>

#include "plugin/events/event_file.h"
#include "plugin/events/replay.h"

namespace {

void Print(const char* key, const invact::ByCategory& bytes) {
  std::printf("\"%s\": {", key);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const std::string name(Name(static_cast<invact::MemoryCategory>(i)));
    std::printf("%s\"%s\": %ld", i == 0 ? "" : ", ", name.c_str(), bytes[i]);
  }
  std::printf("}");
}

void Print(int index, const invact::DeviceReplay& device) {
  const invact::MemoryAccount& account = device.account;
  const invact::Oddities& odd = account.oddities();
  std::printf(
      "{\"device\": %d, \"live\": %ld, \"awaiting\": %ld, \"reserved\": %ld, "
      "\"mismatches\": %ld, \"unknown_frees\": %ld, \"missed_frees\": %ld, "
      "\"corrected\": %ld, \"marks\": ",
      index, account.live_bytes(), account.awaiting_bytes(),
      account.reserved_bytes(), odd.mismatches, odd.unknown_frees,
      odd.missed_frees, odd.corrected);
  int marks = 0;
  for (const invact::StepMemory& step : device.steps) {
    marks += step.backward.torch.allocated != invact::kUnknown;
    marks += step.end.torch.allocated != invact::kUnknown;
  }
  std::printf("%d, ", marks);
  Print("now", account.by_category());
  std::printf(", \"steps\": [");
  for (size_t i = 0; i < device.steps.size(); ++i) {
    const invact::StepMemory& step = device.steps[i];
    std::printf(
        "%s{\"step\": %ld, \"peak\": %ld, \"peak_reserved\": %ld, "
        "\"allocations\": %ld, \"end_allocated\": %ld, \"end_rounding\": %ld, ",
        i == 0 ? "" : ", ", step.step, step.peak_bytes, step.peak_reserved,
        step.allocations, step.end.torch.allocated, step.end.torch.rounding);
    Print("at_backward", step.backward.bytes);
    std::printf(", ");
    Print("at_peak", step.at_peak);
    std::printf("}");
  }
  std::printf("]}\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FILE\n", argv[0]);
    return 2;
  }
  invact::EventFile file;
  std::string error;
  if (!invact::ReadEventFile(argv[1], &file, &error)) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 1;
  }
  for (const auto& [index, device] : invact::Replay(file.events)) {
    Print(index, *device);
  }
  return 0;
}
