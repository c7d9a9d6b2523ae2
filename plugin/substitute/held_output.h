// The output y of an activation, held with its branch bits, if any, in place of
// the input x, and the table through which a write to y is noticed in time.
//
// The dangerous thing: PyTorch lets a program overwrite y before anything else
// saved it (`y.mul_()`), since eager GELU and SiLU keep x. MaterialiseBefore
// must therefore run before every such write (mutation_guard.h); it gives each
// holder of that storage a private copy of the old y.
//
// Threads: any. One mutex an object, one for the table; no torch call is made
// with the table's.
#ifndef INVACT_PLUGIN_SUBSTITUTE_HELD_OUTPUT_H_
#define INVACT_PLUGIN_SUBSTITUTE_HELD_OUTPUT_H_

#include <ATen/core/Tensor.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "plugin/observe/recorder.h"
#include "plugin/rebuild/value.h"

namespace invact {

class HeldOutput : public std::enable_shared_from_this<HeldOutput> {
 public:
  // `y` without history, sharing the version counter of the op's output.
  // `bits` is undefined where there are none, `also` where PyTorch keeps no
  // other tensor beside x.
  static std::shared_ptr<HeldOutput> Make(at::Tensor y, at::Tensor bits,
                                          const at::Tensor& x,
                                          const at::Tensor& also);
  ~HeldOutput();

  struct View {
    at::Tensor y, bits;
  };
  // For backward. Throws torch's own errors: released already, or written in a
  // way that no guard saw.
  View Read();
  // Whether x was written since: eager, which keeps x, would refuse to go on.
  bool InputWritten() const;
  // x as a variable, undefined when nobody has it any more.
  at::Tensor Input() const { return at::Tensor(x_.lock()); }
  const c10::VariableVersion& input_counter() const { return x_counter_; }
  uint32_t input_version() const { return x_version_; }
  // Lets go of everything; reading then fails like a second backward.
  void Release();
  uint32_t site() const { return ticket_.site; }

  // A private copy of y, unless more writes than these were counted already:
  // reading it then fails with torch's error.
  void Materialise(const c10::StorageImpl* written, uint32_t counted);

  // Whether no write to y was counted so far.
  bool Unwritten();
  // What was counted since is no write: the tensor changed its shape in place.
  void AcceptVersion();

 private:
  HeldOutput() = default;

  std::mutex mutex_;
  at::Tensor y_, bits_;
  uint32_t version_ = 0;
  // Neither keeps x's bytes.
  c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> x_{
      c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>()};
  c10::VariableVersion x_counter_;
  uint32_t x_version_ = 0;
  // Keep their addresses from being used again; not their bytes.
  std::optional<c10::weak_intrusive_ptr<c10::StorageImpl>> x_address_,
      also_address_;
  ValuePtr value_;  // of y
  SubstitutionTicket ticket_, also_ticket_;
};

// Number of outputs held now: zero makes every guard a single test.
extern std::atomic<int64_t> g_held_outputs;

// Those that hold this storage.
std::vector<std::shared_ptr<HeldOutput>> HoldersOf(
    const c10::StorageImpl* storage);

// `written` is about to be written or resized. `counted` of the writes that its
// version counter shows may be this one.
void MaterialiseBefore(const c10::StorageImpl* written,
                       uint32_t counted) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_HELD_OUTPUT_H_
