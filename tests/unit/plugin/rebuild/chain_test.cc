// The program of a chain, run here op by op by PyTorch's own ops, against what
// the job's ops gave.
#include "plugin/rebuild/chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "plugin/rebuild/rerun.h"
#include "plugin/rebuild/value_table.h"
#include "tests/unit/plugin/rebuild/recording.h"

namespace invact {
namespace {

using fuse::Dtype;
using fuse::Op;
using fuse::Operand;
using fuse::Pattern;
using ::testing::ElementsAre;

std::optional<Chain> ChainOf(const ValuePtr& value) {
  std::lock_guard lock(RebuildLock());
  return BuildChain(value);
}

std::vector<Op> OpsOf(const Chain& chain) {
  std::vector<Op> ops;
  for (const fuse::Step& step : chain.program.steps) ops.push_back(step.op);
  return ops;
}

at::ScalarType TypeOf(Dtype dtype) {
  return dtype == Dtype::kBf16  ? at::kBFloat16
         : dtype == Dtype::kF16 ? at::kHalf
                                : at::kFloat;
}

class Runner {
 public:
  explicit Runner(const Chain& chain) {
    for (size_t i = 0; i < chain.inputs.size(); ++i) {
      const auto& [value, layout] = chain.inputs[i];
      at::Tensor input = layout.Over(Obtain(value));
      if (chain.program.inputs[i].dtype == Dtype::kBit) input = Bits(input);
      inputs_.push_back(input);
    }
    const Plain plain;
    for (const fuse::Step& step : chain.program.steps) {
      results_.push_back(Run(step).to(TypeOf(step.result)));
    }
  }
  const at::Tensor& result(int32_t step) const { return results_[step]; }

 private:
  // Element i is bit i % 8 of byte i / 8.
  static at::Tensor Bits(const at::Tensor& packed) {
    const Plain plain;
    const at::Tensor places = at::arange(8).to(at::kByte);
    return packed.unsqueeze(1)
        .bitwise_right_shift(places)
        .bitwise_and(1)
        .to(at::kBool)
        .view({-1, kColumns});
  }
  at::Tensor Get(const Operand& operand) const {
    return operand.kind == Operand::kInput  ? inputs_[operand.index]
           : operand.kind == Operand::kStep ? results_[operand.index]
                                            : at::Tensor();
  }
  at::Tensor Run(const fuse::Step& step) const {
    const at::Tensor a = Get(step.a);
    at::Tensor b = Get(step.b);
    if (!b.defined()) b = c10::scalar_to_tensor(step.b.value);
    if (step.b.kind == Operand::kImmediate) {
      b.unsafeGetTensorImpl()->set_wrapped_number(true);
    }
    switch (step.op) {
      case Op::kCast:
        return a;
      case Op::kNeg:
        return a.neg();
      case Op::kAdd:
        return at::add(a, b, step.alpha);
      case Op::kSub:
        return at::sub(a, b, step.alpha);
      case Op::kRsub:
        return at::sub(b, a, step.alpha);
      case Op::kMul:
        return a * b;
      case Op::kDiv:
        return a / b;
      case Op::kPow:
        return at::pow(a, step.b.value);
      case Op::kSqrt:
        return a.sqrt();
      case Op::kRsqrt:
        return a.rsqrt();
      case Op::kReciprocal:
        return a.reciprocal();
      case Op::kExp:
        return a.exp();
      case Op::kTanh:
        return a.tanh();
      case Op::kSigmoid:
        return a.sigmoid();
      case Op::kSilu:
        return at::silu(a);
      case Op::kGelu:
        return at::gelu(a, "none");
      case Op::kGeluTanh:
        return at::gelu(a, "tanh");
      case Op::kRelu:
        return a.relu();
      case Op::kMaskScale:
        return at::native_dropout_backward(a, b, step.alpha);
      case Op::kNormalise:
        break;
    }
    ADD_FAILURE() << "no op of its own";
    return a;
  }

  std::vector<at::Tensor> inputs_, results_;
};

class ChainTest : public RebuildTest,
                  public ::testing::WithParamInterface<at::ScalarType> {
 protected:
  // Saves it, to be forgotten by the caller as a forward does.
  ValuePtr Save(const at::Tensor& tensor) {
    expected_.push_back(tensor.clone());
    values_.push_back(ValueOf(tensor));
    saved_.emplace_back(tensor);
    EXPECT_TRUE(saved_.back().dropped());
    return values_.back();
  }

  // Each output of the program has the bits of what was saved.
  void ExpectOutputs(const Chain& chain) {
    EXPECT_EQ(fuse::WhyRefused(chain.program), "");
    const Runner runner(chain);
    ASSERT_EQ(chain.outputs.size(), values_.size());
    for (size_t i = 0; i < values_.size(); ++i) {
      const auto place =
          std::find(chain.outputs.begin(), chain.outputs.end(), values_[i]);
      ASSERT_NE(place, chain.outputs.end()) << "output " << i;
      const int32_t step = chain.program.outputs[place - chain.outputs.begin()];
      EXPECT_TRUE(SameBits(runner.result(step), expected_[i])) << i;
    }
  }

 private:
  std::vector<at::Tensor> expected_;
  std::vector<ValuePtr> values_;
  std::vector<Saved> saved_;
};

// 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))
TEST_P(ChainTest, GeluOfEightOpsIsOneProgramWithAllThatIsSaved) {
  const at::Tensor x = Numbers(GetParam());
  const Kept kept(x);
  ValuePtr result;
  {
    const at::Tensor half = x * 0.5;
    const at::Tensor cubic = x + x.pow(3.0) * 0.044715;
    const at::Tensor tanh = (cubic * 0.7978845608028654).tanh();
    const at::Tensor more = tanh + 1.0;
    Save(half);
    Save(tanh);
    Save(more);
    result = Save(half * more);
  }

  const auto chain = ChainOf(result);

  ASSERT_TRUE(chain.has_value());
  EXPECT_EQ(chain->program.steps.size(), 8U);
  ASSERT_EQ(chain->inputs.size(), 1U);
  EXPECT_EQ(chain->inputs[0].first, ValueOf(x));
  ExpectOutputs(*chain);
}

TEST_P(ChainTest, AViewOfPlainRowsIsReadInTheSameProgram) {
  const at::Tensor x = at::randn({4, kRows / 4, kColumns}).to(GetParam());
  const Kept kept(x);
  const ValuePtr result = Save(x.tanh().view({kRows, kColumns}).exp());

  const auto chain = ChainOf(result);

  ASSERT_TRUE(chain.has_value());
  EXPECT_THAT(OpsOf(*chain), ElementsAre(Op::kTanh, Op::kExp));
  const Runner runner(*chain);
  const Plain plain;
  EXPECT_TRUE(SameBits(runner.result(1), x.tanh().exp()));
}

TEST_P(ChainTest, AViewThatOrdersElementsAnewIsNot) {
  const at::Tensor x = at::randn({kRows, kColumns}).to(GetParam());
  const Kept kept(x);

  EXPECT_FALSE(ChainOf(Save(x.tanh().t().exp())).has_value());
}

// weight * (x.float() * rsqrt(mean(x.float() ** 2) + eps)).to(x.dtype)
TEST_P(ChainTest, RmsNormReadsItsStatisticOncePerRow) {
  const at::Tensor x = at::randn({kRows, kColumns}).to(GetParam());
  const at::Tensor weight = at::randn({kColumns}).to(GetParam());
  const Kept kept(x), kept_too(weight);
  at::Tensor scale;
  ValuePtr result;
  {
    const at::Tensor wide = x.to(at::kFloat) * 1.0;  // float32 has no cast
    scale = (wide.pow(2.0).mean(-1, true) + 1e-6).rsqrt();
    Save(wide);
    result = Save((wide * scale).to(GetParam()) * weight);
  }

  const auto chain = ChainOf(result);

  ASSERT_TRUE(chain.has_value());
  std::vector<Pattern> patterns;
  for (const fuse::Input& input : chain->program.inputs) {
    patterns.push_back(input.pattern);
  }
  EXPECT_THAT(patterns, ElementsAre(Pattern::kFull, Pattern::kPerRow,
                                    Pattern::kPerColumn));
  ExpectOutputs(*chain);
}

TEST_P(ChainTest, AGatedProduct) {
  const at::Tensor gate = Numbers(GetParam()), up = Numbers(GetParam());
  const Kept kept(gate), kept_too(up);
  ValuePtr result;
  {
    const at::Tensor activated = at::silu(gate);
    Save(activated);
    result = Save(activated * up);
  }

  const auto chain = ChainOf(result);

  ASSERT_TRUE(chain.has_value());
  EXPECT_THAT(OpsOf(*chain), ElementsAre(Op::kSilu, Op::kMul));
  ExpectOutputs(*chain);
}

TEST_P(ChainTest, ScalarsKeepTheirPlaceAndAlpha) {
  const at::Tensor x = Numbers(GetParam());
  const Kept kept(x);
  ValuePtr result;
  {
    at::Tensor y = at::rsub(x, 2.0, 0.7);  // 2 - 0.7 x
    y = at::sub(y, x, 0.3);                // y - 0.3 x
    y = at::add(y, x[1][2], 3);            // a tensor without dimensions
    y = at::gelu(y, "tanh").neg() / 3.0;
    result = Save(at::gelu(y, "none").relu().sigmoid());
  }

  const auto chain = ChainOf(result);

  ASSERT_TRUE(chain.has_value());
  ExpectOutputs(*chain);
}

INSTANTIATE_TEST_SUITE_P(
    Dtypes, ChainTest, ::testing::Values(at::kFloat, at::kBFloat16, at::kHalf),
    [](const auto& info) { return std::string(c10::toString(info.param)); });

class OddChains : public RebuildTest {};

TEST_F(OddChains, AMaskThatIsHeldAsBitsIsReadAsBits) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  at::Tensor mask, y, expected;
  std::shared_ptr<Dropped> bits;
  {
    std::tie(y, mask) = at::native_dropout(x.tanh(), 0.25, true);
    Trash trash;
    std::lock_guard lock(RebuildLock());
    ValuePtr value = RootValue(mask, &trash);
    ++value->kept;
    bits = Dropped::Held(mask, *value);
    trash.values.push_back(std::move(value));
  }
  bits->DecideAgain();
  mask.reset();
  expected = y.clone();
  const ValuePtr value = ValueOf(y);
  const Saved saved(y);
  y.reset();

  const auto chain = ChainOf(value);

  ASSERT_TRUE(chain.has_value());
  EXPECT_THAT(OpsOf(*chain), ElementsAre(Op::kTanh, Op::kMaskScale));
  EXPECT_EQ(chain->program.inputs[1].dtype, Dtype::kBit);
  EXPECT_TRUE(SameBits(Runner(*chain).result(1), expected));
  bits->End();
}

TEST_F(OddChains, ALayerNormIsMadeFromItsStatistics) {
  const at::Tensor x = Numbers(), weight = at::randn({kColumns});
  const Kept kept(x), kept_too(weight);
  auto [y, mean, rstd] = at::native_layer_norm(x, {kColumns}, weight, {}, 1e-5);
  const Kept statistics(mean), statistics_too(rstd);
  const ValuePtr value = ValueOf(y);
  const Saved saved(y);
  y.reset();

  const auto chain = ChainOf(value);

  ASSERT_TRUE(chain.has_value());
  EXPECT_THAT(OpsOf(*chain), ElementsAre(Op::kNormalise));
  const fuse::Step& step = chain->program.steps[0];
  EXPECT_EQ(chain->inputs[step.mean.index].first, ValueOf(mean));
  EXPECT_EQ(chain->inputs[step.rstd.index].first, ValueOf(rstd));
  EXPECT_EQ(chain->inputs[step.weight.index].first, ValueOf(weight));
  EXPECT_EQ(step.bias.kind, Operand::kNone);
}

TEST_F(OddChains, OneOpAloneIsPyTorchsOwn) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  at::Tensor y = x.exp();
  const ValuePtr value = ValueOf(y);
  const Saved saved(y);
  y.reset();

  EXPECT_FALSE(ChainOf(value).has_value());
  EXPECT_FALSE(ChainOf(ValueOf(x)).has_value()) << "nobody made it";
}

TEST_F(OddChains, WhatIsThereIsReadAndNotMadeAgain) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  const at::Tensor middle = x.exp();
  at::Tensor y = middle.tanh().neg();
  const ValuePtr value = ValueOf(y);
  const Saved saved(y);
  y.reset();

  const auto chain = ChainOf(value);

  ASSERT_TRUE(chain.has_value());
  EXPECT_THAT(OpsOf(*chain), ElementsAre(Op::kTanh, Op::kNeg));
  EXPECT_EQ(chain->inputs[0].first, ValueOf(middle));
}

TEST_F(OddChains, AnOpThatNoKernelHasEndsTheChain) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  at::Tensor y = x.sin().tanh().neg();
  const ValuePtr value = ValueOf(y);
  const Saved saved(y);
  y.reset();

  const auto chain = ChainOf(value);

  ASSERT_TRUE(chain.has_value());
  EXPECT_THAT(OpsOf(*chain), ElementsAre(Op::kTanh, Op::kNeg));
}

TEST_F(OddChains, OtherLayoutsAndDtypesAreNotForAKernel) {
  const at::Tensor x = Numbers({kColumns, kColumns}, at::kFloat);
  const at::Tensor wide = Numbers(at::kDouble);
  const Kept kept(x), kept_too(wide);
  for (const auto& make : std::vector<std::function<at::Tensor()>>{
           [&] { return x.exp() + x.t(); },      // read across
           [&] { return wide.exp().neg(); }}) {  // float64
    at::Tensor y = make();
    const ValuePtr value = ValueOf(y);
    const Saved saved(y);
    y.reset();
    EXPECT_TRUE(saved.dropped());
    EXPECT_FALSE(ChainOf(value).has_value());
  }
}

}  // namespace
}  // namespace invact
