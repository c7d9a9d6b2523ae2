#include "plugin/fuse/source.h"

#include <bit>
#include <cstdio>

namespace invact::fuse {

namespace {

// Formulas of PyTorch's CUDA kernels. nvcc contracts a product and a sum in
// them where fmaf is written here; nothing else is contracted. A pair is
// rounded to bfloat16 at four times the rate of one number, and with the number
// as its upper half it is the rounded float.
constexpr char kPrelude[] = R"(
typedef unsigned short u16; typedef unsigned char u8; typedef unsigned int u32;
typedef long long i64;
struct alignas(16) V16 { u16 v[8]; };
struct alignas(8) H4 { u16 v[4]; };
struct alignas(16) V4 { float v[4]; };
struct alignas(8) V8 { u8 v[8]; };
#define D static __device__ __forceinline__
D float bits(u32 x) { return __uint_as_float(x); }
D float from_bf16(u16 x) { return __uint_as_float((u32)x << 16); }
D float round_bf16(float x) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(x), "f"(0.0f)); return bits(r); }
D u16 high(float x) { return (u16)(__float_as_uint(x) >> 16); }
D float from_f16(u16 x) { float r; asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x)); return r; }
D u16 to_f16(float x) { u16 r; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x)); return r; }
D float round_f16(float x) { return from_f16(to_f16(x)); }
D float op_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
D float op_silu(float x) { return x / (1.0f + expf(-x)); }
D float op_gelu(float x) { return x * 0.5f * (1.0f + erff(x * bits(0x3f3504f3u))); }
D float op_gelu_tanh(float x) {
  float cube = x * x * x;
  float inner = bits(0x3f4c422au) * fmaf(bits(0x3d372713u), cube, x);
  return 0.5f * x * (1.0f + tanhf(inner));
}
D float op_relu(float x) { return x != x ? x : fmaxf(x, 0.0f); }
)";

std::string Number(int64_t n) { return std::to_string(n); }

std::string Literal(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "bits(0x%08xu)",
                std::bit_cast<uint32_t>(static_cast<float>(value)));
  return text;
}

std::string Rounded(Dtype dtype, const std::string& text) {
  if (dtype == Dtype::kBf16) return "round_bf16(" + text + ")";
  if (dtype == Dtype::kF16) return "round_f16(" + text + ")";
  return text;
}

std::string Call(const char* f, const std::string& a) {
  return std::string(f) + "(" + a + ")";
}

std::string Name(const Operand& operand) {
  switch (operand.kind) {
    case Operand::kInput:
      return "x" + Number(operand.index);
    case Operand::kStep:
      return "s" + Number(operand.index);
    default:
      return Literal(operand.value);
  }
}

std::string Sum(const std::string& a, const std::string& b, double alpha) {
  if (alpha == 1) return a + " + " + b;
  return "fmaf(" + Literal(alpha) + ", " + b + ", " + a + ")";
}

std::string PowOf(const std::string& a, double exponent, Dtype dtype) {
  const std::string square = Rounded(dtype, "(" + a + " * " + a + ")");
  if (exponent == 2) return square;
  if (exponent == 3) return square + " * " + a;
  if (exponent == 0.5) return Call("sqrtf", a);
  if (exponent == -0.5) return Call("rsqrtf", a);
  if (exponent == -1) return "1.0f / " + a;
  return "1.0f / " + square;
}

// PyTorch's kernels, vectorised and not, contract the last product and sum.
std::string Normalised(const Step& step) {
  return "fmaf(" + Name(step.weight) + ", " + Name(step.rstd) + " * (" +
         Name(step.a) + " - " + Name(step.mean) + "), " + Name(step.bias) + ")";
}

std::string Expression(const Step& step) {
  const std::string a = Name(step.a), b = Name(step.b);
  switch (step.op) {
    case Op::kCast:
      return a;
    case Op::kNeg:
      return "-" + a;
    case Op::kAdd:
      return Sum(a, b, step.alpha);
    case Op::kSub:
      return Sum(a, b, -step.alpha);
    case Op::kRsub:
      return Sum(b, a, -step.alpha);
    case Op::kMul:
      return a + " * " + b;
    case Op::kDiv:
      // A Python scalar: its reciprocal is taken once.
      if (step.b.kind == Operand::kImmediate) {
        return a + " * " + Literal(1.0f / static_cast<float>(step.b.value));
      }
      return a + " / " + b;
    case Op::kPow:
      return PowOf(a, step.b.value, step.result);
    case Op::kSqrt:
      return Call("sqrtf", a);
    case Op::kRsqrt:
      return Call("rsqrtf", a);
    case Op::kReciprocal:
      return "1.0f / " + a;
    case Op::kExp:
      return Call("expf", a);
    case Op::kTanh:
      return Call("tanhf", a);
    case Op::kSigmoid:
      return Call("op_sigmoid", a);
    case Op::kSilu:
      return Call("op_silu", a);
    case Op::kGelu:
      return Call("op_gelu", a);
    case Op::kGeluTanh:
      return Call("op_gelu_tanh", a);
    case Op::kRelu:
      return Call("op_relu", a);
    case Op::kMaskScale:
      return b + " * " + a + " * " + Literal(step.alpha);
    case Op::kNormalise:
      return Normalised(step);
  }
  return a;
}

const char* Element(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return "float";
    case Dtype::kBf16:
    case Dtype::kF16:
      return "u16";
    default:
      return "u8";
  }
}

// The float in an element that was read.
std::string Widened(Dtype dtype, const std::string& raw) {
  switch (dtype) {
    case Dtype::kF32:
      return raw;
    case Dtype::kBf16:
      return "from_bf16(" + raw + ")";
    case Dtype::kF16:
      return "from_f16(" + raw + ")";
    default:
      return "(" + raw + " ? 1.0f : 0.0f)";
  }
}

// The element of a result, which has been rounded to it.
std::string Narrowed(Dtype dtype, const std::string& value) {
  if (dtype == Dtype::kBf16) return "high(" + value + ")";
  if (dtype == Dtype::kF16) return "to_f16(" + value + ")";
  return value;
}

class Writer {
 public:
  explicit Writer(const Program& program)
      : program_(program), group_(GroupOf(program)) {
    for (const Input& input : program.inputs) {
      rows_ |= input.pattern == Pattern::kPerRow;
      columns_ |= input.pattern == Pattern::kPerColumn;
    }
  }

  std::string Write() {
    text_ = kPrelude;
    WriteCompute();
    WriteElement();
    WriteKernels();
    return text_;
  }

 private:
  size_t Inputs() const { return program_.inputs.size(); }
  size_t Outputs() const { return program_.outputs.size(); }
  Dtype OutputDtype(size_t i) const {
    return program_.steps[program_.outputs[i]].result;
  }

  // compute(x0, ..., o0&, ...): one element.
  void WriteCompute() {
    text_ += "D void compute(";
    for (size_t i = 0; i < Inputs(); ++i) {
      text_ += "float x" + Number(i) + ", ";
    }
    for (size_t i = 0; i < Outputs(); ++i) {
      text_ += std::string(i == 0 ? "" : ", ") + Element(OutputDtype(i)) +
               "& o" + Number(i);
    }
    text_ += ") {\n";
    for (size_t i = 0; i < program_.steps.size(); ++i) {
      const Step& step = program_.steps[i];
      text_ += "  const float s" + Number(i) + " = " +
               Rounded(step.result, Expression(step)) + ";\n";
    }
    for (size_t i = 0; i < Outputs(); ++i) {
      text_ += "  o" + Number(i) + " = " +
               Narrowed(OutputDtype(i), "s" + Number(program_.outputs[i])) +
               ";\n";
    }
    text_ += "}\n";
  }

  std::string Parameters() const {
    std::string text;
    for (size_t i = 0; i < Inputs(); ++i) {
      text += std::string("const ") + Element(program_.inputs[i].dtype) +
              "* __restrict__ p" + Number(i) + ", ";
    }
    for (size_t i = 0; i < Outputs(); ++i) {
      text += std::string(Element(OutputDtype(i))) + "* __restrict__ q" +
              Number(i) + ", ";
    }
    return text + "i64 n, i64 cols";
  }

  std::string Divided() const {
    if (!rows_ && !columns_) return {};
    return "  i64 row, col;\n"
           "  if (i < 0x80000000ll && cols < 0x80000000ll) {\n"
           "    row = (u32)i / (u32)cols; col = (u32)i % (u32)cols;\n"
           "  } else { row = i / cols; col = i % cols; }\n";
  }

  std::string ElementRead(size_t i) const {
    const Input& input = program_.inputs[i];
    const std::string p = "p" + Number(i);
    if (input.dtype == Dtype::kBit) {
      return Widened(input.dtype, "(" + p + "[i >> 3] >> (i & 7) & 1)");
    }
    const char* index = input.pattern == Pattern::kFull        ? "[i]"
                        : input.pattern == Pattern::kPerRow    ? "[row]"
                        : input.pattern == Pattern::kPerColumn ? "[col]"
                                                               : "[0]";
    return Widened(input.dtype, p + index);
  }

  void WriteElement() {
    text_ += "D void element(i64 i, " + Parameters() + ") {\n" + Divided();
    text_ += "  compute(";
    for (size_t i = 0; i < Inputs(); ++i) text_ += ElementRead(i) + ", ";
    for (size_t i = 0; i < Outputs(); ++i) {
      text_ += std::string(i == 0 ? "" : ", ") + "q" + Number(i) + "[i]";
    }
    text_ += ");\n}\n";
  }

  std::string Arguments() const {
    std::string text;
    for (size_t i = 0; i < Inputs(); ++i) text += "p" + Number(i) + ", ";
    for (size_t i = 0; i < Outputs(); ++i) text += "q" + Number(i) + ", ";
    return text + "n, cols";
  }

  // What `group_` elements of a 16-bit dtype are.
  const char* Halves() const { return group_ == 4 ? "H4" : "V16"; }
  const char* GroupType(Dtype dtype) const {
    return dtype == Dtype::kF32 ? "V4" : Halves();
  }

  // The elements of a group from i on, and how the k-th is named.
  std::string GroupRead(size_t i, std::string* kth) const {
    const Input& input = program_.inputs[i];
    const std::string p = "p" + Number(i), r = "r" + Number(i);
    if (input.pattern == Pattern::kPerRow ||
        input.pattern == Pattern::kScalar) {
      *kth = r;
      return "  const float " + r + " = " +
             Widened(
                 input.dtype,
                 p + (input.pattern == Pattern::kScalar ? "[0]" : "[row]")) +
             ";\n";
    }
    const std::string at = input.pattern == Pattern::kPerColumn ? "col" : "i";
    switch (input.dtype) {
      case Dtype::kF32:
      case Dtype::kBf16:
      case Dtype::kF16: {
        const std::string type = GroupType(input.dtype);
        *kth = Widened(input.dtype, r + ".v[k]");
        return "  const " + type + " " + r + " = *(const " + type + "*)(" + p +
               " + " + at + ");\n";
      }
      case Dtype::kBool:
        if (group_ == 4) {
          *kth = Widened(input.dtype, "(" + r + " >> 8 * k & 255)");
          return "  const u32 " + r + " = *(const u32*)(" + p + " + " + at +
                 ");\n";
        }
        *kth = Widened(input.dtype, r + ".v[k]");
        return "  const V8 " + r + " = *(const V8*)(" + p + " + " + at + ");\n";
      case Dtype::kBit:
        *kth = Widened(input.dtype, "(" + r + " >> k & 1)");
        return "  const u32 " + r + " = " + p + "[i >> 3]" +
               (group_ == 4 ? " >> (i & 4)" : "") + ";\n";
    }
    return {};
  }

  void WriteKernels() {
    const std::string head = "extern \"C\" __global__ void __launch_bounds__(" +
                             Number(kThreads) + ") ";
    const std::string group = Number(group_);
    const std::string thread =
        "  i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;\n";
    text_ += head + "fused_element(" + Parameters() + ") {\n" + thread +
             "  if (i < n) element(i, " + Arguments() + ");\n}\n";
    text_ += head + "fused_vector(" + Parameters() + ") {\n" + thread +
             "  i *= " + group + ";\n  if (i >= n) return;\n  if (i + " +
             group + " > n) {\n    for (; i < n; ++i) element(i, " +
             Arguments() + ");\n    return;\n  }\n" + Divided();
    std::vector<std::string> kth(Inputs());
    for (size_t i = 0; i < Inputs(); ++i) text_ += GroupRead(i, &kth[i]);
    for (size_t i = 0; i < Outputs(); ++i) {
      text_ += std::string("  ") + GroupType(OutputDtype(i)) + " w" +
               Number(i) + ";\n";
    }
    text_ += "#pragma unroll\n  for (int k = 0; k < " + group +
             "; ++k) {\n    compute(";
    for (const std::string& value : kth) text_ += value + ", ";
    for (size_t i = 0; i < Outputs(); ++i) {
      text_ += std::string(i == 0 ? "" : ", ") + "w" + Number(i) + ".v[k]";
    }
    text_ += ");\n  }\n";
    for (size_t i = 0; i < Outputs(); ++i) {
      text_ += std::string("  *(") + GroupType(OutputDtype(i)) + "*)(q" +
               Number(i) + " + i) = w" + Number(i) + ";\n";
    }
    text_ += "}\n";
  }

  const Program& program_;
  const int group_;
  bool rows_ = false, columns_ = false;
  std::string text_;
};

}  // namespace

// Sixteen bytes a thread of the widest dtype, so that the threads of a warp
// touch whole sectors at once.
int GroupOf(const Program& program) {
  for (const Input& input : program.inputs) {
    const bool wide =
        input.pattern == Pattern::kFull || input.pattern == Pattern::kPerColumn;
    if (wide && input.dtype == Dtype::kF32) return 4;
  }
  for (const int32_t output : program.outputs) {
    if (program.steps[output].result == Dtype::kF32) return 4;
  }
  return 8;
}

std::string Source(const Program& program) { return Writer(program).Write(); }

}  // namespace invact::fuse
