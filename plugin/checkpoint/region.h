// Where the calling thread stands with regard to regions that the policy
// `checkpoint` runs under torch.utils.checkpoint: what is saved counts
// differently there (docs/accounting.md).
//
// Threads: each its own; g_checkpointing any.
#ifndef INVACT_PLUGIN_CHECKPOINT_REGION_H_
#define INVACT_PLUGIN_CHECKPOINT_REGION_H_

#include <atomic>
#include <cstdint>

#include "proto/codes.h"

namespace invact {

enum class RegionPhase : uint8_t {
  kNone,
  kOpening,  // torch keeps the block's inputs: held, not asked for
  kInside,   // the first forward: what nodes ask for is not kept
  kAgain,    // the second forward: held, and asked for long ago
};

struct Region {
  RegionPhase phase = RegionPhase::kNone;
  bool nested = false;              // the job checkpoints inside of it
  Reason declined = Reason::kNone;  // of the block under way, not checkpointed
};

inline constinit thread_local Region t_region;

// Sets the thread's region and puts the one before back.
class RegionScope {
 public:
  explicit RegionScope(const Region& region) noexcept : before_(t_region) {
    t_region = region;
  }
  ~RegionScope() { t_region = before_; }
  RegionScope(const RegionScope&) = delete;
  RegionScope& operator=(const RegionScope&) = delete;

 private:
  Region before_;
};

// Whether the policy is `checkpoint` now.
inline std::atomic<bool> g_checkpointing{false};
inline bool Checkpointing() noexcept {
  return g_checkpointing.load(std::memory_order_relaxed);
}

}  // namespace invact

#endif  // INVACT_PLUGIN_CHECKPOINT_REGION_H_
