// A tensor's digest: 64 bits that two tensors share, but for a chance of 2^-64,
// only where all their elements have the same bits in the same places.
//
//   digest = sum of Mix(bits(i) + kStride * i + seed), i = 0 .. numel - 1
//
// modulo 2^64, over the elements in row-major order whatever the memory's
// order; bits: the element as a signed integer of its own size (a complex128 is
// two elements). A sum, so that chunks and threads may take any order.
//
// Threads: any. Never waits for a device, reads no random number.
#ifndef INVACT_PLUGIN_DIGEST_TENSOR_DIGEST_H_
#define INVACT_PLUGIN_DIGEST_TENSOR_DIGEST_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace invact {

inline constexpr uint64_t kDigestStride = 0x9E3779B97F4A7C15;
inline constexpr uint64_t kDigestFactor1 = 0xBF58476D1CE4E5B9;
inline constexpr uint64_t kDigestFactor2 = 0x94D049BB133111EB;

constexpr uint64_t DigestMix(uint64_t x) {
  x = (x ^ (x >> 32)) * kDigestFactor1;
  x = (x ^ (x >> 32)) * kDigestFactor2;
  return x ^ (x >> 32);
}

// The same gradient in two steps has two digests.
constexpr uint64_t DigestSeed(int64_t step) {
  return DigestMix(static_cast<uint64_t>(step) + 1);
}

// Elements that are looked at together. On a device they take kDigestScratch
// bytes of its memory while a step's digests are made.
inline constexpr int64_t kDigestChunk = int64_t{1} << 19;
inline constexpr int64_t kDigestScratchBytes = 3 * 8 * kDigestChunk;

// Of a strided tensor on the CPU. Errors: torch's.
uint64_t DigestOnHost(const at::Tensor& tensor, uint64_t seed);

// By torch's own ops on the tensor's device and current stream, to be added to
// `sum`, one int64 there. Made once for many tensors of one device.
class DigestByOps {
 public:
  explicit DigestByOps(at::Device device);
  void Add(const at::Tensor& tensor, uint64_t seed, const at::Tensor& sum);

 private:
  const at::Tensor words_, shifted_;  // kDigestChunk elements
  const at::Tensor places_;           // kDigestStride * i
};

}  // namespace invact

#endif  // INVACT_PLUGIN_DIGEST_TENSOR_DIGEST_H_
