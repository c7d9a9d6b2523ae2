#include "plugin/rebuild/dropped.h"

#include <ATen/ops/equal.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/rebuild/decide.h"
#include "plugin/rebuild/mask_bits.h"
#include "plugin/rebuild/rerun.h"
#include "plugin/rebuild/value_table.h"

namespace invact {

namespace {

std::vector<Dropped*>& PlannedOnes() {
  static auto* planned = new std::vector<Dropped*>;
  return *planned;
}

SavedFacts LeafFacts(const Plan::Leaf& leaf) {
  return {leaf.storage.unsafeGetStorageImpl(),
          leaf.storage.data(),
          leaf.value->bytes,
          c10::ScalarType::Undefined,
          Category::kActivation,
          leaf.value->device.is_cuda() ? leaf.value->device.index() : -1};
}

bool Verifying() { return Recorder::Get().config().verify; }

}  // namespace

Dropped::Dropped(const at::Tensor& tensor, Value& value)
    : layout_(tensor),
      counter_(torch::autograd::impl::version_counter(tensor)),
      version_(counter_.current_version()),
      address_(tensor.storage()),
      variable_(tensor.getIntrusivePtr()),
      value_(ValuePtr::reclaim_copy(&value)),
      last_read_(at::Tensor().getIntrusivePtr()) {}

std::shared_ptr<Dropped> Dropped::Held(const at::Tensor& tensor, Value& value) {
  std::shared_ptr<Dropped> made(new Dropped(tensor, value));
  made->tensor_ = tensor;
  return made;
}

std::shared_ptr<Dropped> Dropped::Planned(const at::Tensor& tensor,
                                          Value& value) {
  std::shared_ptr<Dropped> made(new Dropped(tensor, ContentOf(value)));
  if (value.asked.get() != nullptr)
    made->address_ = StorageAddress(value.asked);
  if (Verifying()) made->original_ = tensor.tensor_data();
  made->Join(ContentOf(value));
  return made;
}

void Dropped::Join(Value& content) {
  value_ = ValuePtr::reclaim_copy(&content);
  planned_ = true;
  place_ = PlannedOnes().size();
  PlannedOnes().push_back(this);
}

void Dropped::Leave(Trash* trash) {
  PlannedOnes()[place_] = PlannedOnes().back();
  PlannedOnes()[place_]->place_ = place_;
  PlannedOnes().pop_back();
  planned_ = false;
  if (!std::exchange(read_, true) && --value_->unread == 0) {
    trash->storages.push_back(std::move(value_->rebuilt));
  }
  LeavePlan(*value_, trash);
}

void Dropped::Counted(const SaveTicket& ticket) {
  std::lock_guard lock(RebuildLock());
  ticket_ = ticket;
  if (planned_) CountLeaves();
}

// Those that no other plan has counted before.
void Dropped::CountLeaves() {
  for (Plan::Leaf& leaf : value_->plan->leaves) {
    if (leaf.ticket.entry != nullptr || leaf.value->persistent) continue;
    leaf.ticket = Recorder::Get().Hold(LeafFacts(leaf), ticket_.site);
  }
}

void Dropped::DecideAgain() {
  if (Recorder::Get().DeclinedAt(ticket_.site) != Reason::kNone) return;
  if (LetGo(Action::kRebuild)) return;
  const at::Tensor mask = tensor_;  // nobody else has this yet
  if (!mask.defined()) return;
  const at::Tensor bits = PackMask(mask);
  if (!bits.defined()) return;
  {
    Trash trash;
    std::lock_guard lock(RebuildLock());
    ValuePtr value = RootValue(bits, &trash);
    trash.values.push_back(value);
    if (value_->recipe == nullptr) {
      value_->recipe = UnpackingOf(mask, bits, std::move(value));
    }
  }
  LetGo(Action::kBits);
}

// Keeps it no more, if it can be rebuilt.
bool Dropped::LetGo(Action action) {
  Trash trash;
  at::Tensor dropped;
  std::lock_guard lock(RebuildLock());
  if (ended_ || planned_) return false;
  // Others that keep it, too, make it free: nothing would be gained.
  if (--value_->kept > 0 || JoinPlan(*value_, &trash) != Reason::kNone) {
    Keep(*value_, &trash);
    return false;
  }
  trash.values.push_back(value_);
  Join(ContentOf(*value_));
  dropped = std::move(tensor_);
  if (Verifying()) {
    original_ = std::move(dropped);
  } else {
    Recorder::Get().AskOnly(&ticket_, action);
  }
  CountLeaves();
  return true;
}

at::Tensor Dropped::Read() {
  ValuePtr content;
  {
    std::lock_guard lock(RebuildLock());
    if (tensor_.defined()) {
      return tensor_.requires_grad() ? tensor_.tensor_data() : tensor_;
    }
    content = value_;
  }
  at::Tensor rebuilt = layout_.Over(original_.defined() ? ObtainAfresh(content)
                                                        : Obtain(content));
  rebuilt.unsafeGetTensorImpl()->set_version_counter(counter_);
  if (original_.defined()) Verify(rebuilt);
  if (c10::GradMode::is_enabled()) rebuilt = SavedAgain(std::move(rebuilt));
  Trash trash;
  std::lock_guard lock(RebuildLock());
  NoteFirstRead(&trash);
  return rebuilt;
}

// Under the lock.
void Dropped::NoteFirstRead(Trash* trash) {
  if (planned_ && !std::exchange(read_, true) && --value_->unread == 0) {
    trash->storages.push_back(std::move(value_->rebuilt));
  }
}

at::Tensor Dropped::ReadVariable() {
  at::Tensor variable = Variable();
  if (!variable.defined()) return variable;
  ValuePtr to_verify;
  {
    Trash trash;
    std::lock_guard lock(RebuildLock());
    if (planned_ && original_.defined()) to_verify = value_;
    NoteFirstRead(&trash);
  }
  if (to_verify.defined()) Verify(layout_.Over(ObtainAfresh(to_verify)));
  return variable;
}

at::Tensor Dropped::LastRead() const {
  const c10::StreamId stream = CurrentStream(value_->device);
  std::lock_guard lock(RebuildLock());
  return planned_ && last_read_on_ == stream &&
                 last_read_with_grad_ == c10::GradMode::is_enabled()
             ? at::Tensor(last_read_.lock())
             : at::Tensor();
}

void Dropped::NoteRead(const at::Tensor& read) {
  const c10::StreamId stream = CurrentStream(value_->device);
  std::lock_guard lock(RebuildLock());
  last_read_ = read.getIntrusivePtr();
  last_read_on_ = stream;
  last_read_with_grad_ = c10::GradMode::is_enabled();
}

// In a backward that is differentiated, nodes may save what they read. Without
// us that would be the storage that was asked for, so it has to be known by
// that; and it can be rebuilt again.
at::Tensor Dropped::SavedAgain(at::Tensor rebuilt) const {
  if (rebuilt.storage().unsafeGetStorageImpl() == asked()) return rebuilt;
  const auto tell = [&](const at::Tensor& tensor) {
    Trash trash;
    std::lock_guard lock(RebuildLock());
    const ValuePtr value = RootValue(tensor, &trash);
    if (!value.defined()) return false;
    trash.values.push_back(value);
    if (value->asked.get() == nullptr) {
      value->asked = StorageAddress(address_);
      value->twin = value_;
    }
    return value->asked.get() == asked();
  };
  if (tell(rebuilt)) return rebuilt;
  // Another one with the same contents stands for the storage.
  at::Tensor own = layout_.Over(CopyOf(rebuilt.storage()));
  own.unsafeGetTensorImpl()->set_version_counter(counter_);
  tell(own);
  return own;
}

at::Tensor Dropped::Hollow() const {
  at::Tensor hollow =
      layout_.Over(c10::Storage(c10::Storage::use_byte_size_t(), 0,
                                at::DataPtr(nullptr, value_->device)));
  hollow.unsafeGetTensorImpl()->set_version_counter(counter_);
  return hollow;
}

void Dropped::Materialise() {
  KeepAsked();
  ValuePtr content;
  {
    std::lock_guard lock(RebuildLock());
    if (!planned_) return;
    content = value_;
  }
  const c10::Storage storage = ObtainBeforeWrite(content);
  at::Tensor rebuilt = layout_.Over(storage);
  rebuilt.unsafeGetTensorImpl()->set_version_counter(counter_);
  HoldFromNowOn(std::move(rebuilt), storage);
}

void Dropped::KeepAsked() {
  const c10::Storage storage = address_.Take();
  if (!storage) return;
  at::Tensor kept = Variable();
  if (!kept.defined()) {
    kept = layout_.Over(storage);
    kept.unsafeGetTensorImpl()->set_version_counter(counter_);
  }
  HoldFromNowOn(std::move(kept), storage);
}

void Dropped::HoldFromNowOn(at::Tensor tensor, const c10::Storage& storage) {
  Recorder& recorder = Recorder::Get();
  const SaveTicket held = recorder.Hold(
      {storage.unsafeGetStorageImpl(), storage.data(),
       static_cast<int64_t>(storage.nbytes()), tensor.scalar_type(),
       Category::kActivation,
       storage.device().is_cuda() ? storage.device().index() : -1},
      ticket_.site);
  recorder.DeclineFromNowOn(ticket_.site, Reason::kWrittenInPlace);
  Trash trash;
  std::lock_guard lock(RebuildLock());
  if (!planned_) {  // ended meanwhile
    recorder.Drop(held);
    return;
  }
  Leave(&trash);
  tensor_ = std::move(tensor);
  materialised_ = held;
}

void Dropped::End() {
  Trash trash;
  at::Tensor tensor, original;
  {
    std::lock_guard lock(RebuildLock());
    ended_ = true;
    tensor = std::move(tensor_);
    original = std::move(original_);
    if (planned_) {
      Leave(&trash);
    } else if (materialised_.entry == nullptr) {
      --value_->kept;
    }
  }
  Recorder::Get().Drop(ticket_);
  Recorder::Get().Drop(materialised_);
}

// Bit by bit: NaN is not equal to itself.
void Dropped::Verify(const at::Tensor& rebuilt) const {
  const OwnWork own;
  const c10::AutoGradMode no_grad(false);
  const at::ScalarType bits = rebuilt.itemsize() == 1   ? at::kByte
                              : rebuilt.itemsize() == 2 ? at::kShort
                              : rebuilt.itemsize() == 4 ? at::kInt
                                                        : at::kLong;
  if (at::equal(rebuilt.view(bits), original_.view(bits))) return;
  SayTrouble("verify",
             "INVACT_VERIFY=1: a rebuilt tensor differs from the saved one. "
             "Either the program writes to what it is rebuilt from by what is "
             "no call of an op (NumPy, ctypes, a kernel of its own), or this "
             "is a mistake of invact's: please report it with the job's torch "
             "version and model");
}

std::vector<RebuiltStorage> RebuiltStorages() noexcept {
  std::vector<RebuiltStorage> found;
  std::lock_guard lock(RebuildLock());
  for (const Dropped* dropped : PlannedOnes()) {
    const Value& value = *dropped->value_;
    if (value.rebuilt && dropped->ticket_.site != kNoSite) {
      found.push_back({value.rebuilt, dropped->ticket_.site});
    }
  }
  return found;
}

std::vector<std::shared_ptr<Dropped>> DependentsOf(const Value* base) {
  std::vector<std::shared_ptr<Dropped>> dependents;
  for (Dropped* dropped : PlannedOnes()) {
    if (dropped->value_->plan->LeafOf(base) != nullptr) {
      dependents.push_back(dropped->shared_from_this());
    }
  }
  return dependents;
}

std::vector<std::shared_ptr<Dropped>> DroppedOver(
    const c10::StorageImpl* storage) {
  std::vector<std::shared_ptr<Dropped>> found;
  for (Dropped* dropped : PlannedOnes()) {
    if (dropped->address_.get() == storage) {
      found.push_back(dropped->shared_from_this());
    }
  }
  return found;
}

}  // namespace invact
