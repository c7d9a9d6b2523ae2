#include "plugin/events/summary.h"

#include <gtest/gtest.h>

#include "tests/unit/events/events.h"

namespace invact {
namespace {

using enum EventKind;
using Use = MemoryCategory;

const std::vector<std::string> kScopes = {"", "encoder.0", "encoder.1"};

void Feed(MemoryAccount* account, std::initializer_list<EventOf> events) {
  for (const EventOf& event : events) account->OnEvent(event);
}

TEST(Summary, SaysWhatWasAliveAtTheHighestPeak) {
  MemoryAccount account;
  Feed(&account,
       {{kSegmentAlloc, 1 << 20, 3 << 20},
        {kAlloc, 1 << 20, 1 << 20},
        {.kind = kLabel, .address = 1 << 20, .category = Use::kParameter},
        {.kind = kStepBegin, .step = 3},
        {kAlloc, 2 << 20, 1536 << 10, 2},
        {.kind = kLabel,
         .address = 2 << 20,
         .site = 2,
         .category = Use::kActivation},
        {.kind = kBackwardBegin, .step = 3},
        {kAlloc, 4 << 20, 2048},
        {kFree, 2 << 20, 1536 << 10}});
  const std::string line =
      "device 0: peak of 2.5 MiB asked for in backward of step 3, 3.0 MiB "
      "reserved (measured): activation 1.5 MiB, parameter 1.0 MiB, temporary "
      "2.0 KiB; largest: encoder.1 activation 1.5 MiB";
  EXPECT_EQ(PeakLine(0, account, kScopes), line);
  // The same once the step is over, and a smaller one under way.
  Feed(&account,
       {{.kind = kStepEnd, .step = 3}, {.kind = kStepBegin, .step = 4}});
  EXPECT_EQ(PeakLine(0, account, kScopes), line);
  EXPECT_EQ(OutOfMemoryLine(0, account, kScopes), "");
}

TEST(Summary, SaysWhoHeldTheMemoryThatRanOut) {
  MemoryAccount account;
  EXPECT_EQ(PeakLine(1, account, kScopes), "");
  Feed(&account, {{kAlloc, 1 << 20, 700, 1},
                  {kAlloc, 2 << 20, 300, kNoSite},
                  {.kind = kOom, .bytes = 5LL << 30, .stream = 1024}});
  EXPECT_EQ(OutOfMemoryLine(1, account, kScopes),
            "device 1: out of memory before the first step, asking for 5.0 GiB "
            "with 1.0 KiB free (measured): temporary 1000 B; largest: "
            "encoder.0 temporary 700 B");
}

TEST(Summary, SaysWhenTheOptimizerMadeThePeak) {
  MemoryAccount account;
  Feed(&account, {{.kind = kStepBegin, .step = 0},
                  {.kind = kStepEnd, .step = 0},
                  {.kind = kOptimizerBegin},
                  {kAlloc, 1 << 20, 64},
                  {.kind = kOptimizerEnd}});
  // The state is one at the end of the optimizer's step, after the peak.
  EXPECT_EQ(PeakLine(0, account, {}),
            "device 0: peak of 64 B asked for in the optimizer's step after "
            "step 0, 0 B reserved (measured): temporary 64 B");
}

TEST(Summary, TakesTheUsedBytesOfADeviceApart) {
  MemoryAccount account;
  EXPECT_EQ(DeviceLine(0, account.device().largest(), 0, kScopes), "");
  const auto told = [&](EventKind kind, uint64_t address, int64_t bytes,
                        uint64_t stream, uint32_t site, ForeignKnown known) {
    Record event = {};
    event.time_ns = 5;
    event.kind = static_cast<uint8_t>(kind);
    event.address = address;
    event.bytes = bytes;
    event.stream = stream;
    event.site = site;
    event.step = 7;
    event.action = static_cast<uint8_t>(known);
    account.OnEvent(event);
  };
  told(kDeviceUsed, 100 << 20, 60 << 20, 40 << 20, kNoSite,
       ForeignKnown::kUncertain);
  told(kDeviceForeign, 0, 8 << 20, 0, 1, ForeignKnown::kNo);
  told(kDeviceForeign, 0, 2 << 20, 0, kNoSite, ForeignKnown::kNo);
  told(kDeviceUsed, 100 << 20, 50 << 20, 45 << 20, kNoSite, ForeignKnown::kNo);
  EXPECT_EQ(DeviceLine(0, account.device().largest(), 3 << 20, kScopes),
            "device 0: 60.0 MiB of 100.0 MiB used after step 7 (measured): "
            "torch 40.0 MiB, other libraries 10.0 MiB (encoder.0 8.0 MiB), "
            "untracked 10.0 MiB; pinned memory of the host 3.0 MiB; records of "
            "CUPTI were missed, so other libraries are uncertain");
  EXPECT_EQ(DeviceLine(0, account.device().newest(), 0, kScopes),
            "device 0: 50.0 MiB of 100.0 MiB used after step 7 (measured): "
            "torch 45.0 MiB, untracked 5.0 MiB");
}

}  // namespace
}  // namespace invact
