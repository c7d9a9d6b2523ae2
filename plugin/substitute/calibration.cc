#include "plugin/substitute/calibration.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <limits>
#include <mutex>
#include <optional>
#include <vector>

#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/device_state.h"
#include "plugin/observe/recorder.h"
#include "plugin/observe/tensor_facts.h"
#include "plugin/substitute/bit_in_y.h"
#include "plugin/substitute/calibration_samples.h"
#include "plugin/substitute/kernel_registry.h"

namespace invact {

namespace {

struct Key {
  const InvertedOp* op;
  const invact_activation* kernels;  // nullptr: PyTorch's own
  int device;                        // -1: CPU
  at::ScalarType dtype;
  std::array<double, kMaxParameters> parameters;
  bool operator==(const Key&) const = default;
};

struct Outcome {
  Reason reason;
  bool own_forward;
};

struct Known {
  std::mutex mutex;        // of `outcomes`; taken on every served call
  std::mutex calibrating;  // one at a time
  std::vector<std::pair<Key, Outcome>> outcomes;
};
Known& KnownOutcomes() {
  static auto* known = new Known;
  return *known;
}

// Sets of parameters that an op's kernels are checked with. A job may change
// them at every step: after so many, those seen speak for the rest.
constexpr int kMostParameterSets = 8;

std::optional<Outcome> Find(const Key& key) {
  Known& known = KnownOutcomes();
  std::lock_guard lock(known.mutex);
  int sets = 0;
  Outcome worst = {Reason::kNone, true};
  for (const auto& [of, outcome] : known.outcomes) {
    if (of == key) return outcome;
    if (of.op != key.op || of.kernels != key.kernels ||
        of.device != key.device || of.dtype != key.dtype) {
      continue;
    }
    ++sets;
    if (outcome.reason != Reason::kNone) worst.reason = outcome.reason;
    worst.own_forward = worst.own_forward && outcome.own_forward;
  }
  if (sets >= kMostParameterSets) return worst;
  return std::nullopt;
}

// The current stream of the device is one of our own for a while.
class OwnStream {
 public:
  explicit OwnStream(at::Device device) : guard_(device) {
    if (!device.is_cuda()) return;
    impl_.emplace(device.type());
    stream_ = impl_->getStreamFromGlobalPool(device);
    before_ = impl_->exchangeStream(*stream_);
  }
  ~OwnStream() {
    if (before_.has_value()) impl_->exchangeStream(*before_);
  }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  void Wait() const {
    if (stream_.has_value()) stream_->synchronize();
  }

 private:
  const c10::DeviceGuard guard_;
  std::optional<c10::impl::VirtualGuardImpl> impl_;
  std::optional<c10::Stream> stream_, before_;
};

void Check(int error, const char* what) {
  TORCH_CHECK(error == 0, what, " failed with error ", error);
}

// kNone when the kernels keep what they state.
Reason Try(const Inversion& call, const Key& key, at::Device device,
           KernelFinding* finding, bool* own_forward) {
  const invact_activation& kernels = *call.kernels;
  const double* parameters = call.arguments.parameters.data();
  const OwnWork own;
  const OwnStream stream(device);
  CalibrationSamples samples(key.dtype, device);
  if (!samples.AskTorch(call)) return Reason::kCalibrationPending;
  stream.Wait();
  const int dtype = KernelDtype(key.dtype);
  const auto wants = [dtype](uint32_t dtypes) {
    return (dtypes >> dtype & 1) != 0;
  };
  const at::Tensor& x = samples.x().device;
  const int64_t count = samples.count();
  Shared side;
  void* bits = nullptr;
  if (kernels.side_bits > 0) {
    side = MakeShared(INVACT_SIDE_BYTES(count), at::kByte, device);
    bits = side.device.data_ptr();
  }
  if (call.bit_in_y) {  // PyTorch's y is then the one with the bits in it
    Check(
        RunKernel(kernels, KernelCall::kMark, parameters, x, x.const_data_ptr(),
                  samples.y().device.const_data_ptr(), bits, nullptr),
        "the marking kernel");
    Check(PutBitsInY(samples.y().device, bits), "putting the bits into y");
    stream.Wait();
  }
  if (wants(kernels.table_dtypes)) {
    const invact_call told = DescribeCall(x, parameters);
    const invact_patterns patterns = {
        sizeof(patterns), 0,
        static_cast<const uint16_t*>(samples.y().host.const_data_ptr()),
        samples.slope().data()};
    Check(kernels.prepare(&told, &patterns), "preparing the kernel's table");
    stream.Wait();
  }
  const Shared y = MakeShared(count, key.dtype, device);
  const Shared dy = MakeShared(count, key.dtype, device);
  const Shared dx = MakeShared(count, key.dtype, device);
  dy.host.fill_(1);
  const bool in_one_pass = call.bit_in_y && InOnePass(kernels);
  const uint32_t flags = in_one_pass ? INVACT_BIT_IN_Y : 0;
  *own_forward = wants(kernels.forward_exact);
  if (*own_forward) {
    Check(RunKernel(kernels, KernelCall::kForward, parameters, x,
                    x.const_data_ptr(), y.device.data_ptr(),
                    in_one_pass ? nullptr : bits, nullptr, flags),
          "the forward kernel");
    stream.Wait();
    if (call.bit_in_y && !in_one_pass) {
      Check(PutBitsInY(y.device, bits), "putting the bits into y");
      stream.Wait();
    }
    if (const int64_t other = samples.OtherOutputs(y.host); other > 0) {
      finding->detail =
          std::to_string(other) + " outputs differ from PyTorch's";
      if ((kernels.flags & INVACT_FORWARD_BY_FORMULA) == 0 ||
          kernels.mark == nullptr) {
        return Reason::kCalibrationFailed;
      }
      finding->detail += ", whose forward is called";
      *own_forward = false;
    }
  }
  if (!*own_forward) {
    y.host.copy_(samples.y().host);
    if (bits != nullptr) {
      Check(RunKernel(kernels, KernelCall::kMark, parameters, x,
                      x.const_data_ptr(), y.device.const_data_ptr(), bits,
                      nullptr),
            "the marking kernel");
    }
  }
  if (call.bit_in_y && !in_one_pass) {
    Check(PutBitsInY(y.device, bits), "putting the bits into y");
    Check(TakeBitsFromY(y.device, bits), "taking the bits from y");
  }
  Check(RunKernel(kernels, KernelCall::kBackward, parameters, x,
                  y.device.const_data_ptr(), in_one_pass ? nullptr : bits,
                  dy.device.const_data_ptr(), dx.device.data_ptr(), flags),
        "the backward kernel");
  stream.Wait();
  return samples.Judge(kernels, call.bit_in_y ? at::Tensor() : side.host,
                       dx.host, call.bit_in_y ? kBitInYLoss : 1, finding)
             ? Reason::kNone
             : Reason::kCalibrationFailed;
}

Reason Calibrate(const Inversion& call, const Key& key, at::Device device,
                 bool* own_forward) {
  KernelFinding finding;
  finding.op = call.op->name;
  const std::string_view variant = call.arguments.variant();
  if (!variant.empty() && variant != "none") {
    finding.op += "(" + std::string(variant) + ")";
  }
  if (call.op->by_kernel != nullptr) {  // PyTorch's own has a line of its own
    finding.op += std::string("(") + call.op->by_kernel + ")";
  }
  finding.dtype = DtypeName(key.dtype);
  finding.device = device.str();
  finding.library = LibraryOf(*call.kernels);
  finding.side_bits =
      call.bit_in_y ? 0 : static_cast<int>(call.kernels->side_bits);
  finding.reason = Reason::kCalibrationFailed;
  try {
    finding.reason = Try(call, key, device, &finding, own_forward);
  } catch (const std::exception& error) {
    finding.detail = error.what();
    finding.detail.resize(
        std::min(finding.detail.find('\n'), finding.detail.size()));
  }
  if (finding.reason == Reason::kCalibrationPending) return finding.reason;
  if (finding.reason != Reason::kNone) {
    SayTrouble("calibration-" + finding.op + finding.dtype + finding.device,
               finding.op + " in " + finding.dtype + " on " + finding.device +
                   " keeps PyTorch's own kernel: the kernel of " +
                   finding.library + " did not pass its check (" +
                   finding.detail + "; next: invact kernels)");
  }
  Recorder::Get().NoteKernel(finding);
  return finding.reason;
}

// Nothing of ours runs: shown so that the list of what is served is whole.
void NoteTorchs(const Inversion& call, at::Device device,
                at::ScalarType dtype) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  KernelFinding finding;
  finding.op = call.op->name;
  finding.dtype = DtypeName(dtype);
  finding.device = device.str();
  finding.library = "PyTorch";
  for (double* figure :
       {&finding.stated_max, &finding.stated_rms, &finding.floor_max,
        &finding.floor_rms, &finding.error_max, &finding.error_rms}) {
    *figure = kUnknown;
  }
  Recorder::Get().NoteKernel(finding);
}

}  // namespace

Reason Calibrated(Inversion* call, const at::Tensor& x) noexcept {
  Key key{call->op,
          call->kernels,
          x.is_cuda() ? x.get_device() : -1,
          x.scalar_type(),
          {}};
  // PyTorch's own are noted once, whatever the parameters.
  if (call->kernels != nullptr) key.parameters = call->arguments.parameters;
  const auto use = [call](const Outcome& outcome) {
    call->own_forward = outcome.own_forward;
    return outcome.reason;
  };
  if (const auto outcome = Find(key)) return use(*outcome);
  Known& known = KnownOutcomes();
  Outcome found = {Reason::kNone, false};
  if (call->kernels == nullptr) {
    NoteTorchs(*call, x.device(), x.scalar_type());
    std::lock_guard lock(known.mutex);
    known.outcomes.emplace_back(key, found);
    return use(found);
  }
  if (x.is_cuda() && StreamCaptured(x.get_device())) {
    return Reason::kCalibrationPending;
  }
  std::lock_guard one_at_a_time(known.calibrating);
  if (const auto outcome = Find(key)) return use(*outcome);
  found.reason = Reason::kCalibrationFailed;
  try {
    found.reason = Calibrate(*call, key, x.device(), &found.own_forward);
  } catch (const std::exception& error) {
    SayTrouble("calibration", error.what());
  }
  if (found.reason == Reason::kCalibrationPending) return found.reason;
  std::lock_guard lock(known.mutex);
  known.outcomes.emplace_back(key, found);
  return use(found);
}

}  // namespace invact
