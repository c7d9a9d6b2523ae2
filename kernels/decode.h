// From y and its branch bit to f'(x) and to x, once for all processors: S says
// how a processor holds lanes (cpu/simd_*.h, cuda/lane.cuh). One square root
// and at most one logarithm an element.
//
// Near the minimum y - ymin is about f''(x0) / 2 (x - x0)^2, so x and f' are
// smooth in u = sqrt(y - ymin) on either side. Far left, where u would meet a
// logarithmic singularity at y = -0, they are smooth in
// v = sqrt(log2(ymin / y)).
#ifndef INVACT_KERNELS_DECODE_H_
#define INVACT_KERNELS_DECODE_H_

#include "kernels/decoder_tables.h"
#include "kernels/kernel_api.h"

#ifdef __CUDACC__
#define INVACT_LANE __device__ __forceinline__
#else
#define INVACT_LANE inline __attribute__((always_inline))
#endif
// The same for what the host runs.
#define INVACT_HOST inline __attribute__((always_inline))

namespace invact::kernels {

constexpr int MantissaBits(int dtype) {
  return dtype == INVACT_F32 ? 23 : dtype == INVACT_BF16 ? 7 : 10;
}

// The same where a device may not call a function of the host.
template <int kDtype>
inline constexpr int kMantissaBits = MantissaBits(kDtype);

// Half the distance of neighbouring y at ymin, which lies in [-1/2, -1/8).
constexpr float HalfCell(float ymin, int dtype) {
  return (ymin < -0.25f ? 0.125f : 0.0625f) / (1 << MantissaBits(dtype));
}

// For a y that stands for itself and for the next number away from 0: as for
// their middle, near the minimum, where it counts. Far left, where y itself is
// used, half a last place does not show.
INVACT_HOST DecoderLines LinesOfTwo(DecoderLines lines, int dtype) {
  (dtype == INVACT_F32 ? lines.ymin_low : lines.ymin_high) +=
      HalfCell(lines.ymin_high, dtype);
  return lines;
}

// Which polynomial, where on it, and whether its value is yet to be multiplied
// by y.
template <class S>
struct Position {
  typename S::Index piece;
  typename S::Float local;  // -0.5 to 0.5
  typename S::Mask far_left;
};

// `half_cell` is half the distance of neighbouring y at ymin in the stored
// dtype. A stored y stands for all of y +- half_cell, and u for the mean over
// that cell: at the minimum, where the cell is as wide as sqrt can see, this is
// what keeps the error at the least that the stored bits allow. 0: not done.
template <class S, bool kCells>
INVACT_LANE Position<S> Locate(typename S::Float y, typename S::Mask left,
                               const DecoderLines& d, float half_cell) {
  using Float = typename S::Float;
  // Exact by Sterbenz where it matters, near ymin; ymin's low part is far below
  // a cell.
  Float depth = S::Sub(y, S::Set(d.ymin_high));
  if constexpr (!kCells) depth = S::Sub(depth, S::Set(d.ymin_low));
  const typename S::Mask far_left =
      S::And(left, S::Less(S::Set(d.near_depth), depth));
  // Where no lane is far left, which is nearly always, nothing is computed.
  Float log = depth;
  if (S::Any(far_left)) {
    log = S::Sub(S::Set(d.log2_depth), S::Log2(S::Abs(y)));
  }
  constexpr float kShare = kCells ? 0.5f : 1;  // of each root
  Float r;
  if constexpr (kCells) {
    const Float half = S::Set(half_cell);
    const Float low = S::Sqrt(
        S::Max(S::Select(far_left, log, S::Sub(depth, half)), S::Set(0)));
    const Float high = S::Sqrt(
        S::Max(S::Select(far_left, log, S::Add(depth, half)), S::Set(0)));
    r = S::Add(low, high);
  } else {
    r = S::Sqrt(S::Max(S::Select(far_left, log, depth), S::Set(0)));
  }
  const Float scale = S::Select(far_left, S::Set(kShare * d.far_scale),
                                S::Select(left, S::Set(kShare * d.near_scale),
                                          S::Set(kShare * d.right_scale)));
  const Float offset =
      S::Select(far_left, S::Set(d.far_offset),
                S::Select(left, S::Set(d.near_offset), S::Set(d.right_offset)));
  const Float t = S::Min(S::Fma(r, scale, offset), S::Set(d.far_end));
  // Adding 1.5 * 2^23 rounds t, which is -0.5 to 7.5 whatever y is, to an
  // integer in the lowest bits.
  const Float magic = S::Set(12582912.0f);
  const Float shifted = S::Add(t, magic);
  return {S::LowThreeBits(shifted), S::Sub(t, S::Sub(shifted, magic)),
          far_left};
}

template <class S, int kPowers, class Table>
INVACT_LANE typename S::Float Evaluate(const Position<S>& at,
                                       const Table& table) {
  typename S::Float sum = S::Lookup(table, kPowers - 1, at.piece);
#ifdef __CUDACC__
#pragma unroll
#else
#pragma GCC unroll 16
#endif
  for (int power = kPowers - 2; power >= 0; --power) {
    sum = S::Fma(sum, at.local, S::Lookup(table, power, at.piece));
  }
  return sum;
}

// A y above zero is right of the minimum whatever its bit says; a zero with its
// bit set is the far left's underflow, whichever sign it has.
template <class S>
INVACT_LANE typename S::Mask IsLeft(typename S::Float y,
                                    typename S::Mask bits) {
  return S::And(bits, S::Not(S::Less(S::Set(0), y)));
}

// f'(x). Exactly 1 far right and at +inf; NaN where y is.
template <class S, int kPowers, bool kCells, class Table>
INVACT_LANE typename S::Float Slope(typename S::Float y, typename S::Mask bits,
                                    const DecoderLines& d, float half_cell,
                                    const Table& table) {
  const typename S::Mask left = IsLeft<S>(y, bits);
  const Position<S> at = Locate<S, kCells>(y, left, d, half_cell);
  const typename S::Float value = Evaluate<S, kPowers>(at, table);
  const typename S::Float slope =
      S::Select(at.far_left, S::Mul(value, y), value);
  return S::Select(S::Less(y, S::Set(d.flat_from)), slope,
                   S::MinOrNan(S::Set(1), y));
}

// x, to about 1e-6 of its size; y itself far right, NaN where y is.
template <class S, class Table>
INVACT_LANE typename S::Float Argument(typename S::Float y,
                                       typename S::Mask bits,
                                       const DecoderLines& d,
                                       const Table& table) {
  const typename S::Mask left = IsLeft<S>(y, bits);
  const Position<S> at = Locate<S, false>(y, left, d, 0);
  return S::Select(S::Less(y, S::Set(d.flat_from)), Evaluate<S, 10>(at, table),
                   y);
}

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_DECODE_H_
