#include "daemon/report/memory_moments.h"

#include "absl/strings/str_cat.h"

namespace invact {

int64_t LiveBytes(const v1::MemoryMoment& moment) {
  int64_t sum = 0;
  for (const auto& [category, bytes] : moment.by_category()) sum += bytes;
  return sum;
}

int64_t CategoryBytes(const v1::MemoryMoment& moment, const std::string& name) {
  const auto found = moment.by_category().find(name);
  return found == moment.by_category().end() ? 0 : found->second;
}

std::optional<int64_t> RoundingBytes(const v1::MemoryMoment& moment) {
  if (!moment.has_allocated_bytes()) return std::nullopt;
  return moment.allocated_bytes() - LiveBytes(moment);
}

std::optional<int64_t> UnusedBytes(const v1::MemoryMoment& moment) {
  if (!moment.has_allocated_bytes()) return std::nullopt;
  return moment.reserved_bytes() - moment.allocated_bytes();
}

std::string MemoryWhen(const std::string& phase, int64_t step) {
  if (step < 0) return "before the first step";
  if (phase == "forward" || phase == "backward") {
    return absl::StrCat("in ", phase, " of step ", step);
  }
  if (phase == "optimizer") {
    return absl::StrCat("in the optimizer's step after step ", step);
  }
  return absl::StrCat("after step ", step);
}

}  // namespace invact
