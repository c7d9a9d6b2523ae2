#include "plugin/pointer_map.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>

namespace invact {
namespace {

const void* Address(uint64_t n) {
  return reinterpret_cast<const void*>(uintptr_t{16} * (n + 1));
}

TEST(PointerMap, HoldsWhatAStandardMapHoldsThroughManyChanges) {
  PointerMap<int> map;
  std::unordered_map<const void*, int> truth;
  std::mt19937_64 random(7);

  for (int i = 0; i < 200'000; ++i) {
    const void* key = Address(random() % 700);
    switch (random() % 3) {
      case 0:
        map[key] = i;
        truth[key] = i;
        break;
      case 1:
        map.Erase(key);
        truth.erase(key);
        break;
      default: {
        const int* found = map.Find(key);
        const auto it = truth.find(key);
        ASSERT_EQ(found != nullptr, it != truth.end());
        if (found != nullptr) {
          ASSERT_EQ(*found, it->second);
        }
      }
    }
    ASSERT_EQ(map.size(), truth.size());
  }
  for (uint64_t n = 0; n < 700; ++n) {
    const int* found = map.Find(Address(n));
    ASSERT_EQ(found != nullptr, truth.contains(Address(n)));
  }
}

TEST(PointerMap, AnEmptyOneFindsAndErasesNothing) {
  PointerMap<int> map;

  map.Erase(Address(1));

  EXPECT_EQ(map.Find(Address(1)), nullptr);
  EXPECT_EQ(map.size(), 0u);
}

}  // namespace
}  // namespace invact
