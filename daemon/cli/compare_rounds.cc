#include "daemon/cli/compare_rounds.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/cli/after_run.h"
#include "daemon/cli/compare_child.h"
#include "daemon/cli/job.h"
#include "daemon/cli/preload.h"
#include "daemon/report/units.h"

namespace invact::cli {
namespace {

void Set(std::vector<std::string>* variables, const std::string& key,
         const std::string& value) {
  const std::string start = key + "=";
  std::erase_if(*variables, [&start](const std::string& entry) {
    return absl::StartsWith(entry, start);
  });
  variables->push_back(start + value);
}

std::string EndText(const MeasuredEnd& done) {
  if (done.timed_out) return "took too long and was ended";
  if (done.end.signal != 0) {
    return absl::StrCat("was ended by signal ", done.end.signal);
  }
  return absl::StrCat("ended with exit code ", done.end.exit_code);
}

class Rounds {
 public:
  Rounds(Shell& shell, const ComparePlan& plan, const std::string& preload)
      : shell_(shell), plan_(plan), preload_(preload) {
    request_.set_rounds(plan.rounds);
    for (const std::string& policy : plan.policies) {
      request_.add_policies()->set_policy(policy);
    }
  }

  // False: a signal asked to end.
  absl::StatusOr<bool> Run(int round, v1::PolicyRuns* runs) {
    const std::string& policy = runs->policy();
    shell_.output.Progress(
        absl::StrCat("round ", round, " of ", plan_.rounds, ": ", policy));
    JobFacts facts;
    // Each child is a job of its own, whatever the shell around it is part of.
    Environment around;
    facts.job = ChooseJobId(around, {});
    facts.command = shell_.command;
    facts.policy = policy;
    facts.began = absl::Now();
    MeasuredChild child;
    child.command = shell_.command;
    child.environment = shell_.environment.all;
    Set(&child.environment, "LD_PRELOAD", preload_);
    Set(&child.environment, "INVACT_POLICY", policy);
    Set(&child.environment, "INVACT_JOB_ID", facts.job.id);
    Set(&child.environment, "INVACT_DIGEST", "1");
    Set(&child.environment, "INVACT_COMPARE_POLICY", policy);
    Set(&child.environment, "INVACT_COMPARE_ROUND", absl::StrCat(round));
    const std::string stem =
        absl::StrCat(plan_.logs, "/round", round, ".", policy);
    child.out = stem + ".out";
    child.err = stem + ".err";
    child.timeout = plan_.timeout;
    const MeasuredEnd done = RunMeasured(
        gate_, child, [&facts](pid_t pid) { facts.sightings.Look(pid); });
    facts.end = done.end;
    if (facts.end.start_error != 0) {
      return absl::InternalError(absl::StrCat("cannot run ", shell_.command[0],
                                              ": ",
                                              strerror(facts.end.start_error)));
    }
    if (done.interrupted_by != 0) {
      interrupted_by_ = done.interrupted_by;
      return false;
    }
    AfterRun(shell_, gate_, facts);
    v1::RoundRun* run = runs->add_rounds();
    run->set_round(round);
    run->set_job_id(facts.job.id);
    run->set_timed_out(done.timed_out);
    if (done.end.signal != 0) {
      run->set_signal(done.end.signal);
    } else {
      run->set_exit_code(done.end.exit_code);
    }
    if (Failed(*run)) {
      shell_.output.Progress("");
      shell_.output.Note(absl::StrCat(
          "round ", round, " of ", policy, " ", EndText(done),
          ", and the policy is not run again; what it said: ", child.err));
    }
    return true;
  }

  static bool Failed(const v1::RoundRun& run) {
    return run.timed_out() || run.has_signal() || run.exit_code() != 0;
  }

  v1::CreateComparisonRequest& request() { return request_; }
  int interrupted_by() const { return interrupted_by_; }

 private:
  Shell& shell_;
  const ComparePlan& plan_;
  const std::string preload_;
  const SignalGate gate_;
  v1::CreateComparisonRequest request_;
  int interrupted_by_ = 0;
};

}  // namespace

absl::StatusOr<std::optional<v1::Comparison>> RunComparison(
    Shell& shell, const ComparePlan& plan, int* interrupted_by) {
  absl::StatusOr<std::string> preload =
      WithLibrary(shell.install, shell.environment.preload);
  if (!preload.ok()) return preload.status();
  std::error_code error;
  std::filesystem::create_directories(plan.logs, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot make the folder ", plan.logs, ": ",
                     error.message(), "; name another one by --logs"));
  }
  // Its signals are blocked before gRPC's threads are there.
  Rounds rounds(shell, plan, *preload);
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  for (int round = 1; round <= plan.rounds; ++round) {
    for (v1::PolicyRuns& runs : *rounds.request().mutable_policies()) {
      if (!runs.rounds().empty() && Rounds::Failed(*runs.rounds().rbegin())) {
        continue;
      }
      absl::StatusOr<bool> done = rounds.Run(round, &runs);
      if (!done.ok()) return done.status();
      if (*done) continue;
      *interrupted_by = rounds.interrupted_by();
      return std::nullopt;
    }
  }
  shell.output.Progress("");
  daemon = shell.DaemonAgain();
  if (!daemon.ok()) return daemon.status();
  auto comparison =
      (*daemon)->Call(&Client::Stub::CreateComparison, rounds.request());
  if (!comparison.ok()) return comparison.status();
  return std::optional<v1::Comparison>(*std::move(comparison));
}

}  // namespace invact::cli
