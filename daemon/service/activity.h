// When a call was last under way, for the idle exit. Any thread.
#ifndef INVACT_DAEMON_SERVICE_ACTIVITY_H_
#define INVACT_DAEMON_SERVICE_ACTIVITY_H_

#include <atomic>
#include <cstdint>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace invact {

class Activity {
 public:
  // Held while a call is under way.
  class Call {
   public:
    explicit Call(Activity* activity) : activity_(activity) {
      ++activity_->calls_;
    }
    ~Call() {
      activity_->Touch();
      --activity_->calls_;
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Activity* const activity_;
  };

  void Touch() { last_ns_ = absl::GetCurrentTimeNanos(); }
  absl::Duration IdleFor() const {
    if (calls_ > 0) return absl::ZeroDuration();
    return absl::Nanoseconds(absl::GetCurrentTimeNanos() - last_ns_);
  }

 private:
  std::atomic<int> calls_{0};
  std::atomic<int64_t> last_ns_{absl::GetCurrentTimeNanos()};
};

}  // namespace invact

#endif  // INVACT_DAEMON_SERVICE_ACTIVITY_H_
