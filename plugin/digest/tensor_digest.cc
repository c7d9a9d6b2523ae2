#include "plugin/digest/tensor_digest.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cstddef>

namespace invact {

namespace {

// The same memory as signed integers of the elements' size.
at::Tensor AsIntegers(const at::Tensor& tensor) {
  switch (tensor.element_size()) {
    case 1:
      return tensor.view(at::kChar);
    case 2:
      return tensor.view(at::kShort);
    case 4:
      return tensor.view(at::kInt);
    case 8:
      return tensor.view(at::kLong);
    default:
      return at::view_as_real(tensor).view(at::kLong);
  }
}

// Calls visit(part, number of its first element) for parts of at most
// kDigestChunk elements that follow one another in row-major order.
template <typename Visit>
void ForEachPart(const at::Tensor& tensor, int64_t first, const Visit& visit) {
  if (tensor.numel() <= kDigestChunk) {
    if (tensor.numel() > 0) visit(tensor, first);
    return;
  }
  if (tensor.dim() > 1 && tensor.is_contiguous()) {
    ForEachPart(tensor.view({-1}), first, visit);
    return;
  }
  const int64_t rows = tensor.size(0), row = tensor.numel() / rows;
  if (row > kDigestChunk) {
    for (int64_t i = 0; i < rows; ++i) {
      ForEachPart(tensor.select(0, i), first + i * row, visit);
    }
    return;
  }
  const int64_t step = kDigestChunk / row;
  for (int64_t i = 0; i < rows; i += step) {
    visit(tensor.narrow(0, i, std::min(step, rows - i)), first + i * row);
  }
}

template <typename Integer>
uint64_t Sum(const at::Tensor& part, uint64_t seed) {
  const Integer* data = part.const_data_ptr<Integer>();
  const int64_t count = part.numel();
  uint64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += DigestMix(static_cast<uint64_t>(int64_t{data[i]}) +
                     kDigestStride * static_cast<uint64_t>(i) + seed);
  }
  return sum;
}

uint64_t SumOfAny(const at::Tensor& part, uint64_t seed) {
  switch (part.element_size()) {
    case 1:
      return Sum<int8_t>(part, seed);
    case 2:
      return Sum<int16_t>(part, seed);
    case 4:
      return Sum<int32_t>(part, seed);
    default:
      return Sum<int64_t>(part, seed);
  }
}

uint64_t SeedOfPart(uint64_t seed, int64_t first) {
  return seed + kDigestStride * static_cast<uint64_t>(first);
}

// torch's int64 wraps around like uint64.
at::Scalar Word(uint64_t word) {
  return at::Scalar(static_cast<int64_t>(word));
}

at::Tensor Words(at::Device device) {
  return at::empty({kDigestChunk},
                   at::TensorOptions().dtype(at::kLong).device(device));
}

}  // namespace

uint64_t DigestOnHost(const at::Tensor& tensor, uint64_t seed) {
  uint64_t digest = 0;
  ForEachPart(AsIntegers(tensor), 0,
              [&](const at::Tensor& part, int64_t first) {
                digest += SumOfAny(part.contiguous(), SeedOfPart(seed, first));
              });
  return digest;
}

DigestByOps::DigestByOps(at::Device device)
    : words_(Words(device)),
      shifted_(Words(device)),
      places_(at::arange(kDigestChunk, words_.options())
                  .mul_(Word(kDigestStride))) {}

void DigestByOps::Add(const at::Tensor& tensor, uint64_t seed,
                      const at::Tensor& sum) {
  ForEachPart(AsIntegers(tensor), 0,
              [&](const at::Tensor& part, int64_t first) {
                at::Tensor words = words_.narrow(0, 0, part.numel());
                at::Tensor shifted = shifted_.narrow(0, 0, part.numel());
                const auto fold = [&] {
                  at::bitwise_right_shift_out(shifted, words, at::Scalar(32));
                  // The shift brings the sign along.
                  shifted.bitwise_and_(at::Scalar(int64_t{0xffffffff}));
                  words.bitwise_xor_(shifted);
                };
                words.view(part.sizes()).copy_(part);
                words.add_(places_.narrow(0, 0, part.numel()));
                words.add_(Word(SeedOfPart(seed, first)));
                fold();
                words.mul_(Word(kDigestFactor1));
                fold();
                words.mul_(Word(kDigestFactor2));
                fold();
                sum.add_(words.sum());
              });
}

}  // namespace invact
