#include <cstring>

#include "kernels/bits/bits.h"
#include "kernels/bits/eight_bits.h"
#include "kernels/kernel_api.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace invact::kernels {

namespace {

void PackPortable(const uint8_t* bytes, uint8_t* bits, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes + i, 8);
    bits[i / 8] = PackEight(word);
  }
  if (i < n) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + i, static_cast<size_t>(n - i));
    bits[i / 8] = PackEight(word);
  }
}

void UnpackPortable(const uint8_t* bits, uint8_t* bytes, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const uint64_t word = UnpackEight(bits[i / 8]);
    std::memcpy(bytes + i, &word, 8);
  }
  if (i < n) {
    const uint64_t word = UnpackEight(bits[i / 8]);
    std::memcpy(bytes + i, &word, static_cast<size_t>(n - i));
  }
}

#if defined(__x86_64__)

[[gnu::target("avx2")]] void PackAvx2(const uint8_t* bytes, uint8_t* bits,
                                      int64_t n) {
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m256i some =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + i));
    const auto set = ~static_cast<uint32_t>(
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(some, _mm256_setzero_si256())));
    std::memcpy(bits + i / 8, &set, 4);
  }
  PackPortable(bytes + i, bits + i / 8, n - i);
}

[[gnu::target("avx2")]] void UnpackAvx2(const uint8_t* bits, uint8_t* bytes,
                                        int64_t n) {
  const __m256i spread = _mm256_setr_epi64x(
      0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i picks =
      _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i ones = _mm256_set1_epi8(1);
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    int32_t set;
    std::memcpy(&set, bits + i / 8, 4);
    const __m256i picked = _mm256_and_si256(
        _mm256_shuffle_epi8(_mm256_set1_epi32(set), spread), picks);
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(bytes + i),
        _mm256_and_si256(_mm256_cmpeq_epi8(picked, picks), ones));
  }
  UnpackPortable(bits + i / 8, bytes + i, n - i);
}

[[gnu::target("avx512f,avx512bw")]] void PackAvx512(const uint8_t* bytes,
                                                    uint8_t* bits, int64_t n) {
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    const __m512i some = _mm512_loadu_si512(bytes + i);
    const uint64_t set = _mm512_test_epi8_mask(some, some);
    std::memcpy(bits + i / 8, &set, 8);
  }
  PackPortable(bytes + i, bits + i / 8, n - i);
}

[[gnu::target("avx512f,avx512bw")]] void UnpackAvx512(const uint8_t* bits,
                                                      uint8_t* bytes,
                                                      int64_t n) {
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    uint64_t set;
    std::memcpy(&set, bits + i / 8, 8);
    _mm512_storeu_si512(bytes + i, _mm512_maskz_set1_epi8(set, 1));
  }
  UnpackPortable(bits + i / 8, bytes + i, n - i);
}

#endif

const BitsIsa& Best() {
  static const BitsIsa best = [] {
    const BitsIsas known = KnownBitsIsas();
    int i = 0;
    while (!known.isas[i].supported) ++i;
    return known.isas[i];
  }();
  return best;
}

}  // namespace

BitsIsas KnownBitsIsas() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw");
  return {{{"avx512", avx512, PackAvx512, UnpackAvx512},
           {"avx2", avx2, PackAvx2, UnpackAvx2},
           {"portable", true, PackPortable, UnpackPortable}},
          3};
#else
  return {{{"portable", true, PackPortable, UnpackPortable}}, 1};
#endif
}

}  // namespace invact::kernels

extern "C" int invact_pack_bits_cpu(void* stream, const void* bytes, void* bits,
                                    int64_t n) {
  if (n < 0 || stream != nullptr) return INVACT_BAD_ARGUMENT;
  invact::kernels::Best().pack(static_cast<const uint8_t*>(bytes),
                               static_cast<uint8_t*>(bits), n);
  return 0;
}

extern "C" int invact_unpack_bits_cpu(void* stream, const void* bits,
                                      void* bytes, int64_t n) {
  if (n < 0 || stream != nullptr) return INVACT_BAD_ARGUMENT;
  invact::kernels::Best().unpack(static_cast<const uint8_t*>(bits),
                                 static_cast<uint8_t*>(bytes), n);
  return 0;
}
