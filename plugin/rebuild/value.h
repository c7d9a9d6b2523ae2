// The contents of one storage between two writes, and how they can be computed
// again.
//
//   recipe  the op that made them from other values
//   twin    another value with the same contents: the same cast of one source
//   plan    which storages are held so that they can be rebuilt, while some
//           saved tensor is not kept for it
//   kept    saved tensors that keep the storage as torch would
//
// Threads: all but what is said to be constant is read and changed under
// RebuildLock(). Nobody releases a storage, a tensor or a value under it: what
// is dropped there goes into a Trash that is emptied afterwards.
#ifndef INVACT_PLUGIN_REBUILD_VALUE_H_
#define INVACT_PLUGIN_REBUILD_VALUE_H_

#include <ATen/core/ivalue.h>
#include <c10/core/Storage.h>
#include <c10/core/TensorImpl.h>
#include <c10/util/SmallVector.h>
#include <c10/util/intrusive_ptr.h>

#include <memory>
#include <vector>

#include "plugin/brief_lock.h"
#include "plugin/observe/recorder.h"
#include "plugin/observe/storage_address.h"
#include "plugin/rebuild/layout.h"

namespace invact {

struct Value;
struct RecordedOp;
using ValuePtr = c10::intrusive_ptr<Value>;

// How a value was made. Constant once made.
struct Recipe {
  struct Input {
    uint32_t position;  // among the op's arguments
    ValuePtr value;
    Layout layout;
  };
  const RecordedOp* op;
  c10::SmallVector<c10::IValue, 6> arguments;  // none where an input goes
  c10::SmallVector<Input, 3> inputs;
  // Of a layer norm: mean and rstd, that it can be had from as well.
  c10::SmallVector<Input, 2> statistics;
  Layout output;
};

// What is held so that `value` can be rebuilt: `leaves`, by way of `via`.
// Owned by its value while a saved tensor depends on it.
struct Plan {
  struct Leaf {
    ValuePtr value;
    c10::Storage storage;
    SaveTicket ticket;  // none for a parameter, which does not count
  };
  Leaf* LeafOf(const Value* value);  // nullptr for none
  std::vector<Leaf> leaves;
  std::vector<ValuePtr> via;  // their recipes are needed
  int states = 0;             // saved tensors that depend on it
};

// Does not keep the value.
class WeakValue {
 public:
  WeakValue() = default;
  ~WeakValue() { Set(nullptr); }
  WeakValue(const WeakValue&) = delete;
  WeakValue& operator=(const WeakValue&) = delete;
  void Set(Value* value);
  ValuePtr Lock() const;

 private:
  Value* value_ = nullptr;
};

struct Value final : c10::intrusive_ptr_target {
  explicit Value(const at::Tensor& tensor);
  // Its source may still know it by `cast`, and is kept by its recipe.
  void release_resources() override;

  // Whether the storage is alive and still has these contents.
  bool Usable() const;
  // The same, and nobody writes to it unseen: it may serve to rebuild others.
  bool MayServe() const { return Usable() && (persistent || !foreign); }
  // A reference to it, null when it died meanwhile. To be given up elsewhere
  // than under the lock.
  c10::Storage Take() const { return c10::Storage(address.lock()); }

  // Constant.
  const c10::weak_intrusive_ptr<c10::StorageImpl> address;
  const int64_t bytes;
  const c10::VariableVersion counter;
  const uint32_t version;
  const c10::Device device;
  const c10::StreamId stream;  // of the device, current when it was made
  const bool foreign;          // memory that somebody else gave to torch
  bool persistent = false;     // a parameter or buffer, or a view of one

  bool overwritten = false;
  uint32_t tolerated = 0;  // writes counted ahead of being made
  bool base = false;       // was kept: chains of recipes are counted from here
  uint8_t depth = 0;       // recipes between it and its bases
  int kept = 0;
  int users = 0;  // plans with this as a leaf
  int via = 0;    // plans by way of this
  std::shared_ptr<const Recipe> recipe;
  ValuePtr twin;  // of itself no twin's twin
  std::unique_ptr<Plan> plan;
  int unread = 0;        // saved tensors to be rebuilt and not yet read
  c10::Storage rebuilt;  // between the first and the last of them
  c10::StreamId rebuilt_on = 0;
  // Rebuilt, and read where it may be saved again: in place of which storage.
  StorageAddress asked;
  // The last conversion of this one, to find twins.
  WeakValue cast;
};

// What was let go of under the lock; emptied by its end. Declared before the
// lock is taken.
struct Trash {
  std::vector<ValuePtr> values;
  std::vector<c10::IValue> arguments;
  std::vector<c10::Storage> storages;
  std::vector<std::shared_ptr<const Recipe>> recipes;
  std::vector<std::unique_ptr<Plan>> plans;
  ~Trash();
};

BriefLock& RebuildLock() noexcept;

// The stream that this thread works on; 0 for the CPU.
c10::StreamId CurrentStream(const c10::Device& device);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_VALUE_H_
