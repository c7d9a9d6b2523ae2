// Sums of what was alive at one moment, the same for every format.
// Pure functions, any thread.
#ifndef INVACT_DAEMON_REPORT_MEMORY_MOMENTS_H_
#define INVACT_DAEMON_REPORT_MEMORY_MOMENTS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "invact/v1/run.pb.h"

namespace invact {

// Of all categories: what was asked for and is in use.
int64_t LiveBytes(const v1::MemoryMoment& moment);
int64_t CategoryBytes(const v1::MemoryMoment& moment, const std::string& name);

// Torch's blocks are larger than what was asked for: by so much. Unknown where
// torch's own numbers are.
std::optional<int64_t> RoundingBytes(const v1::MemoryMoment& moment);
// Reserved and in no block: what torch keeps for later, and fragments.
std::optional<int64_t> UnusedBytes(const v1::MemoryMoment& moment);

// "in forward of step 3", "before the first step".
std::string MemoryWhen(const std::string& phase, int64_t step);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_MEMORY_MOMENTS_H_
