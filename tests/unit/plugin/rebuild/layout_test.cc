#include "plugin/rebuild/layout.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/plugin/rebuild/recording.h"

namespace invact {
namespace {

// Views of every kind of a tensor [6, 4, 5, 7].
const std::vector<
    std::pair<std::string, std::function<at::Tensor(const at::Tensor&)>>>
    kViews = {
        {"itself", [](const at::Tensor& t) { return t; }},
        {"transposed", [](const at::Tensor& t) { return t.transpose(0, 3); }},
        {"permuted",
         [](const at::Tensor& t) {
           return t.permute({2, 0, 3, 1});
         }},
        {"from an offset",
         [](const at::Tensor& t) { return t.slice(0, 2, 5); }},
        {"with steps",
         [](const at::Tensor& t) {
           return t.slice(3, 1, 7, 2).slice(1, 0, 4, 3);
         }},
        {"one row", [](const at::Tensor& t) { return t.select(0, 3); }},
        {"one element", [](const at::Tensor& t) { return t[5][3][4][6]; }},
        {"expanded",
         [](const at::Tensor& t) {
           return t.slice(1, 1, 2).expand({6, 9, 5, 7});
         }},
        {"overlapping",
         [](const at::Tensor& t) { return t.view(-1).unfold(0, 10, 3); }},
        {"empty", [](const at::Tensor& t) { return t.slice(2, 3, 3); }},
        {"flat",
         [](const at::Tensor& t) {
           return t.view({6, -1});
         }},
        {"as integers",
         [](const at::Tensor& t) {
           return t.itemsize() == 4 ? t.view(at::kInt) : t;
         }},
};

// Another storage with the same bytes.
c10::Storage Copy(const at::Tensor& tensor) {
  return at::empty({0}, tensor.options().dtype(at::kByte))
      .set_(tensor.storage())
      .clone()
      .storage();
}

TEST(Layout, GivesTheSameTensorOverAnotherStorageWithTheSameBytes) {
  for (const at::ScalarType dtype :
       {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf, at::kLong, at::kInt,
        at::kByte, at::kBool, at::kComplexFloat}) {
    const at::Tensor base = at::randn({6, 4, 5, 7}).to(dtype);
    for (const auto& [name, view] : kViews) {
      SCOPED_TRACE(std::string(c10::toString(dtype)) + " " + name);
      const at::Tensor tensor = view(base);

      const at::Tensor made = Layout(tensor).Over(Copy(tensor));

      EXPECT_TRUE(SameBits(made, tensor));
      EXPECT_EQ(made.storage_offset(), tensor.storage_offset());
      EXPECT_EQ(made.is_contiguous(), tensor.is_contiguous());
      EXPECT_EQ(made.is_non_overlapping_and_dense(),
                tensor.is_non_overlapping_and_dense());
      EXPECT_EQ(made.key_set(), tensor.key_set());
      EXPECT_FALSE(made.is_alias_of(tensor));
      EXPECT_EQ(Layout(made), Layout(tensor));
    }
  }
}

TEST(Layout, KnowsChannelsLast) {
  const at::Tensor tensor =
      at::randn({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast);

  const at::Tensor made = Layout(tensor).Over(Copy(tensor));

  EXPECT_TRUE(made.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(made.suggest_memory_format(), at::MemoryFormat::ChannelsLast);
}

TEST(Layout, WhatItGivesHasNeitherHistoryNorTheCounterOfAnother) {
  const at::Tensor leaf = at::randn({3}).requires_grad_();
  const at::Tensor tensor = leaf.exp();
  const auto before = tensor._version();

  const at::Tensor made = Layout(tensor).Over(tensor.storage());
  made.add_(1);

  EXPECT_FALSE(made.requires_grad());
  EXPECT_EQ(made.grad_fn(), nullptr);
  EXPECT_EQ(tensor._version(), before);
}

TEST(Layout, DiffersByOffsetSizeStrideAndDtype) {
  const at::Tensor tensor = at::randn({4, 4});
  const Layout layout(tensor.narrow(0, 0, 2));

  EXPECT_EQ(layout, Layout(at::randn({2, 4})));
  EXPECT_FALSE(layout == Layout(tensor.narrow(0, 1, 2)));
  EXPECT_FALSE(layout == Layout(tensor.narrow(0, 0, 3)));
  EXPECT_FALSE(layout == Layout(tensor.narrow(0, 0, 2).view({4, 2})));
  EXPECT_FALSE(layout == Layout(tensor.t().narrow(1, 0, 2).t().t()));
  EXPECT_FALSE(layout == Layout(tensor.view(at::kInt).narrow(0, 0, 2)));
}

TEST(Layout, DescribesPlainTensorsOnly) {
  const at::Tensor plain = at::randn({4, 4});
  const at::Tensor complex = at::randn({4}, at::kComplexFloat);
  at::Tensor inference;
  {
    const c10::InferenceMode mode;
    inference = at::randn({4});
  }

  EXPECT_TRUE(Describable(plain));
  EXPECT_TRUE(Describable(plain.t()));
  EXPECT_TRUE(Describable(complex));
  EXPECT_FALSE(Describable(complex.conj()));
  EXPECT_FALSE(Describable(at::imag(complex.conj()))) << "negated";
  EXPECT_FALSE(Describable(inference));
  EXPECT_FALSE(Describable(at::_efficientzerotensor({4}))) << "without bytes";
  EXPECT_FALSE(Describable(plain.to_sparse()));
  EXPECT_FALSE(Describable(plain.to_sparse_csr()));
  EXPECT_FALSE(Describable(at::quantize_per_tensor(plain, 0.1, 0, at::kQInt8)));
  EXPECT_FALSE(Describable(at::empty({4}, plain.options().device(at::kMeta))));
}

}  // namespace
}  // namespace invact
