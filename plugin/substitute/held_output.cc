#include "plugin/substitute/held_output.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/clone.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/variable.h>

#include <unordered_map>
#include <vector>

#include "plugin/events/memory_events.h"
#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/observe/version_error.h"
#include "plugin/rebuild/rebuild.h"
#include "plugin/substitute/custom_op_guard.h"

namespace invact {

std::atomic<int64_t> g_held_outputs{0};

namespace {

struct Table {
  std::mutex mutex;
  std::unordered_multimap<const c10::StorageImpl*, std::weak_ptr<HeldOutput>>
      by_storage;
};
Table& HeldTable() {
  static auto* table = new Table;  // nodes may outlive static objects
  return *table;
}

void Enter(const c10::StorageImpl* storage,
           const std::weak_ptr<HeldOutput>& held) {
  Table& table = HeldTable();
  std::lock_guard lock(table.mutex);
  table.by_storage.emplace(storage, held);
  g_held_outputs.fetch_add(1, std::memory_order_relaxed);
}

// Removes `held` and what is dead beside it.
void Leave(const c10::StorageImpl* storage, const HeldOutput* held) {
  Table& table = HeldTable();
  std::lock_guard lock(table.mutex);
  auto [it, end] = table.by_storage.equal_range(storage);
  while (it != end) {
    const auto alive = it->second.lock();
    if (alive == nullptr || alive.get() == held) {
      it = table.by_storage.erase(it);
      g_held_outputs.fetch_sub(1, std::memory_order_relaxed);
    } else {
      ++it;
    }
  }
}

const c10::StorageImpl* StorageOf(const at::Tensor& tensor) {
  return tensor.storage().unsafeGetStorageImpl();
}

}  // namespace

std::shared_ptr<HeldOutput> HeldOutput::Make(at::Tensor y, at::Tensor bits,
                                             const at::Tensor& x,
                                             const at::Tensor& also) {
  GuardNewOps();
  std::shared_ptr<HeldOutput> held(new HeldOutput);
  held->version_ = static_cast<uint32_t>(y._version());
  held->x_ = x.getIntrusivePtr();
  held->x_counter_ = torch::autograd::impl::version_counter(x);
  held->x_version_ = held->x_counter_.current_version();
  held->x_address_ = x.storage().getWeakStorageImpl();
  Recorder::Get().Substitute(
      Action::kInvert, FactsOf(x, false), FactsOf(y, true),
      bits.defined() ? static_cast<int64_t>(bits.nbytes()) : 0, &held->ticket_);
  if (bits.defined() && bits.is_cuda()) {
    LabelMemoryIfWanted(bits.get_device(), bits.storage().data(),
                        MemoryCategory::kActivation);
  }
  if (also.defined()) {  // a second save of the node, with a site of its own
    held->also_address_ = also.storage().getWeakStorageImpl();
    Recorder::Get().Substitute(Action::kInvert, FactsOf(also, false),
                               FactsOf(y, true), 0, &held->also_ticket_);
  }
  held->value_ = KeepElsewhere(y);
  held->y_ = std::move(y);
  held->bits_ = std::move(bits);
  Enter(StorageOf(held->y_), held);
  return held;
}

HeldOutput::~HeldOutput() { Release(); }

HeldOutput::View HeldOutput::Read() {
  std::lock_guard lock(mutex_);
  TORCH_CHECK(y_.defined(), torch::autograd::ERR_BACKWARD_TWICE);
  if (static_cast<uint32_t>(y_._version()) != version_) {
    ThrowWrittenInPlace(y_, /*own_output=*/true, 0, version_);
  }
  return {y_, bits_};
}

bool HeldOutput::InputWritten() const {
  return x_counter_.current_version() != x_version_;
}

void HeldOutput::Release() {
  at::Tensor y, bits;  // freed after the locks
  {
    std::lock_guard lock(mutex_);
    if (!y_.defined()) return;
    y = std::move(y_);
    bits = std::move(bits_);
  }
  Leave(StorageOf(y), this);
  if (value_.defined()) LetGo(*value_);
  Recorder::Get().DropSubstitution(&ticket_);
  Recorder::Get().DropSubstitution(&also_ticket_);
}

void HeldOutput::Materialise(const c10::StorageImpl* written,
                             uint32_t counted) {
  at::Tensor old;
  std::lock_guard lock(mutex_);
  if (!y_.defined() || StorageOf(y_) != written ||
      static_cast<uint32_t>(y_._version()) - version_ > counted) {
    return;
  }
  {
    const OwnWork own;
    // Inference tensors could not be read by a backward.
    const c10::InferenceMode no_inference(false);
    const c10::AutoGradMode no_grad(false);
    const at::AutoDispatchBelowADInplaceOrView below;
    old = std::exchange(y_, at::clone(y_));
  }
  version_ = static_cast<uint32_t>(y_._version());
  Recorder::Get().Materialise(&ticket_, FactsOf(y_, true));
  Recorder::Get().Materialise(&also_ticket_, FactsOf(y_, true));
  Leave(written, this);
  Enter(StorageOf(y_), weak_from_this());
}

bool HeldOutput::Unwritten() {
  std::lock_guard lock(mutex_);
  return y_.defined() && static_cast<uint32_t>(y_._version()) == version_;
}

void HeldOutput::AcceptVersion() {
  std::lock_guard lock(mutex_);
  if (y_.defined()) version_ = static_cast<uint32_t>(y_._version());
}

std::vector<std::shared_ptr<HeldOutput>> HoldersOf(
    const c10::StorageImpl* storage) {
  std::vector<std::shared_ptr<HeldOutput>> holders;
  Table& table = HeldTable();
  std::lock_guard lock(table.mutex);
  auto [it, end] = table.by_storage.equal_range(storage);
  for (; it != end; ++it) {
    if (auto held = it->second.lock()) holders.push_back(std::move(held));
  }
  return holders;
}

void MaterialiseBefore(const c10::StorageImpl* written,
                       uint32_t counted) noexcept {
  if (g_held_outputs.load(std::memory_order_relaxed) == 0) return;
  for (const auto& held : HoldersOf(written)) {
    try {
      held->Materialise(written, counted);
    } catch (const std::exception& error) {
      // No memory for the copy, say: the write goes on, and reading y later
      // fails with torch's error for a tensor written in place.
      SayTrouble("materialise", error.what());
    }
  }
}

}  // namespace invact
