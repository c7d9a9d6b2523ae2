// Programs that the tests share: the chains of three models, and one of each
// op.
#ifndef INVACT_TESTS_UNIT_FUSE_SAMPLES_H_
#define INVACT_TESTS_UNIT_FUSE_SAMPLES_H_

#include <vector>

#include "plugin/fuse/program.h"

namespace invact::fuse {

inline Operand X(int i) { return Operand::FromInput(i); }
inline Operand S(int i) { return Operand::FromStep(i); }
inline Operand Imm(double value) { return Operand::Immediate(value); }

// 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))); the backward
// keeps half of x, the tanh, one more than it, and the result.
inline Program GeluNew(Dtype d) {
  return {{{d, Pattern::kFull}},
          {{Op::kMul, d, X(0), Imm(0.5)},
           {Op::kPow, d, X(0), Imm(3)},
           {Op::kMul, d, S(1), Imm(0.044715)},
           {Op::kAdd, d, X(0), S(2)},
           {Op::kMul, d, S(3), Imm(0.7978845608028654)},
           {Op::kTanh, d, S(4), {}},
           {Op::kAdd, d, S(5), Imm(1)},
           {Op::kMul, d, S(0), S(6)}},
          {0, 5, 6, 7}};
}

// weight * (x.float() * rstd).to(x.dtype), with the float32 copy of x.
inline Program RmsNorm(Dtype d) {
  return {{{d, Pattern::kFull},
           {Dtype::kF32, Pattern::kPerRow},
           {d, Pattern::kPerColumn}},
          {{Op::kCast, Dtype::kF32, X(0), {}},
           {Op::kMul, Dtype::kF32, S(0), X(1)},
           {Op::kCast, d, S(1), {}},
           {Op::kMul, d, X(2), S(2)}},
          {0, 2, 3}};
}

inline Program SwiGlu(Dtype d) {
  return {{{d, Pattern::kFull}, {d, Pattern::kFull}},
          {{Op::kSilu, d, X(0), {}}, {Op::kMul, d, S(0), X(1)}},
          {0, 1}};
}

// Each op alone on inputs of the dtype, in every form of its operands.
inline std::vector<Program> EachOp(Dtype d) {
  std::vector<Program> programs;
  const Input full{d, Pattern::kFull};
  for (int op = 0; op < kOps; ++op) {
    Step step{static_cast<Op>(op), d, X(0), {}};
    if (step.op == Op::kPow) {
      for (const double exponent : {2.0, 3.0, 0.5, -0.5, -1.0, -2.0}) {
        step.b = Imm(exponent);
        programs.push_back({{full}, {step}, {0}});
      }
    } else if (step.op == Op::kMaskScale) {
      step.b = X(1);
      step.alpha = 1 / 0.9;
      for (const Dtype mask : {Dtype::kBool, Dtype::kBit}) {
        programs.push_back({{full, {mask, Pattern::kFull}}, {step}, {0}});
      }
    } else if (step.op == Op::kCast) {
      for (const Dtype to : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
        step.result = to;
        programs.push_back({{full}, {step}, {0}});
      }
    } else if (step.op == Op::kNormalise) {
      step.mean = X(1);
      step.rstd = X(2);
      const Input row{Dtype::kF32, Pattern::kPerRow};
      const Input column{d, Pattern::kPerColumn};
      step.weight = X(3);
      step.bias = X(4);
      programs.push_back({{full, row, row, column, column}, {step}, {0}});
    } else if (!IsBinary(step.op)) {
      programs.push_back({{full}, {step}, {0}});
    } else {
      const bool sum = step.op <= Op::kRsub;
      for (const double alpha : {1.0, 0.7}) {
        if (alpha != 1 && !sum) continue;
        step.alpha = alpha;
        step.b = Imm(0.3);
        programs.push_back({{full}, {step}, {0}});
        step.b = X(1);
        for (const Pattern pattern : {Pattern::kFull, Pattern::kPerRow,
                                      Pattern::kPerColumn, Pattern::kScalar}) {
          programs.push_back({{full, {d, pattern}}, {step}, {0}});
        }
        if (d != Dtype::kF32) {
          step.result = Dtype::kF32;
          programs.push_back(
              {{full, {Dtype::kF32, Pattern::kFull}}, {step}, {0}});
          step.result = d;
        }
      }
      if (step.op == Op::kMul) {
        for (const Dtype mask : {Dtype::kBool, Dtype::kBit}) {
          programs.push_back({{full, {mask, Pattern::kFull}}, {step}, {0}});
        }
      }
    }
  }
  return programs;
}

}  // namespace invact::fuse

#endif  // INVACT_TESTS_UNIT_FUSE_SAMPLES_H_
