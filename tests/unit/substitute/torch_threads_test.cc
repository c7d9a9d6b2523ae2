#include "plugin/substitute/torch_threads.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace invact {
namespace {

struct Ranges {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::vector<int> visits;

  explicit Ranges(int64_t count) : visits(count) {}
  void Visit(int64_t first, int64_t last) {
    std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
    for (int64_t i = first; i < last; ++i) ++visits[i];
  }
};

TEST(TorchThreads, EveryIndexIsVisitedOnce) {
  at::set_num_threads(4);
  for (int64_t count : {1, 7, 64, 65, 1000, 4097}) {
    Ranges ranges(count);
    OverTorchThreads(count, 16, [&](int64_t first, int64_t last) {
      ranges.Visit(first, last);
    });
    EXPECT_EQ(ranges.visits, std::vector<int>(count, 1)) << count;
  }
}

// Eager's own kernels use all of torch's threads: ours must not use one.
TEST(TorchThreads, AsManyThreadsAsTorchHas) {
  at::set_num_threads(3);
  Ranges ranges(3000);
  OverTorchThreads(
      3000, 1, [&](int64_t first, int64_t last) { ranges.Visit(first, last); });
  EXPECT_EQ(ranges.threads.size(), 3u);
}

TEST(TorchThreads, SmallLoopsStayInTheCallingThread) {
  at::set_num_threads(4);
  Ranges ranges(16);
  OverTorchThreads(
      16, 16, [&](int64_t first, int64_t last) { ranges.Visit(first, last); });
  EXPECT_EQ(ranges.threads, std::set{std::this_thread::get_id()});
}

TEST(TorchThreads, NothingHappensForAnEmptyLoop) {
  OverTorchThreads(0, 1, [](int64_t, int64_t) { FAIL(); });
}

}  // namespace
}  // namespace invact
