#include "plugin/log.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <mutex>

#include "plugin/checkpoint/region.h"

namespace invact {

namespace {

struct Voice {
  std::mutex mutex;
  std::vector<std::string> things;
  std::vector<std::string> said;
  std::vector<std::string> complaints;
  std::vector<std::string> waiting;  // trouble
  bool began = false;                // a tensor was saved
  int32_t rank = 0;
  bool quiet = false;  // INVACT_LOG=error: trouble only
  void (*write_line)(const char*, unsigned long) = nullptr;
};
Voice& Log() {
  static auto* voice = new Voice;  // still there at exit
  return *voice;
}

// One line, whatever the text is: an error of torch's goes on with a C++ stack.
void WriteLine(const std::string& text) {
  std::string line = "invact: " + text.substr(0, text.find('\n'));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = '?';
  }
  line += '\n';
  if (Log().write_line != nullptr) Log().write_line(line.data(), line.size());
}

// "3.1 of 7.9 GiB": both in the unit of the second.
std::string Pair(int64_t part, int64_t whole) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  double scale = 1;
  while (unit < 4 && static_cast<double>(whole) / scale >= 1024) {
    scale *= 1024;
    ++unit;
  }
  char text[64];
  std::snprintf(text, sizeof(text),
                unit == 0 ? "%.0f of %.0f %s" : "%.1f of %.1f %s",
                static_cast<double>(part) / scale,
                static_cast<double>(whole) / scale, kUnits[unit]);
  return text;
}

std::string PolicyRemark(const Config& config) {
  switch (config.policy) {
    case Policy::kInvert:
      return config.exact
                 ? " (exact: GELU and SiLU are left alone, which saves "
                   "nothing; INVACT_POLICY=rebuild does, bit-equal)"
             : config.bits_in_mantissa
                 ? " (negative outputs of activations that keep a bit change "
                   "by at most their last place, gradients by rounding; "
                   "INVACT_BITS=packed leaves outputs as they are)"
                 : " (gradients of inverted activations differ by rounding; "
                   "INVACT_POLICY=observe changes nothing)";
    case Policy::kObserve:
      return " (nothing is changed)";
    case Policy::kRebuild:
      return config.verify
                 ? " (outputs of cheap ops are computed again in backward, and "
                   "kept to be compared: INVACT_VERIFY=1 saves no memory)"
                 : " (outputs of cheap ops are computed again in backward; "
                   "gradients bit-equal)";
    case Policy::kAuto:
      return config.exact
                 ? " (exact: outputs of cheap ops are computed again in "
                   "backward; gradients bit-equal)"
                 : " (outputs of cheap ops are computed again in backward; "
                   "gradients of inverted activations differ by rounding; "
                   "INVACT_EXACT=1 keeps them bit-equal)";
    case Policy::kCheckpoint:
      return Checkpointing()
                 ? " (blocks are computed again in backward; gradients "
                   "bit-equal)"
                 : " (Python jobs only: observing, nothing is changed)";
    case Policy::kNone:
      break;
  }
  return "";
}

}  // namespace

void ConfigureLog(const Config& config,
                  const std::vector<std::string>& complaints,
                  void (*write_line)(const char*, unsigned long)) noexcept {
  Voice& log = Log();
  log.write_line = write_line;
  log.rank = config.rank;
  log.quiet = config.log == Config::Log::kError;
  log.complaints = complaints;
}

void SayTrouble(const std::string& thing, const std::string& text) noexcept {
  Voice& log = Log();
  std::string line;
  {
    std::lock_guard lock(log.mutex);
    if (std::find(log.things.begin(), log.things.end(), thing) !=
        log.things.end()) {
      return;
    }
    log.things.push_back(thing);
    log.said.push_back(text);
    if (log.rank != 0) line = "rank " + std::to_string(log.rank) + ": ";
    line += text;
    if (!log.began) {
      log.waiting.push_back(line);
      return;
    }
  }
  WriteLine(line);
}

void SayLine(const std::string& text) noexcept { WriteLine(text); }

std::vector<std::string> TroubleSaid(size_t from) noexcept {
  Voice& log = Log();
  std::lock_guard lock(log.mutex);
  if (from >= log.said.size()) return {};
  return {log.said.begin() + static_cast<ptrdiff_t>(from), log.said.end()};
}

void SayWhatWaits() noexcept {
  Voice& log = Log();
  std::vector<std::string> lines, trouble;
  {
    std::lock_guard lock(log.mutex);
    log.began = true;
    if (log.rank == 0) lines.swap(log.complaints);
    trouble.swap(log.waiting);
  }
  for (const std::string& line : lines) WriteLine(line);
  for (const std::string& line : trouble) WriteLine(line);
}

void SayStart(const Config& config, const std::string& run_id) noexcept {
  SayWhatWaits();
  const Voice& log = Log();
  if (log.rank != 0 || log.quiet) return;
  WriteLine("run " + run_id.substr(0, 4) + ", policy " + config.policy_name +
            PolicyRemark(config));
}

void SayEnd(const Config&, const std::string& run_id, int64_t baseline_bytes,
            int64_t held_bytes, bool complete) noexcept {
  Voice& log = Log();
  if (log.rank != 0 || log.quiet) return;
  const std::string id = run_id.substr(0, 4);
  const int64_t eliminated = baseline_bytes - held_bytes;
  char share[32] = "";
  if (baseline_bytes > 0) {
    const auto percent = std::lround(-100.0 * static_cast<double>(eliminated) /
                                     static_cast<double>(baseline_bytes));
    std::snprintf(share, sizeof(share), " (%s%ld %%, measured)",
                  percent > 0 ? "+" : "", percent);
  }
  WriteLine("run " + id + " saved " + Pair(eliminated, baseline_bytes) + share +
            (complete ? "" : ", in a step that was not completed") +
            "; next: invact report " + id);
}

}  // namespace invact
