// Alive, gone, or somebody else with its number: by pidfd and by /proc.
#include "plugin/relay/trainer.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "plugin/ring/relay_launch.h"

namespace invact {
namespace {

// A child that waits for its end.
class Child {
 public:
  Child() : pid_(fork()) {
    if (pid_ == 0) {
      while (true) pause();
    }
  }
  ~Child() {
    Kill();
    Reap();
  }
  pid_t pid() const { return pid_; }
  void Kill() const { kill(pid_, SIGKILL); }
  void Reap() {
    if (!reaped_) waitpid(pid_, nullptr, 0);
    reaped_ = true;
  }

 private:
  const pid_t pid_;
  bool reaped_ = false;
};

bool GoneSoon(Trainer* trainer) {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!trainer->gone()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

class TrainerTest : public testing::TestWithParam<bool> {};

TEST_P(TrainerTest, IsGoneOnceItIsDeadWhetherReapedOrNot) {
  Child child;
  Trainer trainer(child.pid(), ProcessStartTicks(child.pid()), GetParam());
  EXPECT_FALSE(trainer.gone());
  child.Kill();
  EXPECT_TRUE(GoneSoon(&trainer));  // a zombie still has its number
  child.Reap();
  EXPECT_TRUE(trainer.gone());
}

TEST_P(TrainerTest, IsGoneWhereAnotherProcessHasItsNumber) {
  Trainer trainer(getpid(), ProcessStartTicks(getpid()) - 1, GetParam());
  EXPECT_TRUE(trainer.gone());
  Trainer nobody(0x7ffffff0, 0, GetParam());
  EXPECT_TRUE(nobody.gone());
}

TEST_P(TrainerTest, LivesWhileAnyOfItsThreadsDoes) {
  const pid_t child = fork();
  if (child == 0) {
    std::thread([] {
      while (true) pause();
    }).detach();
    syscall(SYS_exit, 0);  // the main thread alone becomes a zombie
  }
  Trainer trainer(child, ProcessStartTicks(child), GetParam());
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  while (std::chrono::steady_clock::now() < until) {
    ASSERT_FALSE(trainer.gone());
  }
  kill(child, SIGKILL);
  EXPECT_TRUE(GoneSoon(&trainer));
  waitpid(child, nullptr, 0);
}

INSTANTIATE_TEST_SUITE_P(Ways, TrainerTest, testing::Bool(), [](auto& info) {
  return info.param ? "Pidfd" : "Proc";
});

TEST(TrainerStatus, IsToldByKernelsThatKeepItAndNeverWrong) {
  Child child;
  Trainer trainer(child.pid(), ProcessStartTicks(child.pid()));
  child.Kill();
  ASSERT_TRUE(GoneSoon(&trainer));
  child.Reap();
  int status = -1;
  const Trainer::Told told = trainer.AskStatus(&status);
  if (told == Trainer::Told::kNow) {
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
  } else {
    EXPECT_EQ(told, Trainer::Told::kNever);  // a kernel before 6.15
  }
}

}  // namespace
}  // namespace invact
