// A chain of pointwise ops to be run as one kernel: inputs, steps in the order
// in which they run, and the steps whose results are wanted. No torch.
//
// Every step is computed in float (PyTorch's opmath for 16 bit and float32) and
// rounded to its result dtype, as the separate kernels of PyTorch do. The
// iteration space is [rows, cols] of contiguous memory and no part of the
// program: one program serves every size.
//
// Threads: a value type.
#ifndef INVACT_PLUGIN_FUSE_PROGRAM_H_
#define INVACT_PLUGIN_FUSE_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace invact::fuse {

enum class Dtype : uint8_t {
  kF32,
  kBf16,
  kF16,
  kBool,  // inputs only: one byte an element, 0 or 1
  kBit,   // inputs only: element i is bit i % 8 of byte i / 8
};

enum class Pattern : uint8_t {
  kFull,       // [rows, cols]
  kPerRow,     // [rows, 1]: a norm's statistic
  kPerColumn,  // [cols]: a weight
  kScalar,     // one element in device memory
};

struct Input {
  Dtype dtype;
  Pattern pattern;
  bool operator==(const Input&) const = default;
};

// Operands are a, b. What PyTorch's op is called where the name differs.
enum class Op : uint8_t {
  kCast,
  kNeg,
  kAdd,   // a + alpha * b
  kSub,   // a - alpha * b
  kRsub,  // b - alpha * a
  kMul,   // a * b
  kDiv,   // a / b
  kPow,   // a ** b, b an immediate of 2, 3, 0.5, -0.5, -1, -2
  kSqrt,
  kRsqrt,
  kReciprocal,
  kExp,
  kTanh,
  kSigmoid,
  kSilu,
  kGelu,      // approximate="none"
  kGeluTanh,  // approximate="tanh"
  kRelu,
  kMaskScale,  // native_dropout_backward(a, mask b, scale alpha)
  kNormalise,  // native_layer_norm over the columns, from its statistics
};
inline constexpr int kOps = static_cast<int>(Op::kNormalise) + 1;
const char* OpName(Op op);
bool IsBinary(Op op);

struct Operand {
  enum Kind : uint8_t { kNone, kInput, kStep, kImmediate } kind = kNone;
  int32_t index = 0;  // of the input or the step
  double value = 0;   // of a Python scalar
  bool operator==(const Operand& other) const;

  static Operand Of(Kind kind, int32_t index) { return {kind, index, 0}; }
  static Operand FromInput(int32_t i) { return {kInput, i, 0}; }
  static Operand FromStep(int32_t i) { return {kStep, i, 0}; }
  static Operand Immediate(double value) { return {kImmediate, 0, value}; }
};

struct Step {
  Op op;
  Dtype result;
  Operand a, b;
  double alpha = 1;  // also the scale of kMaskScale
  // Of kNormalise: inputs. Mean and rstd are float, one a row; weight and bias
  // of a's dtype, one a column.
  Operand mean = {}, rstd = {}, weight = {}, bias = {};
  bool operator==(const Step& other) const;
};

struct Program {
  std::vector<Input> inputs;
  std::vector<Step> steps;
  std::vector<int32_t> outputs;  // steps, each once
  bool operator==(const Program&) const = default;
};

struct ProgramHash {
  size_t operator()(const Program& program) const noexcept;
};

inline constexpr size_t kMostInputs = 12, kMostSteps = 48, kMostOutputs = 8;

// Empty where the program can be generated, else why not. Results must have
// the dtype to which PyTorch promotes the operands, or the roundings differ.
std::string WhyRefused(const Program& program);

int64_t DtypeBytes(Dtype dtype);  // 0 for kBit

}  // namespace invact::fuse

#endif  // INVACT_PLUGIN_FUSE_PROGRAM_H_
