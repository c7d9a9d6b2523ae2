// How a run ended, from what its process left and what the kernel tells.
#include <gtest/gtest.h>

#include <memory>

#include "plugin/relay/relay_loop.h"

namespace invact {
namespace {

constexpr int kKilled = 9, kExited7 = 7 << 8;

struct Case {
  const char* what;
  bool finished;
  int code;
  bool oom;
  Trainer::Told told;
  int status;
  const char* state;
  const char* reason;
  int exit_code;  // -1: none
};

TEST(RunEnd, SaysWhatIsKnown) {
  using Told = Trainer::Told;
  const Case cases[] = {
      {"exit", true, 0, false, Told::kNow, 0, "finished", "exit", 0},
      {"exit 3", true, 3, false, Told::kNever, 0, "finished", "exit", 3},
      {"exit -1", true, -1, false, Told::kNever, 0, "finished", "exit", 255},
      {"killed", false, 0, false, Told::kNow, kKilled, "crashed", "signal", -1},
      {"_exit", false, 0, false, Told::kNow, kExited7, "crashed", "exit", 7},
      {"not told", false, 0, false, Told::kNever, 0, "crashed", "signal", -1},
      {"not yet", false, 0, false, Told::kLater, 0, "crashed", "signal", -1},
      {"oom", true, 1, true, Told::kNow, 256, "crashed", "oom", 1},
      {"oom survived", true, 0, true, Told::kNow, 0, "finished", "exit", 0},
      {"oom, killed", false, 0, true, Told::kNow, kKilled, "crashed", "oom",
       -1},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(test.what);
    auto shared = std::make_unique<SharedRun>();
    shared->control.exit_code.store(test.code);
    shared->control.ended_wall_ns.store(111);
    shared->control.oom_seen.store(test.oom);
    shared->control.state.store(test.finished);
    const Reader reader(shared.get());
    const v1::RunEnd end = DecideEnd(reader, test.told, test.status, 222);
    EXPECT_EQ(end.state(), test.state);
    EXPECT_EQ(end.end_reason(), test.reason);
    EXPECT_EQ(end.has_exit_code() ? end.exit_code() : -1, test.exit_code);
    const bool signal_known =
        !test.finished && test.told == Told::kNow && test.status == kKilled;
    EXPECT_EQ(end.signal(), signal_known ? kKilled : 0);
    EXPECT_EQ(end.ended_wall_ns(), test.finished ? 111 : 222);
  }
}

}  // namespace
}  // namespace invact
