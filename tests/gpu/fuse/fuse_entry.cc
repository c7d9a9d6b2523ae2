// What check_fuse.py calls in a process with torch: every program of the tests
// is asked for, waited for, and the chains are compared with PyTorch's ops
// written out here, and timed. One JSON line a finding, to the file given.
#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>

#include "plugin/fuse/fused.h"
#include "plugin/observe/oom_observer.h"
#include "tests/unit/fuse/samples.h"

namespace invact {

// What device_state.cc tells an attached job's recorder: there is none here.
void ObserveOutOfMemory() noexcept {}

}  // namespace invact

namespace invact::fuse {
namespace {

using Tensors = std::vector<at::Tensor>;
using Chain = std::function<Tensors(const Tensors&)>;

const at::Device kDevice(at::kCUDA, 0);
std::FILE* out;
int failures = 0;

const char* NameOf(Dtype dtype) {
  return dtype == Dtype::kF32    ? "float32"
         : dtype == Dtype::kBf16 ? "bfloat16"
         : dtype == Dtype::kF16  ? "float16"
         : dtype == Dtype::kBool ? "bool"
                                 : "bits";
}

at::ScalarType TorchOf(Dtype dtype) {
  return dtype == Dtype::kF32    ? at::kFloat
         : dtype == Dtype::kBf16 ? at::kBFloat16
                                 : at::kHalf;
}

const FusedKernel* Await(const Program& program) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(60);
  while (Clock::now() < deadline) {
    if (const FusedKernel* kernel = FindFused(program, kDevice)) return kernel;
    if (FindingOf(program, kDevice).state == FusedState::kRefused) break;
    std::this_thread::yield();
  }
  return nullptr;
}

void CheckOps() {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
    const std::vector<Program> programs = EachOp(dtype);
    for (const Program& program : programs) FindFused(program, kDevice);
    for (const Program& program : programs) {
      const bool ready = Await(program) != nullptr;
      const FusedFinding finding = FindingOf(program, kDevice);
      const Step& step = program.steps[0];
      failures += !ready;
      std::fprintf(
          out,
          "{\"op\": \"%s\", \"dtype\": \"%s\", \"second\": \"%s\", "
          "\"pattern\": %d, \"scalar\": %g, \"alpha\": %g, \"ready\": %s, "
          "\"reason\": \"%s\"}\n",
          OpName(step.op), NameOf(dtype),
          program.inputs.size() > 1 ? NameOf(program.inputs[1].dtype) : "",
          program.inputs.size() > 1
              ? static_cast<int>(program.inputs[1].pattern)
              : -1,
          step.b.value, step.alpha, ready ? "true" : "false",
          finding.reason.c_str());
    }
  }
}

double Milliseconds(const std::function<void()>& run) {
  const c10::impl::VirtualGuardImpl impl(kDevice.type());
  const c10::Stream stream = impl.getStream(kDevice);
  std::vector<double> times;
  for (int i = 0; i < 25; ++i) {
    c10::Event begin(kDevice.type(), c10::EventFlag::BACKEND_DEFAULT);
    c10::Event end(kDevice.type(), c10::EventFlag::BACKEND_DEFAULT);
    begin.record(stream);
    run();
    end.record(stream);
    stream.synchronize();
    if (i >= 5) times.push_back(begin.elapsedTime(end));
  }
  std::nth_element(times.begin(), times.begin() + 10, times.end());
  return times[10];
}

int64_t Different(const at::Tensor& a, const at::Tensor& b) {
  const auto bits = a.scalar_type() == at::kFloat ? at::kInt : at::kShort;
  const at::Tensor wrong =
      a.view(bits)
          .ne(b.view(bits))
          .logical_and(a.isnan().logical_and(b.isnan()).logical_not());
  return wrong.sum().item<int64_t>();
}

int64_t BytesOf(const Tensors& tensors) {
  int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors) {
    bytes += static_cast<int64_t>(tensor.nbytes());
  }
  return bytes;
}

void CheckChain(const char* name, const Program& program, const Tensors& inputs,
                const Chain& chain, double copy) {
  const FusedKernel* kernel = Await(program);
  if (kernel == nullptr) {
    ++failures;
    std::fprintf(out,
                 "{\"chain\": \"%s\", \"ready\": false, \"reason\": "
                 "\"%s\"}\n",
                 name, FindingOf(program, kDevice).reason.c_str());
    return;
  }
  const Tensors truths = chain(inputs);
  Tensors found;
  for (const at::Tensor& truth : truths) {
    found.push_back(at::full_like(truth, 7));
  }
  const bool ran = Launch(*kernel, inputs, found);
  int64_t wrong = ran ? 0 : -1;
  for (size_t i = 0; ran && i < truths.size(); ++i) {
    wrong += Different(truths[i], found[i]);
  }
  failures += wrong != 0;
  const double fused = Milliseconds([&] { Launch(*kernel, inputs, found); });
  const double apart = Milliseconds([&] { chain(inputs); });
  const double rate =
      static_cast<double>(BytesOf(inputs) + BytesOf(found)) / fused / 1e9;
  std::fprintf(out,
               "{\"chain\": \"%s\", \"wrong\": %lld, \"fused_ms\": %.4f, "
               "\"op_by_op_ms\": %.4f, \"tb_per_s\": %.3f, \"of_copy\": "
               "%.3f}\n",
               name, static_cast<long long>(wrong), fused, apart, rate,
               rate / copy);
}

Tensors GeluNewOps(const Tensors& x) {
  const at::Tensor half = x[0] * 0.5;
  const at::Tensor tanh =
      at::tanh((x[0] + at::pow(x[0], 3.0) * 0.044715) * 0.7978845608028654);
  const at::Tensor more = tanh + 1.0;
  return {half, tanh, more, half * more};
}

Tensors SwiGluOps(const Tensors& x) {
  const at::Tensor gate = at::silu(x[0]);
  return {gate, gate * x[1]};
}

Tensors RmsNormOps(const Tensors& x) {
  const at::Tensor wide = x[0].to(at::kFloat);
  const at::Tensor normal = (wide * x[1]).to(x[0].scalar_type());
  return {wide, normal, x[2] * normal};
}

void CheckChains() {
  const auto random = [](at::IntArrayRef sizes, Dtype dtype) {
    return (at::randn(sizes, at::device(kDevice)) * 2).to(TorchOf(dtype));
  };
  const at::Tensor from =
      at::empty({1 << 29}, at::device(kDevice).dtype(at::kByte));
  at::Tensor to = at::empty_like(from);
  const double copy =
      2.0 * (1 << 29) / Milliseconds([&] { to.copy_(from); }) / 1e9;
  std::fprintf(out, "{\"copy_tb_per_s\": %.3f}\n", copy);
  for (const Dtype d : {Dtype::kBf16, Dtype::kF16, Dtype::kF32}) {
    const std::string in = std::string(" ") + NameOf(d);
    CheckChain(("gelu_new" + in).c_str(), GeluNew(d),
               {random({16384, 3072}, d)}, GeluNewOps, copy);
    CheckChain(("silu*u" + in).c_str(), SwiGlu(d),
               {random({8192, 14336}, d), random({8192, 14336}, d)}, SwiGluOps,
               copy);
    CheckChain(("gelu_new odd" + in).c_str(), GeluNew(d),
               {random({1001, 77}, d)}, GeluNewOps, copy);
    if (d == Dtype::kF32) continue;
    for (const int64_t cols : {4096, 4099}) {
      const at::Tensor x = random({8192, cols}, d);
      const at::Tensor rstd =
          at::rsqrt(x.to(at::kFloat).pow(2).mean(-1, true) + 1e-5);
      CheckChain(("rms_norm " + std::to_string(cols) + in).c_str(), RmsNorm(d),
                 {x, rstd, random({cols}, d)}, RmsNormOps, copy);
    }
  }
}

}  // namespace
}  // namespace invact::fuse

extern "C" __attribute__((visibility("default"))) int invact_check_fuse(
    const char* path, const char* folder) {
  using namespace invact::fuse;
  out = std::fopen(path, "w");
  if (out == nullptr) return -1;
  const c10::impl::ExcludeDispatchKeyGuard below(c10::autograd_dispatch_keyset);
  KeepCompiledIn(folder);
  try {
    CheckOps();
    CheckChains();
  } catch (const std::exception& error) {
    std::fprintf(out, "{\"error\": \"%.200s\"}\n", error.what());
    ++failures;
  }
  std::fclose(out);
  return failures;
}
