// The loop for the CPU and the chain of torch's ops for devices, which runs on
// any device and so on the CPU here, against the definition in docs/compare.md
// element by element.
#include "plugin/digest/tensor_digest.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace invact {
namespace {

using Word = unsigned __int128;

// Modulo 2^64 by division, of a number that can't overflow.
uint64_t Times(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>(Word{a} * b % (Word{1} << 64));
}
uint64_t Plus(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>((Word{a} + b) % (Word{1} << 64));
}
uint64_t Mixed(uint64_t x) {
  x ^= x / (uint64_t{1} << 32);
  x = Times(x, 0xBF58476D1CE4E5B9);
  x ^= x / (uint64_t{1} << 32);
  x = Times(x, 0x94D049BB133111EB);
  return x ^ x / (uint64_t{1} << 32);
}

template <typename Integer>
uint64_t Bits(const char* at) {
  Integer value;
  std::memcpy(&value, at, sizeof(value));
  return static_cast<uint64_t>(static_cast<int64_t>(value));
}

uint64_t Expected(const at::Tensor& tensor, uint64_t seed) {
  const at::Tensor dense = tensor.contiguous();
  const auto* bytes = static_cast<const char*>(dense.const_data_ptr());
  const int64_t size =
      std::min<int64_t>(static_cast<int64_t>(dense.element_size()), 8);
  const auto total = static_cast<int64_t>(dense.nbytes()) / size;
  uint64_t sum = 0;
  for (int64_t i = 0; i < total; ++i) {
    const char* at = bytes + i * size;
    const uint64_t bits = size == 1   ? Bits<int8_t>(at)
                          : size == 2 ? Bits<int16_t>(at)
                          : size == 4 ? Bits<int32_t>(at)
                                      : Bits<int64_t>(at);
    const uint64_t place = Times(0x9E3779B97F4A7C15, static_cast<uint64_t>(i));
    sum = Plus(sum, Mixed(Plus(Plus(bits, place), seed)));
  }
  return sum;
}

at::Tensor Random(at::IntArrayRef sizes, at::ScalarType dtype) {
  const at::Tensor tensor = at::empty(sizes, dtype);
  auto* bytes = static_cast<uint8_t*>(tensor.data_ptr());
  uint64_t x = 88172645463325252;
  for (size_t i = 0; i < tensor.nbytes(); ++i) {  // every pattern, NaNs too
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    bytes[i] = static_cast<uint8_t>(x >> 32);
  }
  return tensor;
}

uint64_t ByOps(const at::Tensor& tensor, uint64_t seed) {
  const at::Tensor sum = at::zeros({}, at::kLong);
  DigestByOps ops(at::kCPU);
  ops.Add(tensor, seed, sum);
  return static_cast<uint64_t>(sum.item<int64_t>());
}

void ExpectBoth(const at::Tensor& tensor, const std::string& what) {
  for (const uint64_t seed : {uint64_t{0}, DigestSeed(3)}) {
    const uint64_t expected = Expected(tensor, seed);
    EXPECT_EQ(DigestOnHost(tensor, seed), expected) << what;
    EXPECT_EQ(ByOps(tensor, seed), expected) << what;
  }
}

TEST(TensorDigest, IsThatOfTheDefinitionForEachType) {
  for (const at::ScalarType dtype :
       {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kComplexFloat,
        at::kComplexDouble, at::kFloat8_e4m3fn, at::kComplexHalf}) {
    ExpectBoth(Random({7, 13}, dtype), c10::toString(dtype));
  }
}

TEST(TensorDigest, GoesOnOverChunks) {
  for (const int64_t extra : {-1, 0, 1, 1000}) {
    ExpectBoth(Random({kDigestChunk + extra}, at::kBFloat16),
               std::to_string(extra));
  }
  ExpectBoth(Random({3, kDigestChunk / 2, 2}, at::kFloat), "three");
}

TEST(TensorDigest, FollowsRowsWhateverTheMemorysOrder) {
  const at::Tensor image = Random({5, 64, 60, 70}, at::kFloat);
  ExpectBoth(image.to(at::kFloat, false, false, at::MemoryFormat::ChannelsLast),
             "channels last");
  ExpectBoth(image.transpose(0, 3), "transposed");
  ExpectBoth(Random({2, kDigestChunk + 5}, at::kHalf).t(), "a long column");
  ExpectBoth(Random({kDigestChunk, 2}, at::kHalf).t(), "two long rows");
  ExpectBoth(image.slice(2, 3, 50, 7), "a slice");
  ExpectBoth(Random({1}, at::kFloat).expand({9, 4}), "expanded");
}

TEST(TensorDigest, OfLittleIsOfNothingElse) {
  ExpectBoth(Random({}, at::kDouble), "a number");
  EXPECT_EQ(DigestOnHost(Random({0, 4}, at::kFloat), 5), 0u);
  EXPECT_EQ(ByOps(Random({0, 4}, at::kFloat), 5), 0u);
}

TEST(TensorDigest, AChangedBitAPlaceOrAStepIsSeen) {
  const at::Tensor one = Random({100, 100}, at::kFloat);
  const uint64_t digest = DigestOnHost(one, DigestSeed(0));
  EXPECT_NE(digest, DigestOnHost(one, DigestSeed(1)));
  EXPECT_NE(digest, DigestOnHost(one.t(), DigestSeed(0)));
  for (int bit = 0; bit < 32; ++bit) {
    const at::Tensor other = one.clone();
    auto* words = static_cast<uint32_t*>(other.data_ptr());
    words[4711 + bit] ^= uint32_t{1} << bit;
    EXPECT_NE(digest, DigestOnHost(other, DigestSeed(0))) << bit;
  }
  const at::Tensor swapped = one.clone();
  auto* floats = static_cast<uint32_t*>(swapped.data_ptr());
  std::swap(floats[3], floats[9000]);
  EXPECT_NE(digest, DigestOnHost(swapped, DigestSeed(0)));
}

}  // namespace
}  // namespace invact
