#include "plugin/rebuild/value_table.h"

#include <gtest/gtest.h>

#include <array>
#include <mutex>
#include <vector>

#include "plugin/observe/scope.h"
#include "tests/unit/plugin/rebuild/recording.h"

namespace invact {
namespace {

const c10::StorageImpl* StorageOf(const at::Tensor& tensor) {
  return tensor.storage().unsafeGetStorageImpl();
}

Value* Entered(const c10::StorageImpl* storage) {
  std::lock_guard lock(RebuildLock());
  return ValueAt(storage);
}

TEST(ValueTable, AStorageHasOneValueHoweverManyTensorsLieInIt) {
  const at::Tensor tensor = at::randn({8, 8});

  const ValuePtr value = ValueOf(tensor);

  EXPECT_EQ(ValueOf(tensor).get(), value.get());
  EXPECT_EQ(ValueOf(tensor.t()).get(), value.get());
  EXPECT_EQ(ValueOf(tensor.narrow(0, 3, 2)).get(), value.get());
  EXPECT_EQ(ValueOf(tensor.detach()).get(), value.get());
  EXPECT_EQ(Entered(StorageOf(tensor)), value.get());
  EXPECT_NE(ValueOf(tensor.clone()).get(), value.get());
  EXPECT_EQ(value->bytes, 8 * 8 * 4);
  EXPECT_TRUE(value->base);
  EXPECT_TRUE(value->Usable());
  EXPECT_EQ(StorageOf(tensor), value->Take().unsafeGetStorageImpl());
}

TEST(ValueTable, AWriteGivesTheStorageAnotherValue) {
  const at::Tensor tensor = at::randn({8});
  const ValuePtr before = ValueOf(tensor);

  tensor.narrow(0, 0, 1).zero_();
  const ValuePtr after = ValueOf(tensor);

  EXPECT_NE(after.get(), before.get());
  EXPECT_FALSE(before->Usable());
  EXPECT_TRUE(after->Usable());
}

TEST(ValueTable, AToleratedWriteIsTheLastOne) {
  const at::Tensor tensor = at::randn({8});
  const ValuePtr value = ValueOf(tensor);
  value->tolerated = 1;

  tensor.zero_();
  EXPECT_TRUE(value->Usable()) << "announced, not made yet";
  tensor.zero_();
  EXPECT_FALSE(value->Usable());
}

TEST(ValueTable, UnderAnotherCounterWritesAreNotSeenSoThereIsNoValue) {
  const at::Tensor tensor = at::randn({8});
  const ValuePtr value = ValueOf(tensor);

  EXPECT_FALSE(ValueOf(tensor.variable_data()).defined());
  EXPECT_FALSE(
      ValueOf(at::empty({0}).set_(tensor.storage(), 0, {8})).defined());
  EXPECT_EQ(ValueOf(tensor).get(), value.get());
}

TEST(ValueTable, ADeadStorageIsOfNoUse) {
  at::Tensor tensor = at::randn({8});
  const ValuePtr value = ValueOf(tensor);

  tensor.reset();

  EXPECT_FALSE(value->Usable());
  EXPECT_FALSE(value->Take());
}

TEST(ValueTable, AResizedStorageIsOfNoUse) {
  const at::Tensor tensor = at::randn({8});
  const ValuePtr value = ValueOf(tensor);

  tensor.storage().unsafeGetStorageImpl()->set_nbytes(16);
  EXPECT_FALSE(value->Usable());
  tensor.storage().unsafeGetStorageImpl()->set_nbytes(32);
  EXPECT_TRUE(value->Usable());
}

TEST(ValueTable, AnEndedValueIsEnteredNoMore) {
  const at::Tensor tensor = at::randn({8});
  const ValuePtr value = ValueOf(tensor);
  const int64_t known = g_values.load();

  {
    Trash trash;
    std::lock_guard lock(RebuildLock());
    EndValue(value.get(), &trash);
  }

  EXPECT_EQ(Entered(StorageOf(tensor)), nullptr);
  EXPECT_EQ(g_values.load(), known - 1);
  EXPECT_FALSE(value->Usable());
  EXPECT_NE(ValueOf(tensor).get(), value.get());
}

TEST(ValueTable, ANewValueTakesThePlaceOfTheOld) {
  const at::Tensor tensor = at::randn({8});
  const ValuePtr old = ValueOf(tensor);
  const ValuePtr made = c10::make_intrusive<Value>(tensor);
  const int64_t known = g_values.load();

  {
    Trash trash;
    std::lock_guard lock(RebuildLock());
    EnterValue(made, &trash);
  }

  EXPECT_EQ(Entered(StorageOf(tensor)), made.get());
  EXPECT_EQ(g_values.load(), known);
  EXPECT_EQ(old.use_count(), 1) << "the table's reference went into the trash";
}

TEST(ValueTable, ParametersAndBuffersArePersistent) {
  const at::Tensor buffer = at::randn({8}), batch = at::randn({8});
  const at::Tensor middle = at::randn({8}).requires_grad_().exp();
  const std::array<const void*, 1> named = {StorageOf(buffer)};
  int owner = 0;
  SetPersistentStorages(&owner, named);

  EXPECT_TRUE(ValueOf(buffer)->persistent);
  EXPECT_TRUE(ValueOf(buffer.narrow(0, 2, 4))->persistent);
  EXPECT_FALSE(ValueOf(batch)->persistent);
  EXPECT_FALSE(ValueOf(middle)->persistent);

  SetPersistentStorages(&owner, {});
}

TEST(ValueTable, DeadStoragesDoNotPileUp) {
  const at::Tensor alive = at::randn({8});
  const ValuePtr value = ValueOf(alive);

  for (int i = 0; i < 100000; ++i) ValueOf(at::empty({1}));

  EXPECT_LT(g_values.load(), 5000);
  EXPECT_EQ(Entered(StorageOf(alive)), value.get());
}

TEST(WeakValue, DoesNotKeepItsValue) {
  const at::Tensor tensor = at::randn({8});
  ValuePtr value = c10::make_intrusive<Value>(tensor);
  WeakValue weak;
  EXPECT_FALSE(weak.Lock().defined());

  weak.Set(value.get());
  EXPECT_EQ(weak.Lock().get(), value.get());
  EXPECT_EQ(value.use_count(), 1);

  value.reset();
  EXPECT_FALSE(weak.Lock().defined());
  weak.Set(nullptr);
  EXPECT_FALSE(weak.Lock().defined());
}

}  // namespace
}  // namespace invact
