// The channel between a CUPTI without a device and a client that does what
// torch's profiler does. What is mapped and redirected stays so: each case runs
// in a child of its own.
#include "plugin/cupti/channel.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <map>

#include "tests/unit/cupti/fake_cupti.h"

namespace invact::cupti {
namespace {

constexpr uint64_t kMemoryKinds = uint64_t{1} << 49 | uint64_t{1} << 50;
constexpr char kKineto[] = "libtorch_cpu.so";

template <typename F>
void InChild(F body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

uint64_t Realtime() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

// The process, and beside it a plain map of what is alive.
struct Job {
  std::map<uint64_t, int64_t> alive;

  void Allocate(uint64_t address, int64_t bytes, const char* source = nullptr) {
    const FakeMemory memory = {
        true, 3, address, uint64_t(bytes), Realtime(), 0, source, false, 0, 0};
    fake_memory(&memory);
    alive[address] = bytes;
  }
  void Free(uint64_t address) {
    const FakeMemory memory = {
        false, 3, address, uint64_t(alive.at(address)), Realtime(), 0, nullptr,
        false, 0, 0};
    fake_memory(&memory);
    alive.erase(address);
  }
  int64_t bytes() const {
    int64_t sum = 0;
    for (const auto& [address, size] : alive) sum += size;
    return sum;
  }
};

LiveBytes Live() {
  return Channel::Get().Read([](const LiveMemory& live) { return live.Of(0); });
}

void Start(bool sources = false, const char* client = kKineto) {
  std::string why;
  ASSERT_TRUE(Channel::Get().Prepare(client, &why)) << why;
  ASSERT_TRUE(Channel::Get().Start(sources, &why)) << why;
}

void ExpectAllBack() {
  fake_kernels_end();
  Channel::Get().Flush();
  EXPECT_EQ(fake_seen().outstanding, 0);
}

// A session of the profiler with `kernels` in it, as the job would see it
// without us.
void ExpectWhole(const KinetoSession& session, int kernels,
                 uint64_t numbers_sum) {
  EXPECT_EQ(session.kernels, kernels);
  EXPECT_EQ(session.numbers_sum, numbers_sum);
  EXPECT_EQ(session.unexpected, 0);
  EXPECT_EQ(session.unknown_buffers, 0);
  EXPECT_EQ(session.left, 0);
}

TEST(Channel, TellsOfWhatIsMadeAndFreed) {
  InChild([] {
    Start();
    Job job;
    job.Allocate(0x1000, 700);
    job.Allocate(0x2000, 300);
    job.Free(0x1000);

    EXPECT_TRUE(Channel::Get().Flush());

    EXPECT_EQ(Live().device, job.bytes());
    std::vector<Record> events;
    Channel::Get().TakeEvents(&events);
    ASSERT_EQ(events.size(), 3u);
    EXPECT_EQ(events[0].kind, uint8_t(EventKind::kCuptiAlloc));
    EXPECT_EQ(events[0].address, 0x1000u);
    EXPECT_EQ(events[0].bytes, 700);
    EXPECT_EQ(events[2].kind, uint8_t(EventKind::kCuptiFree));
    EXPECT_EQ(fake_seen().enabled, kMemoryKinds);
    EXPECT_EQ(fake_seen().subscribes, 0);
    ExpectAllBack();
  });
}

TEST(Channel, TheProfilerSeesItsKernelsAndWeSeeMemoryThroughout) {
  InChild([] {
    Start();
    Job job;
    job.Allocate(0x1000, 100);  // in a buffer of ours that CUPTI holds
    for (int session = 0; session < 3; ++session) {
      kineto_start();
      kineto_warm_up_is_over();
      for (uint32_t i = 1; i <= 19; ++i) {
        fake_kernel(i, i % 2 == 0);
        job.Allocate(0x10000 + i * 0x100, i);
      }
      // The samples of a step's end come into the session.
      EXPECT_FALSE(Channel::Get().Flush());
      fake_kernels_end();
      kineto_stop_recording();
      EXPECT_EQ(Channel::Get().state(), State::kDraining);
      EXPECT_EQ(fake_seen().enabled, kMemoryKinds);
      ExpectWhole(kineto_collect(), 19, 190);
      EXPECT_EQ(Channel::Get().state(), State::kActive);
      EXPECT_EQ(Live().device, job.bytes());
      for (uint32_t i = 1; i <= 19; ++i) job.Free(0x10000 + i * 0x100);
      EXPECT_TRUE(Channel::Get().Flush());
      EXPECT_EQ(Live().device, job.bytes());
    }
    EXPECT_EQ(Channel::Get().counts().gaps.load(), 0);
    EXPECT_EQ(Channel::Get().counts().sessions.load(), 3);
    ExpectAllBack();
  });
}

TEST(Channel, AProfilerFromBeforeIsLetThrough) {
  InChild([] {
    std::string why;
    ASSERT_TRUE(Channel::Get().Prepare(kKineto, &why)) << why;
    kineto_start();
    fake_kernel(5, true);
    ASSERT_TRUE(Channel::Get().Start(false, &why)) << why;
    EXPECT_EQ(Channel::Get().state(), State::kSession);
    Job job;
    job.Allocate(0x1000, 64);
    fake_kernel(6, true);
    kineto_stop_recording();
    ExpectWhole(kineto_collect(), 2, 11);
    EXPECT_EQ(Live().device, 64);
    job.Allocate(0x2000, 32);
    EXPECT_TRUE(Channel::Get().Flush());
    EXPECT_EQ(Live().device, 96);
  });
}

TEST(Channel, AProfilerThatEndedBeforeGetsItsBuffersBack) {
  InChild([] {
    std::string why;
    ASSERT_TRUE(Channel::Get().Prepare(kKineto, &why)) << why;
    kineto_start();
    fake_kernel(5, true);
    kineto_stop_recording();
    ASSERT_TRUE(Channel::Get().Start(false, &why)) << why;
    Job job;
    job.Allocate(0x1000, 64);
    EXPECT_TRUE(Channel::Get().Flush());
    EXPECT_EQ(Live().device, 64);
    EXPECT_EQ(Channel::Get().counts().unread.load(), 0);
    ExpectAllBack();
  });
}

// A thread that was asking for a buffer as the profiler came: its records stand
// in one of ours.
TEST(Channel, WhatStandsInABufferOfOursReachesTheProfiler) {
  InChild([] {
    Start();
    uint8_t* ours = nullptr;
    size_t bytes = 0, most = 0;
    Channel::Get().Request(&ours, &bytes, &most);
    ASSERT_NE(ours, nullptr);
    kineto_start();
    fake_kernel(1, true);
    std::vector<uint8_t> late(216 + 128);
    const uint32_t kernel = 10, number = 41, memory = 49, made = 1, device = 3;
    std::memcpy(&late[0], &memory, 4);
    std::memcpy(&late[4], &made, 4);
    std::memcpy(&late[8], &device, 4);
    const uint64_t address = 0x5000, size = 77, time = Realtime();
    std::memcpy(&late[16], &address, 8);
    std::memcpy(&late[24], &size, 8);
    std::memcpy(&late[32], &time, 8);
    std::memcpy(&late[128], &kernel, 4);
    std::memcpy(&late[228], &number, 4);
    std::memcpy(ours, late.data(), late.size());
    Channel::Get().Complete(nullptr, 0, ours, bytes, late.size());
    kineto_stop_recording();
    ExpectWhole(kineto_collect(), 2, 42);
    EXPECT_EQ(Live().device, 77);
    EXPECT_EQ(Channel::Get().counts().copied.load(), 1);
  });
}

TEST(Channel, WhereItsEnablingIsNotSeenItYieldsWithAGapThatIsMarked) {
  InChild([] {
    ASSERT_NE(dlopen("libtorch_hides_enable.so", RTLD_NOW | RTLD_GLOBAL),
              nullptr)
        << dlerror();
    Start(false, "libtorch_hides_enable.so");
    EXPECT_FALSE(Channel::Get().multiplexes());
    void* client = dlopen("libtorch_hides_enable.so", RTLD_NOW | RTLD_NOLOAD);
    const auto call = [&](const char* name) {
      reinterpret_cast<void (*)()>(dlsym(client, name))();
    };
    Job job;
    job.Allocate(0x1000, 100);
    call("kineto_start");
    EXPECT_EQ(Channel::Get().state(), State::kYielded);
    EXPECT_EQ(fake_seen().enabled & kMemoryKinds, 0u);
    fake_kernel(3, true);
    job.Allocate(0x2000, 50);  // nobody sees it
    EXPECT_FALSE(Channel::Get().Flush());
    call("kineto_stop_recording");
    ExpectWhole(reinterpret_cast<KinetoSession (*)()>(
                    dlsym(client, "kineto_collect"))(),
                1, 3);
    bool back = false;
    for (int i = 0; i < Channel::kUnseenFlush; ++i) {
      back = Channel::Get().Flush();
    }
    EXPECT_TRUE(back);
    EXPECT_EQ(Channel::Get().state(), State::kActive);
    job.Allocate(0x3000, 7);
    EXPECT_TRUE(Channel::Get().Flush());

    EXPECT_EQ(Live().device, 107);
    EXPECT_TRUE(Channel::Get().Read(
        [](const LiveMemory& live) { return live.uncertain(); }));
    EXPECT_EQ(Channel::Get().counts().gaps.load(), 1);
    std::vector<Record> events;
    Channel::Get().TakeEvents(&events);
    std::vector<int> kinds;
    for (const Record& event : events) kinds.push_back(event.kind);
    EXPECT_EQ(kinds,
              (std::vector<int>{
                  int(EventKind::kCuptiAlloc), int(EventKind::kCuptiGapBegin),
                  int(EventKind::kCuptiGapEnd), int(EventKind::kCuptiAlloc)}));
  });
}

TEST(Channel, WhereItsRegisteringIsNotSeenItDoesNotStart) {
  InChild([] {
    ASSERT_NE(dlopen("libtorch_hides_register.so", RTLD_NOW | RTLD_GLOBAL),
              nullptr)
        << dlerror();
    std::string why;
    EXPECT_FALSE(Channel::Get().Prepare("libtorch_hides_register.so", &why));
    EXPECT_NE(why.find("can't be let through"), std::string::npos) << why;
    EXPECT_FALSE(Channel::Get().Start(false, &why));
    EXPECT_EQ(fake_seen().registers, 0);
    EXPECT_EQ(fake_seen().enabled, 0u);
  });
}

TEST(Channel, AProfilerThatFinalisesCuptiLeavesAGap) {
  InChild([] {
    Start(true);
    Job job;
    job.Allocate(0x1000, 100);
    kineto_start();
    fake_kernel(3, true);
    kineto_stop_recording();
    ExpectWhole(kineto_collect(), 1, 3);
    kineto_teardown();
    EXPECT_EQ(Channel::Get().state(), State::kYielded);
    job.Allocate(0x2000, 50);  // nobody sees it

    EXPECT_TRUE(Channel::Get().Flush());

    EXPECT_EQ(Channel::Get().state(), State::kActive);
    EXPECT_EQ(fake_seen().enabled, kMemoryKinds);
    EXPECT_TRUE(fake_seen().sources);
    EXPECT_EQ(fake_seen().finalizes, 1);
    job.Allocate(0x3000, 7);
    EXPECT_TRUE(Channel::Get().Flush());
    EXPECT_EQ(Live().device, 107);
    EXPECT_EQ(Channel::Get().counts().gaps.load(), 1);
    // The next session is whole again.
    kineto_start();
    fake_kernel(4, true);
    kineto_stop_recording();
    ExpectWhole(kineto_collect(), 1, 4);
  });
}

TEST(Channel, AProfilerThatAsksForMemoryItselfGetsIt) {
  InChild([] {
    Start();
    kineto_start();
    // Through the slot of the client: as if it enabled one kind more.
    Channel::Get().OnEnable(49);
    Job job;
    job.Allocate(0x1000, 5);
    Channel::Get().OnDisable(49);
    Channel::Get().OnEnable(49);
    kineto_stop_recording();
    EXPECT_EQ(kineto_collect().unexpected, 1);
    Channel::Get().OnDisable(49);
    EXPECT_EQ(fake_seen().enabled, kMemoryKinds);
    EXPECT_EQ(Live().device, 5);
  });
}

TEST(Channel, WhatFoundNoBufferIsCountedAndMakesItUncertain) {
  InChild([] {
    Start();
    // Each thread holds a buffer: one more than there are.
    for (unsigned thread = 0; thread <= BufferPool::kBuffers; ++thread) {
      fake_thread(int(thread));
      Job().Allocate(0x1000 + thread * 0x100, 1);
    }
    EXPECT_EQ(fake_seen().declined, 1);
    EXPECT_TRUE(Channel::Get().Flush());
    EXPECT_EQ(Live().device, BufferPool::kBuffers);
    EXPECT_EQ(Channel::Get().counts().dropped.load(), 1);
    EXPECT_TRUE(Channel::Get().Read(
        [](const LiveMemory& live) { return live.uncertain(); }));
    std::vector<Record> events;
    Channel::Get().TakeEvents(&events);
    int64_t lost = 0;
    for (const Record& event : events) {
      if (event.kind == uint8_t(EventKind::kCuptiLost)) lost += event.bytes;
    }
    EXPECT_EQ(lost, 1);
    // All of them come back and are used again.
    for (unsigned thread = 0; thread < BufferPool::kBuffers; ++thread) {
      fake_thread(int(thread));
      Job().Allocate(0x9000 + thread * 0x100, 1);
    }
    EXPECT_EQ(fake_seen().declined, 1);
    ExpectAllBack();
  });
}

TEST(Channel, AnOlderCuptiIsNeverRefusedABuffer) {
  InChild([] {
    fake_set_version(26);  // aborts where it gets none
    Start();
    for (unsigned thread = 0; thread < BufferPool::kBuffers + 3; ++thread) {
      fake_thread(int(thread));
      Job().Allocate(0x1000 + thread * 0x100, 1);
    }
    EXPECT_TRUE(Channel::Get().Flush());
    EXPECT_EQ(Live().device, BufferPool::kBuffers);
    EXPECT_EQ(Channel::Get().counts().dropped.load(), 3);
    EXPECT_TRUE(Channel::Get().Read(
        [](const LiveMemory& live) { return live.uncertain(); }));
  });
}

TEST(Channel, RecordsOfEachVersionAreReadByTheirLength) {
  for (const uint32_t version : {15u, 17u, 24u, 130001u}) {
    InChild([version] {
      fake_set_version(version);
      Start(true);
      Job job;
      job.Allocate(0x1000, 11, "/usr/lib/libnccl.so.2");
      job.Allocate(0x2000, 22, "/opt/x/libcublasLt.so.13");
      EXPECT_TRUE(Channel::Get().Flush());
      EXPECT_EQ(Live().device, 33);
      const auto names = Channel::Get().Read(
          [](const LiveMemory& live) { return live.libraries(); });
      const std::vector<std::string> both = {"libnccl.so.2",
                                             "libcublasLt.so.13"};
      EXPECT_EQ(names, version >= 20 ? both : std::vector<std::string>{});
    });
  }
}

TEST(Channel, NamesOfLibrariesAreAskedForOnlyWhereTheyAreWanted) {
  InChild([] {
    Start(false);
    Job().Allocate(0x1000, 1, "/usr/lib/libnccl.so.2");
    Channel::Get().Flush();
    EXPECT_FALSE(fake_seen().sources);
    EXPECT_TRUE(Channel::Get().Read(
        [](const LiveMemory& live) { return live.libraries().empty(); }));
  });
}

TEST(Channel, AVersionThatIsNotKnownIsLeftAlone) {
  for (const uint32_t version : {14u, 140000u}) {
    InChild([version] {
      fake_set_version(version);
      std::string why;
      EXPECT_FALSE(Channel::Get().Prepare(kKineto, &why));
      EXPECT_NE(why.find("version " + std::to_string(version)),
                std::string::npos)
          << why;
      // Nothing was redirected.
      kineto_start();
      fake_kernel(1, true);
      kineto_stop_recording();
      ExpectWhole(kineto_collect(), 1, 1);
      EXPECT_EQ(Channel::Get().counts().sessions.load(), 0);
    });
  }
}

TEST(Channel, WhereCuptiRefusesItSaysWhyAndTheProfilerGoesOn) {
  for (const char* function : {"register", "enable"}) {
    InChild([function] {
      std::string why;
      ASSERT_TRUE(Channel::Get().Prepare(kKineto, &why)) << why;
      fake_fail(function, 39);
      EXPECT_FALSE(Channel::Get().Start(false, &why));
      EXPECT_NE(why.find("MULTIPLE_SUBSCRIBERS"), std::string::npos) << why;
      EXPECT_EQ(fake_seen().enabled & kMemoryKinds, 0u);
      kineto_start();
      fake_kernel(1, true);
      kineto_stop_recording();
      ExpectWhole(kineto_collect(), 1, 1);
    });
  }
}

TEST(Channel, AfterItsStopBuffersStillGoBackAndTheProfilerGoesOn) {
  InChild([] {
    Start();
    Job job;
    job.Allocate(0x1000, 100);
    Channel::Get().Stop();
    kineto_start();
    fake_kernel(2, true);
    kineto_stop_recording();
    const KinetoSession session = kineto_collect();
    EXPECT_EQ(session.kernels, 1);
    EXPECT_EQ(Live().device, 0);
  });
}

TEST(Channel, ALongQueueIsCutAndCountedButTheTableIsWhole) {
  InChild([] {
    Start();
    Job job;
    for (uint64_t i = 1; i <= Channel::kMostQueued + 100; ++i) {
      job.Allocate(i * 0x100, 3);
    }
    Channel::Get().Flush();
    EXPECT_EQ(Live().device, job.bytes());
    EXPECT_EQ(Channel::Get().counts().unqueued.load(), 100);
    std::vector<Record> events;
    Channel::Get().TakeEvents(&events);
    EXPECT_EQ(events.size(), Channel::kMostQueued);
  });
}

}  // namespace
}  // namespace invact::cupti
