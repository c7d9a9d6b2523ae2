// A saved tensor that torch's SavedVariable does not keep itself: it is held
// here, or rebuilt when it is read.
//
// Owner: the DroppedHook of that SavedVariable; whoever is at work on it has a
// reference of its own. Threads: any; what changes does so under RebuildLock().
#ifndef INVACT_PLUGIN_REBUILD_DROPPED_H_
#define INVACT_PLUGIN_REBUILD_DROPPED_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "plugin/observe/storage_address.h"
#include "plugin/rebuild/value.h"

namespace invact {

class Dropped : public std::enable_shared_from_this<Dropped> {
 public:
  // Held: `tensor` has no history, and `value` is kept for it. Planned:
  // JoinPlan(value) was kNone. Under the lock.
  static std::shared_ptr<Dropped> Held(const at::Tensor& tensor, Value& value);
  static std::shared_ptr<Dropped> Planned(const at::Tensor& tensor,
                                          Value& value);

  // Its account. Planned: also of the plan's leaves.
  void Counted(const SaveTicket& ticket);
  const SaveTicket& ticket() const { return ticket_; }
  // Planned: those of the plan's leaves that are not yet counted. Under the
  // lock, as is content().
  void CountLeaves();
  Value* content() const { return value_.get(); }
  // The storage that it is counted as.
  const c10::StorageImpl* asked() const { return address_.get(); }

  // Held: the op that made the tensor has returned and noted how, so that it
  // may be rebuilt after all.
  void DecideAgain();

  // Without history, sharing the version counter of the tensor saved.
  at::Tensor Read();
  // Planned: what was made of it when it was last read, on this stream and in
  // this grad mode, where anybody still has that.
  at::Tensor LastRead() const;
  void NoteRead(const at::Tensor& read);
  // The variable that was saved, where anybody still has it.
  at::Tensor Variable() const { return at::Tensor(variable_.lock()); }
  // The same, read as what was saved.
  at::Tensor ReadVariable();
  bool Written() const { return counter_.current_version() != version_; }
  uint32_t version() const { return version_; }
  // A tensor of this kind without values.
  at::Tensor Hollow() const;

  // A base is about to be written: what was asked for is held from now on,
  // rebuilt where nobody has it any more.
  void Materialise();
  // Held from now on as torch would keep it: what happens to it reaches
  // backward. Does nothing where nobody has it any more.
  void KeepAsked();

  // The SavedVariable is gone. Once.
  void End();

 private:
  Dropped(const at::Tensor& tensor, Value& value);
  void Join(Value& value);
  void Leave(Trash* trash);
  void NoteFirstRead(Trash* trash);
  at::Tensor SavedAgain(at::Tensor rebuilt) const;
  bool LetGo(Action action);
  void HoldFromNowOn(at::Tensor tensor, const c10::Storage& storage);
  void Verify(const at::Tensor& rebuilt) const;

  friend std::vector<std::shared_ptr<Dropped>> DependentsOf(const Value* base);
  friend std::vector<std::shared_ptr<Dropped>> DroppedOver(
      const c10::StorageImpl* storage);
  friend std::vector<RebuiltStorage> RebuiltStorages() noexcept;

  const Layout layout_;
  const c10::VariableVersion counter_;
  const uint32_t version_;
  StorageAddress address_;  // of what was asked for
  const c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>
      variable_;
  ValuePtr value_;       // held: that of the tensor; planned: what has the plan
  at::Tensor tensor_;    // held; the variable itself if it has a history
  at::Tensor original_;  // planned, INVACT_VERIFY=1
  c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> last_read_;
  c10::StreamId last_read_on_ = 0;
  bool last_read_with_grad_ = false;
  SaveTicket ticket_, materialised_;
  size_t place_ = 0;  // planned: in the list of all
  bool planned_ = false, read_ = false, ended_ = false;
};

// What is there again for saved tensors that are still to be read.
std::vector<RebuiltStorage> RebuiltStorages() noexcept;

// Those that are to be rebuilt from `base`. Under the lock.
std::vector<std::shared_ptr<Dropped>> DependentsOf(const Value* base);
// Those to be rebuilt in place of this storage. Under the lock.
std::vector<std::shared_ptr<Dropped>> DroppedOver(
    const c10::StorageImpl* storage);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_DROPPED_H_
