#include "plugin/digest/numbers.h"

#include <ATen/Functions.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string_view>
#include <utility>

#include "plugin/digest/tensor_digest.h"
#include "plugin/fuse/side_work.h"
#include "plugin/observe/device_state.h"
#include "plugin/observe/recorder.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/ring/writer.h"

namespace invact {

namespace {

// What a device writes last, after all results before it.
constexpr int64_t kDone = 1;
constexpr int64_t kSlots = 1024;  // of one block of results

std::string TypeText(const at::Tensor& tensor) {
  std::string text(DtypeName(tensor.scalar_type()));
  text += '[';
  for (int64_t i = 0; i < tensor.dim(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(tensor.size(i));
  }
  return text + ']';
}

// kNone: its digest can be made.
NoDigest WhyNot(const at::Tensor& tensor) {
  if (tensor.layout() != at::kStrided) return NoDigest::kSparse;
  if (!tensor.device().is_cpu() && !tensor.is_cuda()) return NoDigest::kDevice;
  if (!PlainTensor(tensor)) return NoDigest::kSubclass;
  if (tensor.is_conj() || tensor.is_neg()) return NoDigest::kDtype;
  return NoDigest::kNone;
}

at::Tensor DoubleBits(const at::Tensor& loss) {
  return loss.reshape({}).to(at::kDouble).view(at::kLong);
}

}  // namespace

uint32_t Parameters::NumberOf(const Leaf& leaf) {
  const std::string type = TypeText(leaf.tensor);
  const auto [it, is_new] = numbers_.emplace(leaf.name + '\n' + type, kNoSite);
  if (!is_new) return it->second;
  Recorder& recorder = Recorder::Get();
  const ParameterEntry entry = {recorder.Text(leaf.name), recorder.Text(type)};
  if (entry.name != 0 && entry.type != 0) {
    it->second = AppendParameter(recorder.shared(), entry);
  }
  return it->second;
}

// Results lie in pinned memory that the device writes to itself, so nothing is
// copied and its state can be read without the driver.
class StepNumbers::Queue {
 public:
  explicit Queue(at::Device device) : device_(device), work_(device) {}

  at::Device device() const { return device_; }

  // A new result, 0 so far, and its number.
  at::Tensor NextSum(size_t* slot) {
    *slot = count_++;
    const auto place = static_cast<int64_t>(*slot) % kSlots;
    if (place == 0) NewBlock();
    return blocks_.back().device[place];
  }
  void Digest(const at::Tensor& tensor, uint64_t seed, const at::Tensor& sum) {
    work_->Add(tensor, seed, sum);
  }
  void Close() {
    const c10::DeviceGuard guard(device_);
    NewBlock();  // the last, of which one word is used
    blocks_.back().device[0].fill_(kDone);
    work_.reset();
  }
  bool Ready() const { return Read(blocks_.back(), 0) == kDone; }
  uint64_t Result(size_t slot) const {
    return static_cast<uint64_t>(Read(blocks_[slot / kSlots], slot % kSlots));
  }

 private:
  void NewBlock() {
    blocks_.push_back(fuse::MakeMapped({kSlots}, at::kLong, device_));
    blocks_.back().host.zero_();
  }
  static int64_t Read(const fuse::Mapped& block, size_t place) {
    int64_t* word = static_cast<int64_t*>(block.host.data_ptr()) + place;
    return std::atomic_ref<int64_t>(*word).load(std::memory_order_acquire);
  }

  const at::Device device_;
  std::optional<DigestByOps> work_;
  std::vector<fuse::Mapped> blocks_;
  size_t count_ = 0;
};

StepNumbers::StepNumbers(int64_t step) : step_(step), plain_(PlainDispatch()) {}
StepNumbers::StepNumbers(StepNumbers&&) noexcept = default;
StepNumbers::~StepNumbers() = default;

StepNumbers::Queue* StepNumbers::QueueOf(at::Device device) {
  if (StreamCaptured(device.index())) return nullptr;
  for (const auto& queue : queues_) {
    if (queue->device() == device) return queue.get();
  }
  queues_.push_back(std::make_unique<Queue>(device));
  return queues_.back().get();
}

template <typename Host, typename Device>
void StepNumbers::Add(DigestKind kind, uint32_t subject,
                      const at::Tensor& tensor, Host host, Device device) {
  const NoDigest why = plain_ ? WhyNot(tensor) : NoDigest::kDispatchMode;
  if (why != NoDigest::kNone) {
    AddUnseen(kind, subject, why);
    return;
  }
  try {
    uint64_t value = 0;
    if (tensor.device().is_cpu()) {
      value = host();
    } else {
      const c10::DeviceGuard guard(tensor.device());
      Queue* queue = QueueOf(tensor.device());
      if (queue == nullptr) {
        AddUnseen(kind, subject, NoDigest::kGraphCapture);
        return;
      }
      size_t slot;
      at::Tensor sum = queue->NextSum(&slot);
      device(queue, sum);
      const auto number = static_cast<size_t>(
          std::find_if(queues_.begin(), queues_.end(),
                       [&](const auto& one) { return one.get() == queue; }) -
          queues_.begin());
      awaited_.push_back({records_.size(), number, slot});
    }
    records_.push_back({step_, value, subject, static_cast<uint16_t>(kind), 0});
  } catch (const std::exception&) {
    AddUnseen(kind, subject, NoDigest::kFailed);
  }
}

void StepNumbers::AddLoss(uint32_t place, const at::Tensor& loss) {
  if (loss.is_complex()) {
    AddUnseen(DigestKind::kLoss, place, NoDigest::kDtype);
    return;
  }
  Add(
      DigestKind::kLoss, place, loss,
      [&] {
        return static_cast<uint64_t>(
            *DoubleBits(loss).const_data_ptr<int64_t>());
      },
      [&](Queue*, at::Tensor& sum) { sum.add_(DoubleBits(loss)); });
}

void StepNumbers::AddGradient(uint32_t parameter, const at::Tensor& gradient) {
  const uint64_t seed = DigestSeed(step_);
  Add(
      DigestKind::kGradient, parameter, gradient,
      [&] { return DigestOnHost(gradient, seed); },
      [&](Queue* queue, at::Tensor& sum) {
        queue->Digest(gradient, seed, sum);
      });
}

void StepNumbers::AddUnseen(DigestKind kind, uint32_t subject,
                            NoDigest reason) {
  records_.push_back({step_, 0, subject, static_cast<uint16_t>(kind),
                      static_cast<uint16_t>(reason)});
}

void StepNumbers::Close() {
  for (const auto& queue : queues_) queue->Close();
}

bool StepNumbers::Ready() const {
  for (const auto& queue : queues_) {
    if (!queue->Ready()) return false;
  }
  return true;
}

void StepNumbers::AppendTo(std::vector<DigestRecord>* records) const {
  const size_t first = records->size();
  records->insert(records->end(), records_.begin(), records_.end());
  for (const Place& place : awaited_) {
    (*records)[first + place.record].value =
        queues_[place.queue]->Result(place.slot);
  }
  records->push_back(
      {step_, records_.size(), 0, static_cast<uint16_t>(DigestKind::kStep), 0});
}

}  // namespace invact
