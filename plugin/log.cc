#include "plugin/log.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>

namespace invact {

namespace {

struct Voice {
  std::mutex mutex;
  std::vector<std::string> things;
  std::vector<std::string> said;
  std::vector<std::string> complaints;
  int32_t rank = 0;
  bool quiet = false;  // INVACT_LOG=error: trouble only
};
Voice& Log() {
  static auto* voice = new Voice;  // still there at exit
  return *voice;
}

void WriteLine(const std::string& text) {
  const std::string line = "invact: " + text + "\n";
  // A job that closed its stderr gets no line.
  [[maybe_unused]] const ssize_t n = write(2, line.data(), line.size());
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
      return config.exact ? " (exact: GELU and SiLU are left alone; gradients "
                            "bit-equal)"
                          : " (GELU/SiLU gradients differ by rounding; "
                            "INVACT_POLICY=observe changes nothing)";
    case Policy::kObserve:
      return " (nothing is changed)";
    default:
      return " (not in this version: observing only, nothing is changed)";
  }
}

}  // namespace

void ConfigureLog(const Config& config,
                  const std::vector<std::string>& complaints) noexcept {
  Voice& log = Log();
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
  }
  WriteLine(line + text);
}

std::vector<std::string> TroubleSaid() noexcept {
  Voice& log = Log();
  std::lock_guard lock(log.mutex);
  return log.said;
}

void SayComplaints() noexcept {
  Voice& log = Log();
  if (log.rank != 0) return;
  for (const std::string& complaint : log.complaints) WriteLine(complaint);
}

void SayStart(const Config& config, const std::string& run_id) noexcept {
  SayComplaints();
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
    std::snprintf(share, sizeof(share), " (%+.0f %%, measured)",
                  -100.0 * static_cast<double>(eliminated) /
                      static_cast<double>(baseline_bytes));
  }
  WriteLine("run " + id + " saved " + Pair(eliminated, baseline_bytes) + share +
            (complete ? "" : ", in a step that was not completed") +
            "; next: invact report " + id);
}

}  // namespace invact
