// The policy `rebuild`: what autograd asks to keep is dropped where cheap ops
// can make it again, to the bit, from storages that are held anyway
// (docs/rebuild.md).
//
//   recorded_op  notes how values are made
//   decide       what to hold
//   dropped      saved tensors that are not kept
//   rerun        makes them again
//   value_table  which value a storage has, and writes that end it
//
// Threads: Pack and Frame on the thread that runs the op.
#ifndef INVACT_PLUGIN_REBUILD_REBUILD_H_
#define INVACT_PLUGIN_REBUILD_REBUILD_H_

#include <c10/util/SmallVector.h>

#include <atomic>
#include <memory>
#include <string>

#include "plugin/rebuild/dropped.h"

namespace invact {

// Once, where the policy may rebuild. False with the reason.
bool InstallRebuild(const std::string& lib_dir, bool cuda,
                    std::string* error) noexcept;

inline std::atomic<bool> g_rebuilding{false};
inline bool Rebuilding() noexcept {
  return g_rebuilding.load(std::memory_order_relaxed);
}

// Storages that are smaller are kept: a kernel costs more than they do.
inline constexpr int64_t kMinBytes = 16 << 10;
inline constexpr int64_t kMinBytesCuda = 256 << 10;
inline int64_t MinBytes(const c10::Device& device) {
  return device.is_cuda() ? kMinBytesCuda : kMinBytes;
}

// What becomes of a saved tensor that counts.
struct Packed {
  std::shared_ptr<Dropped> dropped;  // not to be kept by torch
  bool planned = false;              // nor by us
  ValuePtr kept;                     // to be kept; LetGo when it is no more
  Reason reason = Reason::kNone;
};
// `data`: what the SavedVariable keeps. `own_output`: of the node that saves
// it, without history.
Packed Pack(const at::Tensor& data, bool own_output);
void LetGo(Value& kept) noexcept;

// Whether nothing would be gained by keeping something else in place of
// `tensor`: it is kept anyway, or can be rebuilt from what is.
bool CostsNothing(const at::Tensor& tensor);
// `tensor` is kept by other means than a SavedVariable. Null as for Packed.
ValuePtr KeepElsewhere(const at::Tensor& tensor);

// While an op that notes how it made its output runs on this thread: what it
// saves of that output is decided upon when it has returned.
class Frame {
 public:
  Frame() noexcept;
  ~Frame();
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  static Frame* Current() noexcept;
  void Await(std::shared_ptr<Dropped> dropped) {
    waiting_.push_back(std::move(dropped));
  }
  void Decide();

 private:
  Frame* outer_;
  c10::SmallVector<std::shared_ptr<Dropped>, 2> waiting_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_REBUILD_H_
