"""Writes every constant of the decoders and of the CPU forward.

    python kernels/coefficients/fit.py > kernels/decoder_tables.h

A decoder looks a polynomial up in one of eight pieces of a variable t. Right of
the minimum t is linear in u = sqrt(y - ymin), so it is on the left near the
minimum, and far left it is linear in v = sqrt(log2(ymin / y)), where f'(x) / y
is fitted in place of f'(x). Inside a piece the function is interpolated at
Chebyshev nodes; coefficients are rounded to float32, lowest power first.
"""
import struct

import mpmath as mp

import activations

RIGHT_PIECES = 5               # pieces 0 to 4
NEAR_LEFT = 5                  # and 6
FAR_LEFT = 7
MARGIN = mp.mpf("0.01")        # t stays this far from a cell it must not enter
# Near left ends where y = ymin * this: further left, where the logarithm has to
# be computed, lies 1 % of N(0, 1) for GELU.
NEAR_FRACTION = mp.mpf("0.15")
FAR_END = mp.mpf("4.5")        # last v: y is 1e-6 of ymin; held beyond


def float32(value):
    return struct.unpack("f", struct.pack("f", float(value)))[0]


def literal(value):
    text = "%.9g" % float32(value)
    return text + ("" if any(c in text for c in ".en") else ".0") + "f"


def interpolate(function, degree, low, high):
    """Coefficients of the interpolant of function(t) at Chebyshev nodes of
    [low, high], in powers of t - round((low + high) / 2)."""
    count = degree + 1
    centre = mp.nint((low + high) / 2)
    nodes = [(low + high) / 2 + (high - low) / 2 *
             mp.cos((k + mp.mpf("0.5")) * mp.pi / count) for k in range(count)]
    powers = mp.matrix(count, count)
    for row, node in enumerate(nodes):
        for power in range(count):
            powers[row, power] = (node - centre) ** power
    return list(mp.lu_solve(powers, mp.matrix([function(t) for t in nodes])))


def level_fit(function, weight, degree, low, high, samples=100):
    """Least squares in powers of z, reweighted (Lawson) until the weighted
    error is nearly level."""
    nodes = [(low + high) / 2 + (high - low) / 2 *
             mp.cos((k + mp.mpf("0.5")) * mp.pi / samples)
             for k in range(samples)]
    values = [function(z) for z in nodes]
    scale = [weight(z) for z in nodes]
    lawson = [mp.mpf(1)] * samples
    for _ in range(8):
        rows = mp.matrix(samples, degree + 1)
        right = mp.matrix(samples, 1)
        for i, z in enumerate(nodes):
            factor = scale[i] * mp.sqrt(lawson[i])
            for power in range(degree + 1):
                rows[i, power] = factor * z ** power
            right[i] = factor * values[i]
        solution = list(mp.lu_solve(rows, right))
        errors = [abs(scale[i] * (mp.polyval(solution[::-1], z) - values[i]))
                  for i, z in enumerate(nodes)]
        lawson = [w * (e / max(errors) + mp.mpf("0.01"))
                  for w, e in zip(lawson, errors)]
        lawson = [w / max(lawson) for w in lawson]
    return solution


class Decoder:
    """The eight pieces of one activation."""

    def __init__(self, f):
        self.f = f
        self.x0, self.lowest = activations.minimum_of(f)
        near_end = mp.sqrt(-self.lowest * (1 - NEAR_FRACTION))
        far_begin = mp.sqrt(-mp.log(NEAR_FRACTION, 2))
        self.right = self.line(0, mp.sqrt(f.flat_from - self.lowest),
                               mp.mpf("-0.5"), RIGHT_PIECES - 0.5 - MARGIN)
        self.near = self.line(0, near_end, NEAR_LEFT - 0.5 + MARGIN,
                              FAR_LEFT - 0.5 - MARGIN)
        self.far = self.line(far_begin, FAR_END, FAR_LEFT - 0.5 + MARGIN,
                             FAR_LEFT + 0.5 - MARGIN)

    @staticmethod
    def line(r_low, r_high, t_low, t_high):
        """t = scale * r + offset, rounded as the kernels have it."""
        scale = (t_high - t_low) / (r_high - r_low)
        return mp.mpf(float32(scale)), mp.mpf(float32(t_low - scale * r_low))

    def point(self, piece, t):
        """x and the divisor of f' at t."""
        if piece >= FAR_LEFT:
            v = (t - self.far[1]) / self.far[0]
            y = self.lowest * mp.mpf(2) ** (-v * v)
            return activations.inverse(self.f, y, True), y
        left = piece >= NEAR_LEFT
        scale, offset = self.near if left else self.right
        u = (t - offset) / scale
        x = activations.inverse(self.f, self.lowest + u * u, left)
        return x, mp.mpf(1)

    def table(self, degree, function):
        columns = []
        for piece in range(8):
            columns.append(interpolate(
                lambda t: function(*self.point(piece, t)), degree,
                piece - mp.mpf("0.5"), piece + mp.mpf("0.5")
            ) if piece not in (0, NEAR_LEFT, FAR_LEFT) else interpolate(
                lambda t: function(*self.point(piece, t)), degree,
                self.begin(piece), piece + mp.mpf("0.5")))
        return [[column[power] for column in columns]
                for power in range(degree + 1)]

    def begin(self, piece):
        """t at the first point of a piece that opens a region."""
        if piece == FAR_LEFT:
            return mp.mpf(FAR_LEFT) - mp.mpf("0.5") + MARGIN
        return self.near[1] if piece == NEAR_LEFT else self.right[1]


def print_table(name, table):
    print("    /* %s */ {" % name)
    for row in table:
        print("        {" + ", ".join(literal(c) for c in row) + "},")
    print("    },")


def print_decoder(f):
    d = Decoder(f)
    high = float32(d.lowest)
    print("inline constexpr DecoderTables k%sTables = {{" % f.cxx)
    for name, value in (
            ("x0", d.x0), ("ymin_high", high),
            ("ymin_low", d.lowest - mp.mpf(high)),
            ("log2_depth", mp.log(-d.lowest, 2)),
            ("near_depth", -d.lowest * (1 - NEAR_FRACTION)),
            ("flat_from", f.flat_from),
            ("right_scale", d.right[0]), ("right_offset", d.right[1]),
            ("near_scale", d.near[0]), ("near_offset", d.near[1]),
            ("far_scale", d.far[0]), ("far_offset", d.far[1]),
            ("far_end", FAR_LEFT + 0.5 - MARGIN)):
        print("    /* %s */ %s," % (name, literal(value)))
    print("    },")
    print_table("slope", d.table(7, lambda x, unit: f.slope(x) / unit))
    print_table("short_slope", d.table(5, lambda x, unit: f.slope(x) / unit))
    print_table("x", d.table(9, lambda x, unit: x))
    print("};\n")


def print_polynomial(name, comment, coefficients):
    print("// " + comment)
    print("inline constexpr float %s[%d] = {" % (name, len(coefficients)))
    print("    " + ", ".join(literal(c) for c in coefficients) + "};\n")


def print_forward():
    small = mp.mpf("0.875")
    print_polynomial(
        "kErfSmall", "(erf(z) / z - 1) in z^2, |z| <= 0.875.",
        level_fit(lambda s: mp.erf(mp.sqrt(s)) / mp.sqrt(s) - 1,
                  lambda s: mp.sqrt(s) / mp.erf(mp.sqrt(s)), 6,
                  mp.mpf("1e-20"), small ** 2))
    print_polynomial(
        "kErfLarge", "-ln(erfc(z)) in z, 0.875 < z <= 4, as erf needs it.",
        level_fit(lambda z: -mp.log(mp.erfc(z)),
                  lambda z: mp.erfc(z) / mp.erf(z), 8, small, mp.mpf(4)))
    print_polynomial(
        "kExp", "exp(r), |r| <= ln(2) / 2.",
        level_fit(mp.exp, lambda r: mp.exp(-r), 6, -mp.log(2) / 2,
                  mp.log(2) / 2))
    print_polynomial(
        "kLog2", "log2(1 + f) / f, 2/3 <= 1 + f < 4/3.",
        level_fit(lambda g: mp.log(1 + g, 2) / g, lambda g: mp.mpf(1), 8,
                  -mp.mpf(1) / 3, mp.mpf(1) / 3))


def main():
    print("""\
// Constants of the decoders and of the CPU forward.
// Written by kernels/coefficients/fit.py: change that, not this.
#ifndef INVACT_KERNELS_DECODER_TABLES_H_
#define INVACT_KERNELS_DECODER_TABLES_H_

namespace invact::kernels {

// x0 is where f is lowest; t is scale * r + offset in each region.
struct DecoderLines {
  float x0;
  float ymin_high, ymin_low;  // their sum is f(x0)
  float log2_depth;           // log2(-f(x0))
  float near_depth;           // y - ymin where the far left begins
  float flat_from;            // f' is 1 from this y on
  float right_scale, right_offset;
  float near_scale, near_offset;
  float far_scale, far_offset, far_end;
};

// Rows are powers, columns pieces.
struct DecoderTables {
  DecoderLines lines;
  float slope[8][8];        // f', far left f' / y
  float short_slope[6][8];  // the same, for 16-bit dtypes
  float x[10][8];           // f^-1
};

// clang-format off""")
    for f in activations.ALL:
        print_decoder(f)
    print_forward()
    print("""\
// clang-format on

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_DECODER_TABLES_H_""")


if __name__ == "__main__":
    main()
