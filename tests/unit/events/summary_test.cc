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

}  // namespace
}  // namespace invact
