// What is dropped, what is kept and why, what is held in its place and until
// when. The sizes stand beside each case: F is a float32 tensor, H half of it.
#include "plugin/rebuild/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plugin/observe/scope.h"
#include "plugin/rebuild/write.h"
#include "tests/unit/plugin/rebuild/recording.h"

namespace invact {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using Decide = RebuildTest;

// What is held to rebuild it.
std::vector<const Value*> LeavesOf(const ValuePtr& value) {
  std::vector<const Value*> leaves;
  for (const Plan::Leaf& leaf : ContentOf(*value).plan->leaves) {
    leaves.push_back(leaf.value.get());
  }
  return leaves;
}

bool Alive(const ValuePtr& value) { return value->address.use_count() > 0; }

TEST_F(Decide, WhatIsKeptAnywayIsAFreeBase) {
  const at::Tensor x = Numbers();
  const Kept kept(x);

  at::Tensor y = x.exp();
  const ValuePtr value = ValueOf(y);
  const Saved saved(y);
  y.reset();

  EXPECT_TRUE(saved.dropped());
  EXPECT_FALSE(Alive(value));
  EXPECT_THAT(LeavesOf(value), ElementsAre(ValueOf(x).get()));
}

TEST_F(Decide, ABaseThatCostsAsMuchIsNoGain) {
  const at::Tensor y = Numbers().exp();  // F for F

  const Saved saved(y);

  EXPECT_FALSE(saved.dropped());
  EXPECT_EQ(saved.reason(), Reason::kNoCheaperBase);
}

TEST_F(Decide, WhatMovesManyTimesItsBytesIsLeftAlone) {
  const at::Tensor table = at::randn({300, kColumns});
  const at::Tensor ids = at::randint(0, 300, {kRows}, at::kLong);
  const Kept kept(table), kept_too(ids);

  const at::Tensor once = at::embedding(table, ids);  // 2 F
  const Saved saved(once);
  EXPECT_TRUE(saved.dropped());

  const at::Tensor sum = at::embedding(table, ids) + at::embedding(table, ids) +
                         at::embedding(table, ids);  // 3 times 2 F, and 4 F
  const Saved refused(sum);
  EXPECT_FALSE(refused.dropped());
  EXPECT_EQ(refused.reason(), Reason::kRebuildTooSlow);
}

TEST_F(Decide, ABaseOfHalfTheBytesIsHeldInPlace) {
  at::Tensor half = Numbers(at::kBFloat16);  // H for F
  const ValuePtr base = ValueOf(half);
  at::Tensor wide = half.to(at::kFloat);
  const ValuePtr value = ValueOf(wide);
  {
    const Saved saved(wide);
    wide.reset();
    half.reset();

    EXPECT_TRUE(saved.dropped());
    EXPECT_THAT(LeavesOf(value), ElementsAre(base.get()));
    EXPECT_TRUE(Alive(base)) << "the plan holds it";
    EXPECT_FALSE(Alive(value));
  }
  EXPECT_FALSE(Alive(base)) << "until nobody is to be rebuilt from it";
}

TEST_F(Decide, TheBaseIsFoundBehindOtherOps) {
  at::Tensor half = Numbers(at::kBFloat16);
  const ValuePtr base = ValueOf(half);
  at::Tensor wide = half.to(at::kFloat);
  at::Tensor more = wide.exp();
  at::Tensor product = more * wide;  // F, made of H by three ops
  const ValuePtr value = ValueOf(product);
  const Saved saved(product);

  EXPECT_TRUE(saved.dropped());
  EXPECT_THAT(LeavesOf(value), ElementsAre(base.get()));
  EXPECT_EQ(value->plan->via.size(), 3U);
}

TEST_F(Decide, TwoBasesMustTogetherCostLess) {
  const at::Tensor a = Numbers(at::kBFloat16), b = Numbers(at::kBFloat16);
  const at::Tensor sum = a.to(at::kFloat) + b.to(at::kFloat);  // 2 H for F
  const at::Tensor product = sum * a.to(at::kFloat);

  const Saved refused(sum);
  EXPECT_EQ(refused.reason(), Reason::kNoCheaperBase);

  const Saved taken(product);  // sum is kept now: H for F
  EXPECT_TRUE(taken.dropped());
  EXPECT_THAT(LeavesOf(ValueOf(product)),
              UnorderedElementsAre(ValueOf(sum).get(), ValueOf(a).get()));
}

TEST_F(Decide, ABaseHeldForAnotherIsFree) {
  const at::Tensor half = Numbers(at::kBFloat16);
  const at::Tensor first = half.to(at::kFloat);
  const at::Tensor second = half.exp();  // H for H, if nobody held `half`
  {
    const Saved alone(second);
    EXPECT_FALSE(alone.dropped());
  }
  const at::Tensor third = half.exp();
  const Saved holder(first);
  const Saved guest(third);

  EXPECT_TRUE(holder.dropped());
  EXPECT_TRUE(guest.dropped());
  EXPECT_EQ(ValueOf(half)->users, 2);
}

TEST_F(Decide, WhatIsToBeRebuiltItselfIsFree) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  const at::Tensor y = x.exp(), z = y.sin();

  const Saved first(y), second(z);

  EXPECT_TRUE(first.dropped());
  EXPECT_TRUE(second.dropped());
  EXPECT_THAT(LeavesOf(ValueOf(z)), ElementsAre(ValueOf(x).get()));
}

TEST_F(Decide, ParametersAndBuffersAreFree) {
  const at::Tensor table = Numbers();
  const std::vector<const void*> named = {
      table.storage().unsafeGetStorageImpl()};
  int owner = 0;
  SetPersistentStorages(&owner, named);
  const at::Tensor rows = at::arange(kRows);  // 8 bytes for 1 KiB

  const at::Tensor looked_up = at::embedding(table, rows);
  const Saved saved(looked_up);

  EXPECT_TRUE(saved.dropped());
  EXPECT_THAT(LeavesOf(ValueOf(looked_up)),
              UnorderedElementsAre(ValueOf(table).get(), ValueOf(rows).get()));
  SetPersistentStorages(&owner, {});
}

TEST_F(Decide, AChainIsAtMostSixteenOpsLong) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  std::vector<at::Tensor> chain = {x};
  for (int i = 0; i < kMaxDepth + 1; ++i) chain.push_back(chain.back() * 0.5);
  {
    const Saved last(chain[kMaxDepth + 1]);
    EXPECT_FALSE(last.dropped());
    EXPECT_EQ(last.reason(), Reason::kNone) << "nobody knows how it was made";
  }
  const Saved before(chain[kMaxDepth]);
  EXPECT_TRUE(before.dropped());
}

TEST_F(Decide, AChainBeginsAnewAtWhatIsKept) {
  const Kept kept(Numbers());
  at::Tensor x = Numbers();
  for (int i = 0; i < kMaxDepth; ++i) x = x * 0.5;
  const Saved middle(x);  // its bases are as large
  EXPECT_FALSE(middle.dropped());

  for (int i = 0; i < kMaxDepth; ++i) x = x * 0.5;
  const Saved end(x);

  EXPECT_TRUE(end.dropped());
}

TEST_F(Decide, SmallStoragesAreKept) {
  const at::Tensor x = Numbers({63, 65}, at::kFloat);  // 4 bytes below 16 KiB
  const at::Tensor larger = Numbers({64, 64}, at::kFloat);
  const Kept kept(x), kept_too(larger);
  const at::Tensor small = x.exp(), enough = larger.exp();

  const Saved refused(small), taken(enough);

  EXPECT_FALSE(refused.dropped());
  EXPECT_EQ(refused.reason(), Reason::kNone);
  EXPECT_TRUE(taken.dropped());
}

TEST_F(Decide, WhatCostsMuchOrIsDrawnIsKept) {
  const at::Tensor x = Numbers();
  const Kept kept(x);

  for (const at::Tensor& made :
       {at::matmul(x, x.t()), at::randn_like(x),
        at::bernoulli(at::rand_like(x)), x.cumsum(0), std::get<0>(x.sort(1))}) {
    const Saved saved(made);
    EXPECT_FALSE(saved.dropped());
    EXPECT_EQ(saved.reason(), Reason::kNone);
  }
}

TEST_F(Decide, ExcludedModulesAreLeftAlone) {
  Config config;
  config.exclude = {"left.*"};
  Recorder::Get().Configure(config, "", "", false);
  const at::Tensor x = Numbers();
  const Kept kept(x);
  const at::Tensor y = x.exp();

  PushScope(InternScope("left.alone", false));
  const Saved excluded(y);
  PopScope();

  EXPECT_FALSE(excluded.dropped());
  EXPECT_EQ(excluded.reason(), Reason::kUserExcluded);
}

TEST_F(Decide, ReadersShareOneStorageUntilTheLastOne) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  at::Tensor y = x.exp();
  const at::Tensor expected = y.clone();
  const ValuePtr value = ValueOf(y);
  std::optional<Saved> q(y), k(y.t()), v(y.narrow(0, 1, 2));
  y.reset();
  ASSERT_TRUE(q->dropped() && k->dropped() && v->dropped());
  EXPECT_EQ(value->plan->states, 3);

  const at::Tensor first = q->Read(), second = k->Read();
  EXPECT_TRUE(first.is_alias_of(second));
  EXPECT_TRUE(value->rebuilt);
  const at::Tensor third = v->Read();

  EXPECT_TRUE(third.is_alias_of(first));
  EXPECT_FALSE(value->rebuilt) << "nobody waits for it any more";
  EXPECT_TRUE(SameBits(first, expected));
  EXPECT_TRUE(SameBits(second, expected.t()));
  EXPECT_TRUE(SameBits(third, expected.narrow(0, 1, 2)));

  // A graph that is kept is read again.
  EXPECT_TRUE(SameBits(k->Read(), expected.t()));
  EXPECT_FALSE(value->rebuilt);

  q.reset();
  k.reset();
  EXPECT_NE(value->plan, nullptr);
  v.reset();
  EXPECT_EQ(value->plan, nullptr);
  EXPECT_EQ(ValueOf(x)->users, 0);
}

TEST_F(Decide, OneThatIsNeverReadDoesNotHoldWhatOthersRebuilt) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  at::Tensor y = x.exp();
  const ValuePtr value = ValueOf(y);
  const Saved read(y);
  std::optional<Saved> unread(y);
  y.reset();

  read.Read();
  EXPECT_TRUE(value->rebuilt);
  unread.reset();

  EXPECT_FALSE(value->rebuilt);
}

TEST_F(Decide, EqualCastsOfOneSourceAreOneValue) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  const at::Tensor first = x.to(at::kBFloat16), second = x.to(at::kBFloat16);
  const at::Tensor other = x.to(at::kHalf);

  EXPECT_EQ(&ContentOf(*ValueOf(second)), ValueOf(first).get());
  EXPECT_EQ(&ContentOf(*ValueOf(other)), ValueOf(other).get());
  const Saved one(first), two(second);
  EXPECT_TRUE(one.dropped() && two.dropped());
  EXPECT_EQ(ValueOf(first)->plan->states, 2);
}

TEST_F(Decide, ACastIsRebuiltFromItsKeptTwin) {
  at::Tensor x = Numbers();
  at::Tensor first = x.to(at::kBFloat16), second = x.to(at::kBFloat16);
  const at::Tensor expected = first.clone();
  x.reset();
  const Saved kept(first);  // 2 H for H
  EXPECT_FALSE(kept.dropped());

  const Saved saved(second);
  second.reset();

  EXPECT_TRUE(saved.dropped());
  EXPECT_TRUE(SameBits(saved.Read(), expected));
}

TEST_F(Decide, ToBeKeptElsewhereCostsNothingWhereItIsKeptOrCanBeRebuilt) {
  const at::Tensor x = Numbers(), y = x.exp();
  EXPECT_FALSE(CostsNothing(x));
  EXPECT_FALSE(CostsNothing(y));

  const Kept kept(x);

  EXPECT_TRUE(CostsNothing(x));
  EXPECT_TRUE(CostsNothing(y));
}

TEST_F(Decide, BeforeABaseIsWrittenWhatDependsOnItIsRebuilt) {
  const at::Tensor half = Numbers(at::kBFloat16);
  at::Tensor wide = half.to(at::kFloat);
  const at::Tensor expected = wide.clone();
  const Saved saved(wide);
  wide.reset();
  ASSERT_TRUE(saved.dropped());

  RebuildBeforeWrite(half.storage().unsafeGetStorageImpl(), 1);
  half.zero_();

  EXPECT_TRUE(SameBits(saved.Read(), expected));
  EXPECT_FALSE(saved.hook().Written());
}

TEST_F(Decide, ABaseWrittenWithoutNoticeIsToldOf) {
  const at::Tensor half = Numbers(at::kBFloat16);
  at::Tensor wide = half.to(at::kFloat);
  const Saved saved(wide);
  wide.reset();
  ASSERT_TRUE(saved.dropped());

  half.zero_();

  try {
    saved.Read();
    FAIL() << "other bits were given out";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("announced no write"));
    EXPECT_THAT(error.what(), HasSubstr("INVACT_POLICY=observe"));
  }
}

TEST_F(Decide, AWriteToWhatWasSavedShows) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  const at::Tensor y = x.exp();
  const Saved saved(y);
  ASSERT_TRUE(saved.dropped());
  EXPECT_FALSE(saved.hook().Written());

  y.zero_();

  EXPECT_TRUE(saved.hook().Written());
}

}  // namespace
}  // namespace invact
