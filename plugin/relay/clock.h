// The two clocks, in nanoseconds.
#ifndef INVACT_PLUGIN_RELAY_CLOCK_H_
#define INVACT_PLUGIN_RELAY_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace invact {

inline constexpr int64_t kMs = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;

inline int64_t ClockNs(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * kSecond + now.tv_nsec;
}
inline int64_t WallNs() { return ClockNs(CLOCK_REALTIME); }
// The clock of the records, and of everything that is waited for.
inline int64_t MonoNs() { return ClockNs(CLOCK_MONOTONIC); }

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_CLOCK_H_
