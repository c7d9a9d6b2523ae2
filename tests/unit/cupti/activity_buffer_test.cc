// Our reading of CUPTI's records against NVIDIA's own: its headers lay them
// out, its library (which needs no GPU for this) walks through them.
#include "plugin/cupti/activity_buffer.h"

#include <cupti.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <vector>

namespace invact::cupti {
namespace {

Library Nvidias() {
  Library library;
  void* handle = dlopen(INVACT_REAL_CUPTI, RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(handle, nullptr) << dlerror();
  if (handle == nullptr) return library;
  library.next_record = reinterpret_cast<decltype(library.next_record)>(
      dlsym(handle, "cuptiActivityGetNextRecord"));
  return library;
}

template <typename T>
void Append(const T& record, std::vector<uint8_t>* to) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&record);
  to->insert(to->end(), bytes, bytes + sizeof(record));
}

CUpti_ActivityMemory4 Allocation() {
  CUpti_ActivityMemory4 record = {};
  record.kind = CUPTI_ACTIVITY_KIND_MEMORY2;
  record.memoryOperationType = CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION;
  record.memoryKind = CUPTI_ACTIVITY_MEMORY_KIND_PINNED;
  record.address = 0x1234;
  record.bytes = 5678;
  record.timestamp = 42;
  record.deviceId = 3;
  record.isAsync = 1;
  record.memoryPoolConfig.memoryPoolType =
      CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL;
  record.memoryPoolConfig.address = 0x99;
  record.memoryPoolConfig.pool.size = 1 << 20;
  record.source = "/usr/lib/libnccl.so.2";
  return record;
}

template <typename Memory>
void ExpectRead(const Memory& record, bool has_source) {
  Activity activity;
  ASSERT_TRUE(ReadActivity(&record, sizeof(record), &activity));
  EXPECT_FALSE(activity.pool);
  EXPECT_TRUE(activity.alive);
  EXPECT_EQ(activity.kind, MemoryKind::kPinned);
  EXPECT_EQ(activity.address, 0x1234u);
  EXPECT_EQ(activity.bytes, 5678);
  EXPECT_EQ(activity.time_ns, 42u);
  EXPECT_EQ(activity.device, 3);
  EXPECT_TRUE(activity.is_async);
  EXPECT_EQ(activity.pool_address, 0x99u);
  EXPECT_EQ(activity.pool_bytes, 1 << 20);
  EXPECT_EQ(activity.source != nullptr, has_source);
  EXPECT_FALSE(ReadActivity(&record, 111, &activity));
  EXPECT_FALSE(ReadActivity(&record, 0, &activity));
}

TEST(ActivityBuffer, EachVersionOfAnAllocationIsRead) {
  const CUpti_ActivityMemory4 newest = Allocation();
  ExpectRead(newest, true);
  CUpti_ActivityMemory3 third;
  std::memcpy(&third, &newest, sizeof(third));
  ExpectRead(third, false);
  CUpti_ActivityMemory2 second;
  std::memcpy(&second, &newest, sizeof(second));
  ExpectRead(second, false);
}

TEST(ActivityBuffer, EachVersionOfAPoolIsRead) {
  CUpti_ActivityMemoryPool3 newest = {};
  newest.kind = CUPTI_ACTIVITY_KIND_MEMORY_POOL;
  newest.memoryPoolOperationType =
      CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_DESTROYED;
  newest.memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL;
  newest.deviceId = 2;
  newest.address = 0x99;
  newest.size = 777;
  newest.timestamp = 43;
  for (const size_t bytes :
       {sizeof(CUpti_ActivityMemoryPool3), sizeof(CUpti_ActivityMemoryPool2),
        sizeof(CUpti_ActivityMemoryPool)}) {
    Activity activity;
    ASSERT_TRUE(ReadActivity(&newest, bytes, &activity));
    EXPECT_TRUE(activity.pool);
    EXPECT_FALSE(activity.alive);
    EXPECT_EQ(activity.device, 2);
    EXPECT_EQ(activity.pool_address, 0x99u);
    EXPECT_EQ(activity.pool_bytes, 777);
    EXPECT_EQ(activity.time_ns, 43u);
  }
}

// What torch's profiler gets is byte for byte what CUPTI wrote, without ours.
TEST(ActivityBuffer, OnlyRecordsOfMemoryAreTakenOut) {
  const Library library = Nvidias();
  ASSERT_NE(library.next_record, nullptr);
  CUpti_ActivityAPI api = {};
  api.kind = CUPTI_ACTIVITY_KIND_RUNTIME;
  CUpti_ActivityKernel10 kernel = {};
  kernel.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
  CUpti_ActivityMemoryPool3 pool = {};
  pool.kind = CUPTI_ACTIVITY_KIND_MEMORY_POOL;
  std::vector<uint8_t> buffer, want;
  for (uint32_t i = 0; i < 20; ++i) {
    api.correlationId = kernel.correlationId = i;
    if (i % 3 == 0) Append(Allocation(), &buffer);
    for (auto* to : {&buffer, &want}) {
      Append(kernel, to);
      if (i % 2 == 0) Append(api, to);
    }
    if (i % 5 == 0) Append(pool, &buffer);
  }
  Append(Allocation(), &buffer);

  std::vector<uint8_t> thin = buffer;
  thin.resize(TakeMemoryOut(library, thin.data(), thin.size(), 0));
  EXPECT_EQ(thin, want);
  // Nothing to take: as it was.
  EXPECT_EQ(TakeMemoryOut(library, thin.data(), thin.size(), 0), want.size());
  EXPECT_EQ(thin, want);
  // The reader asked for them itself.
  std::vector<uint8_t> kept = buffer;
  EXPECT_EQ(TakeMemoryOut(library, kept.data(), kept.size(),
                          uint64_t{1} << 49 | uint64_t{1} << 50),
            buffer.size());
  EXPECT_EQ(kept, buffer);

  int memory = 0, pools = 0;
  ForEachRecord(library, buffer.data(), buffer.size(),
                [&](const void* record, size_t bytes) {
                  Activity activity;
                  if (!IsMemory(KindOfRecord(record))) return;
                  ASSERT_TRUE(ReadActivity(record, bytes, &activity));
                  ++(activity.pool ? pools : memory);
                });
  EXPECT_EQ(memory, 8);
  EXPECT_EQ(pools, 4);
}

TEST(ActivityBuffer, OneThatHoldsNothingElseBecomesEmpty) {
  const Library library = Nvidias();
  ASSERT_NE(library.next_record, nullptr);
  std::vector<uint8_t> buffer;
  Append(Allocation(), &buffer);
  Append(Allocation(), &buffer);
  EXPECT_EQ(TakeMemoryOut(library, buffer.data(), buffer.size(), 0), 0u);
  EXPECT_EQ(TakeMemoryOut(library, buffer.data(), 0, 0), 0u);
}

}  // namespace
}  // namespace invact::cupti
