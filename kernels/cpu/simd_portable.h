// Eight lanes as plain arrays, for processors without AVX2. Right to the same
// bounds as the others, and far slower.
#ifndef INVACT_KERNELS_CPU_SIMD_PORTABLE_H_
#define INVACT_KERNELS_CPU_SIMD_PORTABLE_H_

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/element.h"
#include "kernels/decode.h"

namespace invact::kernels {

struct Portable {
  static constexpr int kLanes = 8;
  struct Float {
    float v[kLanes];
  };
  struct Mask {
    bool v[kLanes];
  };
  struct Index {
    uint32_t v[kLanes];
  };

  template <class Out, class Function>
  INVACT_LANE static Out Each(Function function) {
    Out out;
    for (int i = 0; i < kLanes; ++i) out.v[i] = function(i);
    return out;
  }

  static Float Set(float v) {
    return Each<Float>([=](int) { return v; });
  }
  static Float Add(const Float& a, const Float& b) {
    return Each<Float>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static Float Sub(const Float& a, const Float& b) {
    return Each<Float>([&](int i) { return a.v[i] - b.v[i]; });
  }
  static Float Mul(const Float& a, const Float& b) {
    return Each<Float>([&](int i) { return a.v[i] * b.v[i]; });
  }
  static Float Div(const Float& a, const Float& b) {
    return Each<Float>([&](int i) { return a.v[i] / b.v[i]; });
  }
  static Float Fma(const Float& a, const Float& b, const Float& c) {
    return Each<Float>([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
  }
  // b where either is NaN, as the vector units have it.
  static Float Min(const Float& a, const Float& b) {
    return Each<Float>(
        [&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Float Max(const Float& a, const Float& b) {
    return Each<Float>(
        [&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Float MinOrNan(const Float& a, const Float& b) { return Min(a, b); }
  static Float Sqrt(const Float& a) {
    return Each<Float>([&](int i) { return std::sqrt(a.v[i]); });
  }
  static Float Abs(const Float& a) {
    return Each<Float>([&](int i) { return std::fabs(a.v[i]); });
  }
  static Float Round(const Float& a) {
    return Each<Float>([&](int i) { return std::nearbyint(a.v[i]); });
  }
  static Mask Less(const Float& a, const Float& b) {
    return Each<Mask>([&](int i) { return a.v[i] < b.v[i]; });
  }
  static Mask IsNan(const Float& a) {
    return Each<Mask>([&](int i) { return a.v[i] != a.v[i]; });
  }
  static bool Any(const Mask& a) {
    for (const bool lane : a.v) {
      if (lane) return true;
    }
    return false;
  }
  static Mask And(const Mask& a, const Mask& b) {
    return Each<Mask>([&](int i) { return a.v[i] && b.v[i]; });
  }
  static Mask Not(const Mask& a) {
    return Each<Mask>([&](int i) { return !a.v[i]; });
  }
  static Float Select(const Mask& m, const Float& yes, const Float& no) {
    return Each<Float>([&](int i) { return m.v[i] ? yes.v[i] : no.v[i]; });
  }

  static Float PowerOf2(const Float& n) {
    return Each<Float>([&](int i) {
      return std::bit_cast<float>(
          static_cast<uint32_t>(static_cast<int32_t>(n.v[i]) + 127) << 23);
    });
  }
  static Float Log2(const Float& a) {
    return Each<Float>([&](int i) { return std::log2(a.v[i]); });
  }
  static Index LowThreeBits(const Float& a) {
    return Each<Index>(
        [&](int i) { return std::bit_cast<uint32_t>(a.v[i]) & 7; });
  }
  template <class Table>
  static Float Lookup(const Table& table, int power, const Index& index) {
    return Each<Float>([&](int i) { return table[power][index.v[i]]; });
  }

  // entries[bits of y + 65536 * bit].
  template <class T>
  static Float Entries(const float* entries, const T* y, const uint8_t* side) {
    return Each<Float>(
        [=](int i) { return entries[y[i].bits | (*side >> i & 1) << 16]; });
  }

  static Mask LoadBits(const uint8_t* side) {
    return Each<Mask>([=](int i) { return (*side >> i & 1) != 0; });
  }
  static void StoreBits(const Mask& bits, uint8_t* side) {
    unsigned byte = 0;
    for (int i = 0; i < kLanes; ++i) byte |= unsigned{bits.v[i]} << i;
    *side = static_cast<uint8_t>(byte);
  }

  static Float Load(const float* p) {
    return Each<Float>([=](int i) { return p[i]; });
  }
  static void Store(const Float& v, float* p) {
    for (int i = 0; i < kLanes; ++i) p[i] = v.v[i];
  }
  static Float Load(const Bf16* p) {
    return Each<Float>(
        [=](int i) { return std::bit_cast<float>(uint32_t{p[i].bits} << 16); });
  }
  static void Store(const Float& v, Bf16* p) {
    for (int i = 0; i < kLanes; ++i) {
      const uint32_t bits = std::bit_cast<uint32_t>(v.v[i]);
      const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
      p[i].bits = static_cast<uint16_t>(v.v[i] != v.v[i] ? 0x7fc0 : nearest);
    }
  }
  static Float Load(const F16* p) {
    return Each<Float>([=](int i) { return FromHalf(p[i].bits); });
  }
  static void Store(const Float& v, F16* p) {
    for (int i = 0; i < kLanes; ++i) p[i].bits = ToHalf(v.v[i]);
  }

  static float FromHalf(uint16_t half) {
    const uint32_t sign = uint32_t{half & 0x8000u} << 16;
    const uint32_t size = half & 0x7fffu;
    if (size >= 0x7c00) {  // inf, NaN
      return std::bit_cast<float>(sign | 0x7f800000u | (size & 0x3ff) << 13 |
                                  (size > 0x7c00 ? 0x400000u : 0u));
    }
    // Moves the exponent by a product, which also normalises denormals.
    const float value = std::bit_cast<float>(size << 13) * 0x1p112f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
  }
  static uint16_t ToHalf(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t size = bits & 0x7fffffff;
    uint32_t half;
    if (size > 0x7f800000) {
      half = 0x7e00 | (size >> 13 & 0x3ff);
    } else if (size >= 0x477ff000) {  // rounds to 65536
      half = 0x7c00;
    } else if (size < 0x38800000) {  // half's denormals: units of 2^-24
      half = static_cast<uint32_t>(
          std::nearbyint(std::bit_cast<float>(size) * 0x1p24f));
    } else {
      half = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
    }
    return static_cast<uint16_t>(sign | half);
  }
};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_SIMD_PORTABLE_H_
