// Sixteen lanes of AVX-512 (F, BW, DQ, VL), for files compiled for it only.
#ifndef INVACT_KERNELS_CPU_SIMD_AVX512_H_
#define INVACT_KERNELS_CPU_SIMD_AVX512_H_

#include <immintrin.h>

#include "kernels/cpu/element.h"
#include "kernels/decode.h"

namespace invact::kernels {

struct Avx512 {
  using Float = __m512;
  using Mask = __mmask16;
  using Index = __m512i;
  static constexpr int kLanes = 16;

  INVACT_LANE static Float Set(float v) { return _mm512_set1_ps(v); }
  INVACT_LANE static Float Add(Float a, Float b) { return a + b; }
  INVACT_LANE static Float Sub(Float a, Float b) { return a - b; }
  INVACT_LANE static Float Mul(Float a, Float b) { return a * b; }
  INVACT_LANE static Float Div(Float a, Float b) { return a / b; }
  INVACT_LANE static Float Fma(Float a, Float b, Float c) {
    return _mm512_fmadd_ps(a, b, c);
  }
  // b where either is NaN, as x86 has it.
  INVACT_LANE static Float Min(Float a, Float b) { return _mm512_min_ps(a, b); }
  INVACT_LANE static Float Max(Float a, Float b) { return _mm512_max_ps(a, b); }
  INVACT_LANE static Float MinOrNan(Float a, Float b) { return Min(a, b); }
  INVACT_LANE static Float Sqrt(Float a) { return _mm512_sqrt_ps(a); }
  INVACT_LANE static Float Abs(Float a) { return _mm512_abs_ps(a); }
  INVACT_LANE static Float Round(Float a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT);
  }
  INVACT_LANE static Mask Less(Float a, Float b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
  }
  INVACT_LANE static Mask IsNan(Float a) {
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
  }
  INVACT_LANE static bool Any(Mask a) { return a != 0; }
  INVACT_LANE static Mask And(Mask a, Mask b) { return a & b; }
  INVACT_LANE static Mask Not(Mask a) { return ~a; }
  INVACT_LANE static Float Select(Mask m, Float yes, Float no) {
    return _mm512_mask_blend_ps(m, no, yes);
  }

  INVACT_LANE static Float PowerOf2(Float n) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
  }
  // Of a positive a; zero and denormals give about -126.
  INVACT_LANE static Float Log2(Float a) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i exponent =
        _mm512_and_si512(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f2aaaab)),
                         _mm512_set1_epi32(static_cast<int>(0xff800000)));
    const Float f =
        Sub(_mm512_castsi512_ps(_mm512_sub_epi32(bits, exponent)), Set(1));
    Float sum = Set(kLog2[8]);
#pragma GCC unroll 16
    for (int power = 7; power >= 0; --power) {
      sum = Fma(sum, f, Set(kLog2[power]));
    }
    return Fma(_mm512_cvtepi32_ps(exponent), Set(1.1920929e-7f), Mul(f, sum));
  }
  INVACT_LANE static Index LowThreeBits(Float a) {
    return _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(7));
  }
  template <class Table>
  INVACT_LANE static Float Lookup(const Table& table, int power, Index index) {
    return _mm512_permutexvar_ps(
        index, _mm512_castps256_ps512(_mm256_loadu_ps(table[power])));
  }

  // entries[bits of y + 65536 * bit].
  template <class T>
  INVACT_LANE static Float Entries(const float* entries, const T* y,
                                   const uint8_t* side) {
    const __m512i bits = _mm512_cvtepu16_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(y)));
    const __m512i index = _mm512_mask_or_epi32(bits, LoadBits(side), bits,
                                               _mm512_set1_epi32(65536));
    return _mm512_i32gather_ps(index, entries, sizeof(float));
  }

  INVACT_LANE static Mask LoadBits(const uint8_t* side) {
    return static_cast<Mask>(side[0] | side[1] << 8);
  }
  INVACT_LANE static void StoreBits(Mask bits, uint8_t* side) {
    side[0] = static_cast<uint8_t>(bits);
    side[1] = static_cast<uint8_t>(bits >> 8);
  }

  INVACT_LANE static Float Load(const float* p) { return _mm512_loadu_ps(p); }
  INVACT_LANE static void Store(Float v, float* p) { _mm512_storeu_ps(p, v); }
  INVACT_LANE static Float Load(const F16* p) {
    return _mm512_cvtph_ps(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  INVACT_LANE static void Store(Float v, F16* p) {
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(p),
        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  INVACT_LANE static Float Load(const Bf16* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))),
        16));
  }
  INVACT_LANE static void Store(Float v, Bf16* p) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd =
        _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i nearest = _mm512_srli_epi32(
        _mm512_add_epi32(bits,
                         _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))),
        16);
    const __m512i kept =
        _mm512_mask_mov_epi32(nearest, IsNan(v), _mm512_set1_epi32(0x7fc0));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(kept));
  }
};

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_SIMD_AVX512_H_
