#include "plugin/brief_lock.h"

#include <gtest/gtest.h>

#include <mutex>
#include <thread>
#include <vector>

namespace invact {
namespace {

TEST(BriefLock, LetsOneThreadInAtATimeAlsoWhereItIsHeldForLong) {
  BriefLock lock;
  int64_t count = 0;
  std::vector<std::thread> threads;

  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20000; ++n) {
        std::lock_guard guard(lock);
        const int64_t before = count;
        // Longer than anybody spins.
        if (n % 10000 == 0) {
          for (volatile int wait = 0; wait < 1000000;) wait = wait + 1;
        }
        count = before + 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(count, 4 * 20000);
}

}  // namespace
}  // namespace invact
