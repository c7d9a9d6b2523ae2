// Ops with reductions, statistics, masks and indices, run again.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "plugin/rebuild/recorded_op.h"
#include "tests/unit/plugin/rebuild/recording.h"

namespace invact {
namespace {

class RerunNorms : public RebuildTest,
                   public ::testing::WithParamInterface<at::ScalarType> {
 protected:
  static void ExpectRebuilt(const char* op, at::Tensor* made) {
    const at::Tensor expected = made->clone();
    const ValuePtr value = ValueOf(*made);
    ASSERT_NE(value->recipe, nullptr) << op;
    EXPECT_EQ(value->recipe->op->name, op);
    const Saved saved(*made);
    made->reset();
    ASSERT_TRUE(saved.dropped()) << op;
    EXPECT_EQ(value->address.use_count(), 0U) << "it is still there";
    EXPECT_TRUE(SameBits(saved.Read(), expected)) << op;
  }
};

TEST_P(RerunNorms, LayerNorm) {
  for (const bool affine : {true, false}) {
    const at::Tensor x = Numbers(GetParam());
    const at::Tensor weight =
        affine ? at::randn({kColumns}).to(GetParam()) : at::Tensor();
    const Kept kept(x), kept_too(affine ? weight : x);
    auto made =
        std::get<0>(at::native_layer_norm(x, {kColumns}, weight, weight, 1e-5));
    ExpectRebuilt("native_layer_norm", &made);
  }
}

TEST_P(RerunNorms, GroupNorm) {
  const at::Tensor x = Numbers({4, 8, 16, 48}, GetParam());
  const at::Tensor weight = at::randn({8}).to(GetParam());
  const Kept kept(x), kept_too(weight);
  for (const int64_t groups : {1, 2, 8}) {
    auto made = std::get<0>(
        at::native_group_norm(x, weight, weight, 4, 8, 16 * 48, groups, 1e-5));
    ExpectRebuilt("native_group_norm", &made);
  }
}

// Running statistics are written by it once, not once more.
TEST_P(RerunNorms, BatchNorm) {
  for (const auto format :
       {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (const bool training : {true, false}) {
      const at::Tensor x =
          Numbers({4, 8, 16, 48}, GetParam()).contiguous(format);
      const at::Tensor weight = at::randn({8}).to(GetParam());
      const at::Tensor mean = at::zeros({8}, weight.options());
      const at::Tensor variance = at::ones({8}, weight.options());
      const Kept kept(x), kept_too(weight), running(mean), too(variance);
      auto made = std::get<0>(at::native_batch_norm(
          x, weight, weight, mean, variance, training, 0.1, 1e-5));
      const at::Tensor mean_then = mean.clone();
      const at::Tensor variance_then = variance.clone();

      ExpectRebuilt("native_batch_norm", &made);

      EXPECT_TRUE(SameBits(mean, mean_then));
      EXPECT_TRUE(SameBits(variance, variance_then));
    }
  }
}

TEST_P(RerunNorms, DropoutFromItsMask) {
  const at::Tensor x = Numbers(GetParam());
  const Kept kept(x);
  for (const double p : {0.1, 0.25, 0.5, 0.3333, 0.9}) {
    SCOPED_TRACE(p);
    auto [made, mask] = at::native_dropout(x, p, true);
    const Kept kept_mask(mask);
    at::manual_seed(3);
    const at::Tensor next = at::rand({4});
    at::manual_seed(3);

    ExpectRebuilt("native_dropout", &made);

    EXPECT_TRUE(SameBits(at::rand({4}), next)) << "it drew random numbers";
  }
}

TEST_P(RerunNorms, DropoutThatIsNoneOrAllIsKept) {
  const at::Tensor x = Numbers(GetParam());
  const Kept kept(x);
  for (const double p : {0.0, 1.0}) {
    const auto [made, mask] = at::native_dropout(x, p, true);
    const Kept kept_mask(mask);
    EXPECT_FALSE(Saved(made).dropped());
  }
  const auto [made, mask] = at::native_dropout(x, 0.5, false);
  const Kept kept_mask(mask);
  EXPECT_FALSE(Saved(made).dropped());
}

TEST_P(RerunNorms, Softmax) {
  for (const int64_t dim : {0, 1}) {
    for (const bool transposed : {false, true}) {
      const at::Tensor x = transposed
                               ? Numbers({kColumns, kRows}, GetParam()).t()
                               : Numbers(GetParam());
      const Kept kept(x);
      auto made = at::_softmax(x, dim, false);
      ExpectRebuilt("_softmax", &made);
      made = at::_log_softmax(x, dim, false);
      ExpectRebuilt("_log_softmax", &made);
    }
  }
}

TEST_P(RerunNorms, Embedding) {
  const at::Tensor table = Numbers({50, kColumns}, GetParam());
  const at::Tensor rows = at::randint(50, {4, 24});
  const Kept kept(table), kept_too(rows);
  auto made = at::embedding(table, rows, 3, false, false);
  ExpectRebuilt("embedding", &made);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, RerunNorms,
                         ::testing::Values(at::kFloat, at::kBFloat16, at::kHalf,
                                           at::kDouble),
                         [](const auto& info) {
                           return std::string(c10::toString(info.param));
                         });

}  // namespace
}  // namespace invact
