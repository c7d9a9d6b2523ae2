// Writes an event file of a job that never was: two devices, blocks that wait
// for other streams, snapshots that correct what events did not tell, and an
// out-of-memory. Which blocks are alive and what torch would count of them is
// kept in a map beside it.
//
// usage: invact_make_events FILE SEED STEPS
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "plugin/events/event_file.h"

namespace invact {
namespace {

using enum EventKind;

constexpr uint32_t kScopes = 12, kSites = 20;

struct Device {
  struct Block {
    int64_t bytes;
    bool awaiting;
  };
  std::map<uint64_t, Block> blocks;
  int64_t reserved = 0;
  uint64_t next = 0x7f0000000000;
};

class Maker {
 public:
  Maker(EventFileWriter* file, unsigned seed) : file_(file), random_(seed) {}

  void Job(uint32_t steps) {
    for (int device : {0, 1}) Baseline(device, 20);
    for (step_ = 0; step_ < steps; ++step_) Step();
    Tell(0, kOom, 0, int64_t{5} << 30, 1, 1 << 20);
    for (int i = 0; i < 3; ++i) Free(0);
  }

 private:
  int64_t Draw(int64_t below) {
    return std::uniform_int_distribution<int64_t>(0, below - 1)(random_);
  }
  Device& At(int device) { return devices_[static_cast<size_t>(device)]; }

  void Tell(int device, EventKind kind, uint64_t address = 0, int64_t bytes = 0,
            uint32_t site = kNoSite, uint64_t stream = 0, uint8_t action = 0) {
    Record event = {};
    event.time_ns = now_ns_ += static_cast<uint64_t>(1 + Draw(5000));
    event.address = address;
    event.bytes = bytes;
    event.stream = stream;
    event.site = site;
    event.step = step_;
    event.kind = static_cast<uint8_t>(kind);
    event.device = static_cast<int8_t>(device);
    event.action = action;
    event.thread = 42;
    file_->Append(event);
  }

  uint64_t Alloc(int device, uint32_t scope) {
    Device& at = At(device);
    const int64_t bytes = 1 + Draw(Draw(4) == 0 ? 3 << 20 : 20000);
    // Half of the addresses were somebody's before.
    if (Draw(2) == 0) at.next = 0x7f0000000000;
    while (at.blocks.count(at.next) != 0) at.next += 4 << 20;
    if (Draw(6) == 0) {
      at.reserved += 4 << 20;
      Tell(device, kSegmentAlloc, at.next, 4 << 20);
    }
    at.blocks[at.next] = {bytes, false};
    Tell(device, kAlloc, at.next, bytes, scope);
    return at.next;
  }

  void Free(int device) {
    Device& at = At(device);
    if (at.blocks.empty()) return;
    auto block = at.blocks.begin();
    std::advance(block, Draw(static_cast<int64_t>(at.blocks.size())));
    const uint64_t address = block->first;
    const int64_t bytes = block->second.bytes;
    if (!block->second.awaiting) {
      Tell(device, EventKind::kFree, address, bytes);
      block->second.awaiting = true;
      if (Draw(8) == 0) return;  // another stream still uses it
    }
    Tell(device, kFreeCompleted, address, bytes);
    at.blocks.erase(block);
    if (Draw(10) == 0 && at.reserved > 8 << 20) {
      at.reserved -= 4 << 20;
      Tell(device, kSegmentFree, address, 4 << 20);
    }
  }

  void Label(int device, uint64_t address, MemoryCategory category,
             uint32_t scope, bool site) {
    // A call site belongs to one scope.
    const uint64_t number =
        1 + scope + kScopes * static_cast<uint64_t>(Draw(2));
    Tell(device, kLabel, address, 0, scope,
         site && scope != kNoSite && number <= kSites ? number + 1 : 0,
         static_cast<uint8_t>(category));
  }

  void Mark(EventKind kind) {
    const bool stats =
        kind == kStepBegin || kind == kBackwardBegin || kind == kStepEnd;
    for (int device : {0, 1}) {
      Tell(device, kind);
      if (!stats || Draw(8) == 0) continue;  // torch's could not be had
      int64_t allocated = 0, requested = 0;
      for (const auto& [address, block] : At(device).blocks) {
        requested += block.bytes;
        if (!block.awaiting) allocated += (block.bytes + 511) / 512 * 512;
      }
      Tell(device, kAllocatorStats, static_cast<uint64_t>(At(device).reserved),
           allocated, kNoSite, static_cast<uint64_t>(requested));
    }
  }

  // `more`: blocks that no event told of.
  void Baseline(int device, int more) {
    Device& at = At(device);
    for (int i = 0; i < more; ++i) {
      at.blocks[(uint64_t{1} << 44) + (number_++ << 20)] = {1 + Draw(1 << 19),
                                                            Draw(9) == 0};
    }
    at.reserved += int64_t{more} << 20;
    Tell(device, kBaselineBegin);
    Tell(device, kBaselineSegment, 1 << 20, at.reserved);
    for (const auto& [address, block] : at.blocks) {
      Tell(device, block.awaiting ? kBaselineAwaiting : kBaselineBlock, address,
           block.bytes);
    }
    Tell(device, kBaselineEnd);
  }

  void Step() {
    if (Draw(4) != 0) Mark(kForwardBegin);
    for (int i = 0; i < 3; ++i) Alloc(int(Draw(2)), uint32_t(Draw(kScopes)));
    Mark(kStepBegin);
    for (int i = 0; i < 60; ++i) {
      const int device = Draw(3) == 0;
      const uint32_t scope = Draw(6) == 0 ? kNoSite : uint32_t(Draw(kScopes));
      const uint64_t address = Alloc(device, scope);
      if (Draw(3) == 0) Free(device);
      if (At(device).blocks.count(address) == 0) continue;
      static constexpr MemoryCategory kSaved[] = {
          MemoryCategory::kActivation, MemoryCategory::kActivation,
          MemoryCategory::kInput, MemoryCategory::kWeightCopy};
      if (Draw(2) == 0) {
        Label(device, address, kSaved[Draw(4)], scope, Draw(3) != 0);
      } else if (step_ == 0 && Draw(3) == 0) {
        Label(device, address, MemoryCategory::kParameter, kNoSite, false);
      }
    }
    Mark(kBackwardBegin);
    for (int i = 0; i < 50; ++i) {
      const int device = Draw(3) == 0;
      if (Draw(3) == 0) {
        Label(device, Alloc(device, kNoSite), MemoryCategory::kGradient,
              kNoSite, false);
      } else {
        Free(device);
      }
    }
    Mark(kStepEnd);
    Mark(kOptimizerBegin);
    for (int i = 0; i < 10; ++i) {
      if (step_ == 0 || Draw(2) == 0) Alloc(int(Draw(2)), kNoSite);
      if (Draw(2) == 0) Free(int(Draw(2)));
    }
    Mark(kOptimizerEnd);
    if (Draw(5) == 0) Baseline(int(Draw(2)), 2);
  }

  EventFileWriter* const file_;
  std::mt19937 random_;
  Device devices_[2];
  uint64_t now_ns_ = 1'000'000'000;
  uint64_t number_ = 0;
  uint32_t step_ = 0;
};

}  // namespace
}  // namespace invact

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s FILE SEED STEPS\n", argv[0]);
    return 2;
  }
  invact::EventFileWriter file;
  std::string error;
  if (!file.Open(argv[1], 1 << 20, &error)) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 1;
  }
  invact::Maker(&file, static_cast<unsigned>(std::atoi(argv[2])))
      .Job(static_cast<uint32_t>(std::atoi(argv[3])));
  std::vector<std::string> scopes = {""};
  for (uint32_t i = 1; i < invact::kScopes; ++i) {
    scopes.push_back("model.layers." + std::to_string(i));
  }
  file.Close(scopes);
  return 0;
}
