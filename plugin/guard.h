// The flags that every entry into the plugin looks at first.
//
// kOff      nothing was installed, or a forked child, or the process is ending:
//           pass through, touch nothing shared.
// kReady    installed; nothing was saved yet.
// kRunning  the first tensor was saved: memory shared with the relay exists.
//
// Threads: any. A forked child goes to kOff in the fork handler and never
// leaves it: the shared memory and the locks belong to the parent.
#ifndef INVACT_PLUGIN_GUARD_H_
#define INVACT_PLUGIN_GUARD_H_

#include <atomic>

namespace invact {

enum class GuestMode : int { kOff, kReady, kRunning };

inline std::atomic<GuestMode> g_guest_mode{GuestMode::kOff};

// Set for good in a forked child, which may be kOff for other reasons, too.
inline std::atomic<bool> g_forked_child{false};

inline bool Active() noexcept {
  return g_guest_mode.load(std::memory_order_relaxed) != GuestMode::kOff;
}

// Saves made while the plugin itself runs torch code on this thread are not
// the job's: they are passed through uncounted.
inline constinit thread_local int t_own_work = 0;
struct OwnWork {
  OwnWork() noexcept { ++t_own_work; }
  ~OwnWork() { --t_own_work; }
  OwnWork(const OwnWork&) = delete;
  OwnWork& operator=(const OwnWork&) = delete;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_GUARD_H_
