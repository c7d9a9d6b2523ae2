// Masks against the rule of kernels/bits/bits.h, written down once more here:
// element i is bit i % 8 of byte i / 8.
#include "plugin/rebuild/mask_bits.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <vector>

#include "plugin/rebuild/recorded_op.h"
#include "plugin/rebuild/rerun.h"
#include "plugin/rebuild/value_table.h"
#include "tests/unit/plugin/rebuild/recording.h"

namespace invact {
namespace {

at::Tensor MaskOf(const std::vector<uint8_t>& bytes) {
  const at::Tensor mask =
      at::empty({static_cast<int64_t>(bytes.size())}, at::kBool);
  std::copy(bytes.begin(), bytes.end(),
            static_cast<uint8_t*>(mask.mutable_data_ptr()));
  return mask;
}

// The mask made from its bits by the recipe, as its own layout has it.
at::Tensor Unpacked(const at::Tensor& mask, const at::Tensor& bits) {
  const auto recipe = UnpackingOf(mask, bits, ValueOf(bits));
  torch::jit::Stack stack(recipe->arguments.begin(), recipe->arguments.end());
  stack[recipe->inputs[0].position] =
      recipe->inputs[0].layout.Over(bits.storage());
  const at::Tensor flat = recipe->op->function(stack);
  EXPECT_EQ(Layout(flat), recipe->output);
  return Layout(mask).Over(flat.storage());
}

void ExpectRule(const at::Tensor& mask, const at::Tensor& bits) {
  const int64_t n = mask.numel();
  ASSERT_TRUE(bits.defined());
  ASSERT_EQ(bits.scalar_type(), at::kByte);
  ASSERT_EQ(bits.numel(), (n + 7) / 8);
  ASSERT_EQ(static_cast<int64_t>(bits.storage().nbytes()), (n + 7) / 8);
  const auto* from = static_cast<const uint8_t*>(mask.storage().data());
  std::vector<uint8_t> wanted((n + 7) / 8, 0);
  for (int64_t i = 0; i < n; ++i) {
    wanted[i / 8] = static_cast<uint8_t>(wanted[i / 8] | from[i] << i % 8);
  }
  const auto* got = static_cast<const uint8_t*>(bits.const_data_ptr());
  ASSERT_TRUE(std::equal(wanted.begin(), wanted.end(), got));
}

class MaskBits : public RebuildTest {};

TEST_F(MaskBits, EachPatternOfEightComesBackAtEachOddSize) {
  for (int pattern = 0; pattern < 256; ++pattern) {
    for (size_t size = 1; size <= 17; ++size) {
      std::vector<uint8_t> bytes(size);
      for (size_t i = 0; i < size; ++i) bytes[i] = pattern >> i % 8 & 1;
      const at::Tensor mask = MaskOf(bytes);

      const at::Tensor bits = PackMask(mask);

      ExpectRule(mask, bits);
      ASSERT_TRUE(SameBits(Unpacked(mask, bits), mask)) << pattern << size;
    }
  }
}

TEST_F(MaskBits, LargeMasksAreSplitAmongThreadsWithoutALostBit) {
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  for (const int64_t n : {32767, 32768, 32769, 98304, 200003}) {
    const at::Tensor mask = at::rand({n}) < 0.7;

    const at::Tensor bits = PackMask(mask);

    ExpectRule(mask, bits);
    EXPECT_TRUE(SameBits(Unpacked(mask, bits), mask)) << n;
  }
  at::set_num_threads(before);
}

TEST_F(MaskBits, AMaskKeepsItsLayout) {
  const at::Tensor mask = (at::rand({5, 7, 3}) < 0.5).permute({2, 0, 1});

  const at::Tensor bits = PackMask(mask);

  ExpectRule(mask, bits);
  EXPECT_TRUE(SameBits(Unpacked(mask, bits), mask));
}

TEST_F(MaskBits, WhatDoesNotFillItsStorageIsNotPacked) {
  const at::Tensor mask = at::rand({64}) < 0.5;

  EXPECT_FALSE(PackMask(mask.narrow(0, 8, 56)).defined()) << "an offset";
  EXPECT_FALSE(PackMask(mask.narrow(0, 0, 56)).defined()) << "a part";
  EXPECT_FALSE(PackMask(mask.expand({2, 64})).defined())
      << "more than there is";
  EXPECT_FALSE(PackMask(mask.to(at::kByte)).defined()) << "no mask";
}

TEST_F(MaskBits, AHeldMaskBecomesBitsWhenItsOpHasReturned) {
  const at::Tensor expected = at::rand({40001}) < 0.9;
  at::Tensor mask = expected.clone();
  const c10::weak_intrusive_ptr<c10::StorageImpl> storage =
      mask.storage().getWeakStorageImpl();
  std::shared_ptr<Dropped> held;
  {
    Trash trash;
    std::lock_guard lock(RebuildLock());
    ValuePtr value = RootValue(mask, &trash);
    ++value->kept;
    held = Dropped::Held(mask, *value);
    trash.values.push_back(std::move(value));
  }

  held->DecideAgain();
  mask.reset();

  EXPECT_TRUE(storage.expired()) << "its bytes are gone";
  EXPECT_TRUE(SameBits(held->Read(), expected));
  held->End();
}

}  // namespace
}  // namespace invact
