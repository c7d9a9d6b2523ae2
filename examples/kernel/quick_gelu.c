/* QuickGELU, x * sigmoid(1.702 x), for invact: a kernel library in plain C.

   It has no formula for the inverse and needs none. Both 16-bit dtypes have
   65536 values only, so `prepare` writes down f' for every output and branch,
   and backward looks it up. The same file serves any function that falls and
   then rises, or only rises: change the op's name and where its minimum is. */
#include <math.h>
#include <stddef.h>

#include "kernels/kernel_api.h"

/* Where f is lowest: left of it the bit is 1. */
static const float kMinimumAt = -0.75115425f;

/* By dtype and by (bit, bits of y). */
static float slope_of[2][2 * INVACT_PATTERNS];
static uint16_t input_of[2][2 * INVACT_PATTERNS];

static float Float32(uint32_t bits) {
  union {
    uint32_t bits;
    float value;
  } of = {bits};
  return of.value;
}

/* bfloat16 is the upper half of a float; float16 by its definition. */
static float Value(uint16_t bits, int dtype) {
  if (dtype == INVACT_BF16) return Float32((uint32_t)bits << 16);
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  float size = exponent == 31 ? (mantissa ? NAN : INFINITY)
               : exponent == 0
                   ? ldexpf((float)mantissa, -24)
                   : ldexpf((float)(1024 + mantissa), exponent - 25);
  return bits >> 15 ? -size : size;
}

/* To nearest even. */
static uint16_t Bits(float value, int dtype) {
  union {
    float value;
    uint32_t bits;
  } of = {value};
  const uint16_t sign = (uint16_t)(of.bits >> 16 & 0x8000);
  const float size = fabsf(value);
  if (dtype == INVACT_BF16) {
    if (isnan(value)) return 0x7fc0;
    return (uint16_t)((of.bits + 0x7fff + (of.bits >> 16 & 1)) >> 16);
  }
  if (isnan(value)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  if (size < 0x1p-14f) return sign | (uint16_t)rintf(ldexpf(size, 24));
  int exponent;
  const float fraction = frexpf(size, &exponent); /* 0.5 to 1 */
  return (uint16_t)(sign + ((exponent + 13) << 10) +
                    (uint16_t)rintf(ldexpf(fraction, 11)));
}

static size_t Code(const void* y, const void* side, int64_t i) {
  const int bit = ((const uint8_t*)side)[i / 8] >> (i % 8) & 1;
  return (size_t)bit * INVACT_PATTERNS + ((const uint16_t*)y)[i];
}

/* The middle of the slopes of all x that share an output and a branch is the
   best that any decoder can answer. */
static int Prepare(const struct invact_call* call,
                   const struct invact_patterns* patterns) {
  const int of = call->dtype - INVACT_BF16;
  static float low[2 * INVACT_PATTERNS], high[2 * INVACT_PATTERNS];
  for (size_t code = 0; code < 2 * INVACT_PATTERNS; ++code) {
    low[code] = INFINITY;
    high[code] = -INFINITY;
  }
  for (int x = 0; x < INVACT_PATTERNS; ++x) {
    const float value = Value((uint16_t)x, call->dtype);
    const size_t code =
        (size_t)(value < kMinimumAt) * INVACT_PATTERNS + patterns->y[x];
    const float slope = patterns->slope[x];
    if (isnan(slope) && !isinf(value)) {
      low[code] = high[code] = NAN;
    } else if (isfinite(value)) {
      if (!(slope >= low[code])) low[code] = slope;
      if (!(slope <= high[code])) high[code] = slope;
    } else {
      low[code] = high[code] = value > 0 ? 1 : 0;
    }
    input_of[of][code] = (uint16_t)x;
  }
  for (size_t code = 0; code < 2 * INVACT_PATTERNS; ++code) {
    slope_of[of][code] = (low[code] + high[code]) / 2;
  }
  return 0;
}

static int Mark(const struct invact_call* call, const void* x, const void* y,
                void* side, int64_t n) {
  (void)y;
  uint8_t* bytes = side;
  for (int64_t i = 0; i < n; i += 8) {
    uint8_t byte = 0;
    for (int k = 0; k < 8 && i + k < n; ++k) {
      const float value = Value(((const uint16_t*)x)[i + k], call->dtype);
      byte |= (uint8_t)((value < kMinimumAt) << k);
    }
    bytes[i / 8] = byte;
  }
  return 0;
}

static int Backward(const struct invact_call* call, const void* y,
                    const void* side, const void* dy, void* dx, int64_t n) {
  const float* slope = slope_of[call->dtype - INVACT_BF16];
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = Value(((const uint16_t*)dy)[i], call->dtype);
    ((uint16_t*)dx)[i] = Bits(gradient * slope[Code(y, side, i)], call->dtype);
  }
  return 0;
}

static int Reconstruct(const struct invact_call* call, const void* y,
                       const void* side, void* x, int64_t n) {
  const uint16_t* input = input_of[call->dtype - INVACT_BF16];
  for (int64_t i = 0; i < n; ++i) {
    ((uint16_t*)x)[i] = input[Code(y, side, i)];
  }
  return 0;
}

static const struct invact_activation kQuickGelu = {
    .size = sizeof(struct invact_activation),
    .device = INVACT_CPU,
    .op = "example::quick_gelu",
    .variant = "",
    .dtypes = 1u << INVACT_BF16 | 1u << INVACT_F16,
    .side_bits = 1,
    .table_dtypes = 1u << INVACT_BF16 | 1u << INVACT_F16,
    /* What the host checks before it uses the kernels: see kernel_api.h. */
    .error_max = {0, 1.6e-2, 6e-3},
    .error_rms = {0, 2.2e-3, 4.6e-4},
    .prepare = Prepare,
    .backward = Backward,
    .reconstruct = Reconstruct,
    .mark = Mark,
};

int invact_register_kernels(const struct invact_registry* registry) {
  if (registry->abi != INVACT_KERNEL_ABI) return INVACT_BAD_ARGUMENT;
  registry->add(registry->ctx, &kQuickGelu);
  return 0;
}
