// The suite of tests/unit/kernels on libinvact-cuda.so, and what only a GPU can
// show: streams, graphs, more than 2^31 elements. Exits 77 without a GPU.
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "tests/gpu/kernels/library_path.h"
#include "tests/unit/kernels/harness.h"
#include "tests/unit/kernels/number.h"
#include "tests/unit/kernels/patterns.h"
#include "tests/unit/kernels/subject.h"

namespace invact::kernels {
namespace {

#define CUDA_OK(call) ASSERT_EQ(call, cudaSuccess)

class DeviceMemory : public Memory {
 public:
  void* Allocate(size_t bytes) override {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, bytes), cudaSuccess);
    return memory;
  }
  void Free(void* memory) override { EXPECT_EQ(cudaFree(memory), cudaSuccess); }
  void CopyIn(void* to, const void* from, size_t bytes) override {
    EXPECT_EQ(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), cudaSuccess);
  }
  void CopyOut(void* to, const void* from, size_t bytes) override {
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
  }
};

int Collect(void* ctx, const invact_activation* activation) {
  static_cast<std::vector<const invact_activation*>*>(ctx)->push_back(
      activation);
  return 0;
}

std::vector<const invact_activation*> Registered() {
  std::vector<const invact_activation*> added;
  void* library = dlopen(LibraryPath().c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::exit(1);
  }
  const auto add = reinterpret_cast<int (*)(const invact_registry*)>(
      dlsym(library, "invact_register_kernels"));
  const invact_registry registry = {sizeof(invact_registry), INVACT_KERNEL_ABI,
                                    &added, Collect};
  if (add == nullptr || add(&registry) != 0) std::exit(1);
  return added;
}

// What `forward` and `backward` of an activation say before `prepare`, by
// dtype.
using Refusals = std::map<int, std::pair<int, int>>;
std::map<const invact_activation*, Refusals>& Unprepared() {
  static std::map<const invact_activation*, Refusals> unprepared;
  return unprepared;
}

// Prepares the dtypes that want it, as a host does before their first call.
void Prepare(const Subject& subject) {
  const invact_activation& activation = *subject.activation;
  for (int dtype = 0; dtype < INVACT_DTYPES; ++dtype) {
    if ((activation.table_dtypes >> dtype & 1) == 0) continue;
    const invact_call call = {sizeof(call), dtype, nullptr, nullptr, 0};
    uint64_t memory[4] = {};
    Unprepared()[&activation][dtype] = {
        activation.forward(&call, memory, memory, memory, 1),
        activation.backward(&call, memory, memory, memory, memory, 1)};
    const Patterns patterns(dtype, subject.reference);
    if (activation.prepare(&call, &patterns.view) != 0) {
      std::fprintf(stderr, "%s: prepare failed\n", subject.name.c_str());
      std::exit(1);
    }
  }
}

std::vector<Subject> MakeSubjects() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("skipped: no CUDA device\n");
    std::exit(77);
  }
  std::vector<Subject> subjects;
  const auto memory = std::make_shared<DeviceMemory>();
  for (const invact_activation* activation : Registered()) {
    for (Subject& subject : SubjectsOf("cuda", *activation, memory)) {
      Prepare(subject);
      subjects.push_back(std::move(subject));
    }
  }
  return subjects;
}

class CudaKernel : public testing::TestWithParam<size_t> {
 protected:
  const Subject& subject() const { return Subjects()[GetParam()]; }
  const invact_activation& activation() const { return *subject().activation; }
  bool marks() const { return activation().side_bits > 0; }
  const double* scalars() const { return subject().scalars.data(); }
};

// Every eighth of a period differs, so that a wrong offset shows.
Bits Period(size_t length) {
  Bits x(length);
  for (size_t i = 0; i < length; ++i) {
    x[i] = ToBits(INVACT_BF16, -6 + 12.0 * (i * 7919 % length) / length);
  }
  return x;
}

std::vector<uint16_t> Halves(const Bits& bits) {
  return std::vector<uint16_t>(bits.begin(), bits.end());
}

// `size` bytes at `memory` are `period` over and over.
void ExpectRepeats(const void* memory, size_t size, const void* period,
                   size_t period_bytes, const char* what) {
  std::vector<uint8_t> part(period_bytes);
  for (size_t at = 0; at < size; at += period_bytes) {
    const size_t bytes = std::min(period_bytes, size - at);
    CUDA_OK(cudaMemcpy(part.data(), static_cast<const uint8_t*>(memory) + at,
                       bytes, cudaMemcpyDeviceToHost));
    ASSERT_EQ(std::memcmp(part.data(), period, bytes), 0)
        << what << " from byte " << at;
  }
}

// The same values, again and again over 2^31 + 5003 elements, give what they
// give alone.
TEST_P(CudaKernel, ServesMoreThanTwoToThe31Elements) {
  constexpr size_t kPeriod = 1 << 22;
  constexpr int64_t kCount = (int64_t{1} << 31) + 5003;
  size_t free_bytes = 0, total_bytes = 0;
  CUDA_OK(cudaMemGetInfo(&free_bytes, &total_bytes));
  constexpr size_t kNeeded = kCount * 4 + kCount / 8 + (size_t{1} << 30);
  if (free_bytes < kNeeded) {
    GTEST_SKIP() << "needs " << kNeeded << " bytes of device memory";
  }
  const Bits x = Period(kPeriod);
  const Harness alone(subject(), INVACT_BF16);
  const Forwarded forwarded = alone.Forward(x);
  const auto xs = Halves(x), ys = Halves(forwarded.y);
  const auto dxs =
      Halves(alone.Backward(forwarded.y, forwarded.side, forwarded.y));
  void *a, *b, *side;
  CUDA_OK(cudaMalloc(&a, kCount * 2));
  CUDA_OK(cudaMalloc(&b, kCount * 2));
  CUDA_OK(cudaMalloc(&side, INVACT_SIDE_BYTES(kCount)));
  for (int64_t at = 0; at < kCount; at += kPeriod) {
    const int64_t count = std::min<int64_t>(kPeriod, kCount - at);
    CUDA_OK(cudaMemcpy(static_cast<uint16_t*>(a) + at, xs.data(), count * 2,
                       cudaMemcpyHostToDevice));
  }

  const invact_call call = {sizeof(call), INVACT_BF16, nullptr, scalars(), 0};
  ASSERT_EQ(activation().forward(&call, a, b, side, kCount), 0);
  CUDA_OK(cudaDeviceSynchronize());
  ExpectRepeats(b, kCount * 2, ys.data(), kPeriod * 2, "y");
  if (marks()) {
    ExpectRepeats(side, kCount / 8, forwarded.side.data(), kPeriod / 8, "side");
  }
  ASSERT_EQ(activation().backward(&call, b, side, b, a, kCount), 0);
  CUDA_OK(cudaDeviceSynchronize());
  ExpectRepeats(a, kCount * 2, dxs.data(), kPeriod * 2, "dx");

  CUDA_OK(cudaFree(a));
  CUDA_OK(cudaFree(b));
  CUDA_OK(cudaFree(side));
}

// Enqueued on the stream given and nowhere else: a capture of that stream in
// the strictest mode holds exactly these kernels and works again and again.
TEST_P(CudaKernel, CanBeCapturedInAGraph) {
  constexpr int64_t kCount = 10007;
  Bits x = Period(1 << 14);
  x.resize(kCount);
  const Harness harness(subject(), INVACT_BF16);
  const Forwarded expected = harness.Forward(x);
  const Bits expected_dx =
      harness.Backward(expected.y, expected.side, expected.y);
  uint16_t *in, *y, *dx;
  void* side;
  CUDA_OK(cudaMalloc(&in, kCount * 2));
  CUDA_OK(cudaMalloc(&y, kCount * 2));
  CUDA_OK(cudaMalloc(&dx, kCount * 2));
  CUDA_OK(cudaMalloc(&side, INVACT_SIDE_BYTES(kCount)));
  cudaStream_t stream;
  CUDA_OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));

  CUDA_OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  const invact_call call = {sizeof(call), INVACT_BF16, stream, scalars(), 0};
  EXPECT_EQ(activation().forward(&call, in, y, side, kCount), 0);
  EXPECT_EQ(activation().backward(&call, y, side, y, dx, kCount), 0);
  cudaGraph_t graph;
  CUDA_OK(cudaStreamEndCapture(stream, &graph));

  size_t nodes = 0;
  CUDA_OK(cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT_EQ(nodes, 2u);
  cudaGraphExec_t executable;
  CUDA_OK(cudaGraphInstantiate(&executable, graph, 0));
  for (int replay = 0; replay < 2; ++replay) {
    const auto xs = Halves(x);
    CUDA_OK(cudaMemcpy(in, xs.data(), kCount * 2, cudaMemcpyHostToDevice));
    CUDA_OK(cudaMemset(y, 0xff, kCount * 2));
    CUDA_OK(cudaMemset(dx, 0xff, kCount * 2));
    CUDA_OK(cudaDeviceSynchronize());
    CUDA_OK(cudaGraphLaunch(executable, stream));
    CUDA_OK(cudaStreamSynchronize(stream));
    std::vector<uint16_t> got(kCount);
    CUDA_OK(cudaMemcpy(got.data(), y, kCount * 2, cudaMemcpyDeviceToHost));
    EXPECT_EQ(got, Halves(expected.y));
    CUDA_OK(cudaMemcpy(got.data(), dx, kCount * 2, cudaMemcpyDeviceToHost));
    EXPECT_EQ(got, Halves(expected_dx));
  }

  CUDA_OK(cudaGraphExecDestroy(executable));
  CUDA_OK(cudaGraphDestroy(graph));
  CUDA_OK(cudaStreamDestroy(stream));
  for (void* memory : {static_cast<void*>(in), static_cast<void*>(y),
                       static_cast<void*>(dx), side}) {
    CUDA_OK(cudaFree(memory));
  }
}

TEST_P(CudaKernel, NothingIsServedBeforeItIsPrepared) {
  for (const auto& [dtype, said] : Unprepared()[&activation()]) {
    EXPECT_EQ(said.first, INVACT_NOT_PREPARED) << "forward " << dtype;
    EXPECT_EQ(said.second, INVACT_NOT_PREPARED) << "backward " << dtype;
  }
}

// By table, which more than two million elements are read from: all bits of y
// are what the host said, those of NaN included, with neighbours that stand in
// the shared table and with such that do not.
TEST_P(CudaKernel, PreparedForwardGivesTheBitsThatItWasTold) {
  for (int dtype = 0; dtype < INVACT_DTYPES; ++dtype) {
    if ((activation().table_dtypes >> dtype & 1) == 0) continue;
    const Patterns told(dtype, subject().reference);
    Bits x;
    for (uint32_t i = 0; i < 34 * INVACT_PATTERNS; ++i) {
      x.push_back(i * (i < INVACT_PATTERNS ? 1 : 7919) % INVACT_PATTERNS);
    }

    const Bits y = Harness(subject(), dtype).Forward(x).y;

    for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], told.y[x[i]]) << x[i];
  }
}

// The same where the last thread has fewer than eight, aligned or not: the
// suite's lengths are too small for tables in forward, and for long blocks.
TEST_P(CudaKernel, TablesServeAnyTailOfALargeTensor) {
  constexpr size_t kLarge = size_t{1} << 21;
  for (int dtype = 0; dtype < INVACT_DTYPES; ++dtype) {
    if ((activation().table_dtypes >> dtype & 1) == 0) continue;
    const Patterns told(dtype, subject().reference);
    Bits x(kLarge + 16), y(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = i * 7919 % INVACT_PATTERNS;
      y[i] = told.y[x[i]];
    }
    const Forwarded whole = Harness(subject(), dtype).Forward(x);
    ASSERT_EQ(whole.y, y);
    const Bits dx = Harness(subject(), dtype).Backward(y, whole.side, x);
    for (const int offset : {0, 3}) {
      for (const size_t tail : {1, 8, 13}) {
        const size_t n = kLarge + tail;
        const auto first = [n](const Bits& all) {
          return Bits(all.begin(), all.begin() + n);
        };
        Bytes side(whole.side.begin(), whole.side.begin() + n / 8 + 1);
        if (n % 8 != 0) {
          side.back() &= (1 << n % 8) - 1;
        } else {
          side.pop_back();
        }
        const Harness harness(subject(), dtype, offset);
        const Forwarded part = harness.Forward(first(x));
        ASSERT_EQ(part.y, first(y)) << tail << " at " << offset;
        ASSERT_EQ(part.side, side) << tail << " at " << offset;
        ASSERT_EQ(harness.Backward(part.y, part.side, first(x)), first(dx))
            << tail << " at " << offset;
      }
    }
  }
}

// By table two elements share a register. The ends of all octaves, where ranges
// end, beside one another in every way; as many alone, so that both are looked
// up.
TEST_P(CudaKernel, NeighboursDoNotMatter) {
  Bits ends;
  for (uint32_t bits = 0; bits < INVACT_PATTERNS; bits += 128) {
    ends.push_back(bits);
    ends.push_back(bits + 127);
  }
  Bits pairs, alone;
  for (uint32_t first : ends) {
    for (uint32_t second : ends) {
      pairs.push_back(first);
      pairs.push_back(second);
    }
    alone.resize(alone.size() + 2 * ends.size(), first);
  }
  const Harness harness(subject(), INVACT_BF16);
  const auto expect_alike = [&](const Bits& in_pairs, const Bits& by_itself) {
    for (size_t i = 0; i < in_pairs.size(); ++i) {
      const size_t end = i % 2 ? i / 2 % ends.size() : i / 2 / ends.size();
      ASSERT_EQ(in_pairs[i], by_itself[end * 2 * ends.size() + i % 2])
          << pairs[i] << " beside " << pairs[i ^ 1];
    }
  };
  expect_alike(harness.Forward(pairs).y, harness.Forward(alone).y);

  for (uint8_t fill : {0x00, 0x55, 0xff}) {
    const auto gradient = [&](const Bits& y) {
      return harness.Backward(y, Bytes(INVACT_SIDE_BYTES(y.size()), fill),
                              Bits(y.size(), ToBits(INVACT_BF16, 1)));
    };
    expect_alike(gradient(pairs), gradient(alone));
  }
}

TEST_P(CudaKernel, BadPatternsAreRefused) {
  if (activation().table_dtypes == 0) GTEST_SKIP() << "needs no patterns";
  const Patterns good(INVACT_BF16, subject().reference);
  const invact_call call = {sizeof(call), INVACT_BF16, nullptr, nullptr, 0};
  const invact_call other = {sizeof(call), INVACT_F32, nullptr, nullptr, 0};
  const invact_patterns no_y = {sizeof(no_y), 0, nullptr, good.slope.data()};
  const invact_patterns no_slope = {sizeof(no_y), 0, good.y.data(), nullptr};
  EXPECT_NE(activation().prepare(&call, nullptr), 0);
  EXPECT_NE(activation().prepare(nullptr, &good.view), 0);
  EXPECT_NE(activation().prepare(&other, &good.view), 0);
  EXPECT_NE(activation().prepare(&call, &no_y), 0);
  EXPECT_NE(activation().prepare(&call, &no_slope), 0);
}

TEST_P(CudaKernel, ALaunchThatIsRefusedIsReported) {
  // More blocks than a grid has; nothing is enqueued, nothing stays broken.
  uint64_t memory[4] = {};
  const invact_call call = {sizeof(call), INVACT_BF16, nullptr, nullptr, 0};
  EXPECT_NE(activation().forward(&call, memory, memory, memory,
                                 std::numeric_limits<int64_t>::max() / 4),
            0);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  Bits x = Period(64);
  EXPECT_EQ(Harness(subject(), INVACT_BF16).Forward(x).y.size(), x.size());
}

INSTANTIATE_TEST_SUITE_P(All, CudaKernel,
                         testing::Range<size_t>(0, Subjects().size()),
                         [](const testing::TestParamInfo<size_t>& info) {
                           return Subjects()[info.param].name;
                         });

}  // namespace

const std::vector<Subject>& Subjects() {
  static const std::vector<Subject> subjects = MakeSubjects();
  return subjects;
}

}  // namespace invact::kernels
