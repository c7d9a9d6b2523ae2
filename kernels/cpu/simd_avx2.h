// Eight lanes of AVX2 with FMA and F16C, for files compiled for them only.
#ifndef INVACT_KERNELS_CPU_SIMD_AVX2_H_
#define INVACT_KERNELS_CPU_SIMD_AVX2_H_

#include <immintrin.h>

#include "kernels/cpu/element.h"
#include "kernels/decode.h"

namespace invact::kernels {

struct Avx2 {
  using Float = __m256;
  using Mask = __m256;  // all bits of a lane, or none
  using Index = __m256i;
  static constexpr int kLanes = 8;

  INVACT_LANE static Float Set(float v) { return _mm256_set1_ps(v); }
  INVACT_LANE static Float Add(Float a, Float b) { return a + b; }
  INVACT_LANE static Float Sub(Float a, Float b) { return a - b; }
  INVACT_LANE static Float Mul(Float a, Float b) { return a * b; }
  INVACT_LANE static Float Div(Float a, Float b) { return a / b; }
  INVACT_LANE static Float Fma(Float a, Float b, Float c) {
    return _mm256_fmadd_ps(a, b, c);
  }
  // b where either is NaN, as x86 has it.
  INVACT_LANE static Float Min(Float a, Float b) { return _mm256_min_ps(a, b); }
  INVACT_LANE static Float Max(Float a, Float b) { return _mm256_max_ps(a, b); }
  INVACT_LANE static Float MinOrNan(Float a, Float b) { return Min(a, b); }
  INVACT_LANE static Float Sqrt(Float a) { return _mm256_sqrt_ps(a); }
  INVACT_LANE static Float Abs(Float a) {
    return _mm256_andnot_ps(Set(-0.0f), a);
  }
  INVACT_LANE static Float Round(Float a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  INVACT_LANE static Mask Less(Float a, Float b) {
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
  }
  INVACT_LANE static Mask IsNan(Float a) {
    return _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
  }
  INVACT_LANE static bool Any(Mask a) { return _mm256_movemask_ps(a) != 0; }
  INVACT_LANE static Mask And(Mask a, Mask b) { return _mm256_and_ps(a, b); }
  INVACT_LANE static Mask Not(Mask a) {
    return _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));
  }
  INVACT_LANE static Float Select(Mask m, Float yes, Float no) {
    return _mm256_blendv_ps(no, yes, m);
  }

  INVACT_LANE static Float PowerOf2(Float n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
  }
  // Of a positive a; zero and denormals give about -126.
  INVACT_LANE static Float Log2(Float a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i exponent =
        _mm256_and_si256(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f2aaaab)),
                         _mm256_set1_epi32(static_cast<int>(0xff800000)));
    const Float f =
        Sub(_mm256_castsi256_ps(_mm256_sub_epi32(bits, exponent)), Set(1));
    Float sum = Set(kLog2[8]);
#pragma GCC unroll 16
    for (int power = 7; power >= 0; --power) {
      sum = Fma(sum, f, Set(kLog2[power]));
    }
    return Fma(_mm256_cvtepi32_ps(exponent), Set(1.1920929e-7f), Mul(f, sum));
  }
  INVACT_LANE static Index LowThreeBits(Float a) {
    return _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(7));
  }
  template <class Table>
  INVACT_LANE static Float Lookup(const Table& table, int power, Index index) {
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table[power]), index);
  }

  // entries[bits of y + 65536 * bit], one load each: as fast as a gather, and
  // faster on processors that have it slowed down.
  template <class T>
  INVACT_LANE static Float Entries(const float* entries, const T* y,
                                   const uint8_t* side) {
    const uint32_t bits = *side;
    const auto entry = [=](int i) {
      return entries[y[i].bits | (bits << (16 - i) & 65536)];
    };
    return _mm256_setr_ps(entry(0), entry(1), entry(2), entry(3), entry(4),
                          entry(5), entry(6), entry(7));
  }

  INVACT_LANE static Mask LoadBits(const uint8_t* side) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(
        _mm256_and_si256(_mm256_set1_epi32(*side), lane), lane));
  }
  INVACT_LANE static void StoreBits(Mask bits, uint8_t* side) {
    *side = static_cast<uint8_t>(_mm256_movemask_ps(bits));
  }

  INVACT_LANE static Float Load(const float* p) { return _mm256_loadu_ps(p); }
  INVACT_LANE static void Store(Float v, float* p) { _mm256_storeu_ps(p, v); }
  INVACT_LANE static Float Load(const F16* p) {
    return _mm256_cvtph_ps(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  INVACT_LANE static void Store(Float v, F16* p) {
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(p),
        _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  INVACT_LANE static Float Load(const Bf16* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
        16));
  }
  INVACT_LANE static void Store(Float v, Bf16* p) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd =
        _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i nearest = _mm256_srli_epi32(
        _mm256_add_epi32(bits,
                         _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))),
        16);
    const __m256i kept = _mm256_blendv_epi8(nearest, _mm256_set1_epi32(0x7fc0),
                                            _mm256_castps_si256(IsNan(v)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm_packus_epi32(_mm256_castsi256_si128(kept),
                                      _mm256_extracti128_si256(kept, 1)));
  }
};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_SIMD_AVX2_H_
