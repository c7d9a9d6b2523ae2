#include "plugin/events/summary.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace invact {

namespace {

constexpr size_t kHoldersShown = 3;

std::string Bytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  int unit = 0;
  for (; unit < 4 && value >= 1024; ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", value,
                kUnits[unit]);
  return text;
}

std::string When(MemoryPhase phase, int64_t step) {
  if (step < 0) return "before the first step";
  const std::string number = std::to_string(step);
  switch (phase) {
    case MemoryPhase::kForward:
      return "in forward of step " + number;
    case MemoryPhase::kBackward:
      return "in backward of step " + number;
    case MemoryPhase::kOptimizer:
      return "in the optimizer's step after step " + number;
    case MemoryPhase::kBetween:
    case MemoryPhase::kCount:
      break;
  }
  return "after step " + number;
}

std::string Categories(const ByCategory& bytes) {
  std::vector<std::pair<int64_t, MemoryCategory>> parts;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] > 0) {
      parts.emplace_back(bytes[i], static_cast<MemoryCategory>(i));
    }
  }
  std::stable_sort(
      parts.begin(), parts.end(),
      [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (const auto& [size, category] : parts) {
    text += (text.empty() ? "" : ", ") + std::string(Name(category)) + " " +
            Bytes(size);
  }
  return text;
}

std::string Largest(const std::vector<MemoryHolder>& holders,
                    const std::vector<std::string>& scopes) {
  std::string text;
  size_t shown = 0;
  for (const MemoryHolder& holder : holders) {
    // What has no module is in the categories already.
    if (holder.scope >= scopes.size() || scopes[holder.scope].empty()) continue;
    if (++shown > kHoldersShown) break;
    text += (text.empty() ? "; largest: " : ", ") + scopes[holder.scope] + " " +
            std::string(Name(holder.category)) + " " + Bytes(holder.bytes);
  }
  return text;
}

}  // namespace

std::string PeakLine(int device, const MemoryAccount& account,
                     const std::vector<std::string>& scopes) {
  const StepMemory now = account.step();
  const bool is_now = now.peak_bytes > account.largest().peak_bytes;
  const StepMemory& peak = is_now ? now : account.largest();
  if (peak.peak_bytes <= 0) return "";
  return "device " + std::to_string(device) + ": peak of " +
         Bytes(peak.peak_bytes) + " asked for " +
         When(peak.peak_phase, peak.step) + ", " +
         Bytes(peak.reserved_at_peak) +
         " reserved (measured): " + Categories(peak.at_peak) +
         Largest(is_now ? account.Holders(true) : account.largest_holders(),
                 scopes);
}

std::string OutOfMemoryLine(int device, const MemoryAccount& account,
                            const std::vector<std::string>& scopes) {
  const OutOfMemoryNote& note = account.out_of_memory();
  if (note.time_ns == 0) return "";
  return "device " + std::to_string(device) + ": out of memory " +
         When(note.phase, note.step) + ", asking for " + Bytes(note.asked) +
         " with " + Bytes(note.device_free) +
         " free (measured): " + Categories(note.by_category) +
         Largest(note.holders, scopes);
}

std::string DeviceLine(int device, const DeviceBytes& bytes, int64_t pinned,
                       const std::vector<std::string>& scopes) {
  if (bytes.time_ns == 0) return "";
  std::string text = "device " + std::to_string(device) + ": " +
                     Bytes(bytes.used) + " of " + Bytes(bytes.total) +
                     " used after step " + std::to_string(bytes.step) +
                     " (measured): torch " + Bytes(bytes.reserved);
  if (bytes.known != ForeignKnown::kNo) {
    text += ", other libraries " + Bytes(bytes.foreign);
    std::string named;
    for (const DeviceBytes::Holder& holder : bytes.holders) {
      if (holder.scope >= scopes.size()) continue;
      named += (named.empty() ? " (" : ", ") + scopes[holder.scope] + " " +
               Bytes(holder.bytes);
    }
    text += named.empty() ? "" : named + ")";
  }
  // Below 0: what is known is not of the same moment as the device's number.
  text +=
      ", untracked " + (bytes.untracked() < 0 ? "-" + Bytes(-bytes.untracked())
                                              : Bytes(bytes.untracked()));
  if (pinned > 0) text += "; pinned memory of the host " + Bytes(pinned);
  if (bytes.known == ForeignKnown::kUncertain) {
    text += "; records of CUPTI were missed, so other libraries are uncertain";
  }
  return text;
}

}  // namespace invact
