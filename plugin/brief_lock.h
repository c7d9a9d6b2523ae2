// A lock for moments: tables in memory are changed under it, nothing foreign
// is called. Taking and giving back a free one is one atomic exchange and one
// store, a third of std::mutex, which the training thread feels at each saved
// tensor. Who finds it taken spins for a moment, then sleeps in short naps.
//
// Threads: any; not recursive. In a forked child it may be taken for ever.
#ifndef INVACT_PLUGIN_BRIEF_LOCK_H_
#define INVACT_PLUGIN_BRIEF_LOCK_H_

#include <time.h>

#include <atomic>

namespace invact {

class BriefLock {
 public:
  void lock() noexcept {
    if (held_.exchange(true, std::memory_order_acquire)) Wait();
  }
  void unlock() noexcept { held_.store(false, std::memory_order_release); }

 private:
  __attribute__((noinline, cold)) void Wait() noexcept {
    // As long as the longest that it is held for: a step's table is copied.
    constexpr int kSpins = 1000;
    constexpr timespec kNap = {0, 20'000};
    for (int i = 0;; ++i) {
      if (!held_.load(std::memory_order_relaxed) &&
          !held_.exchange(true, std::memory_order_acquire)) {
        return;
      }
      if (i < kSpins) {
        __builtin_ia32_pause();
      } else {
        nanosleep(&kNap, nullptr);
      }
    }
  }

  std::atomic<bool> held_{false};
};

}  // namespace invact

#endif  // INVACT_PLUGIN_BRIEF_LOCK_H_
