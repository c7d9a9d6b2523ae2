// RunService: comparisons.
#include <sys/random.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/report/build_comparison.h"
#include "daemon/report/build_report.h"
#include "daemon/service/choose_run.h"
#include "daemon/service/paging.h"
#include "daemon/service/rpc_status.h"
#include "daemon/service/run_service.h"

namespace invact {
namespace {

constexpr int kMaxPolicies = 16;
constexpr int kMaxRounds = 100;
constexpr size_t kMaxText = 512;

absl::Status Check(const v1::CreateComparisonRequest& request) {
  if (request.policies().empty() || request.policies_size() > kMaxPolicies) {
    return WithNext(absl::InvalidArgumentError(absl::StrCat(
                        request.policies_size(), " policies to compare")),
                    absl::StrCat("name 1 to ", kMaxPolicies));
  }
  for (const v1::PolicyRuns& policy : request.policies()) {
    if (policy.rounds_size() > kMaxRounds) {
      return WithNext(absl::InvalidArgumentError(
                          absl::StrCat(policy.rounds_size(), " rounds")),
                      absl::StrCat("at most ", kMaxRounds));
    }
    bool texts_fit = policy.policy().size() <= kMaxText;
    for (const v1::RoundRun& round : policy.rounds()) {
      texts_fit = texts_fit && round.job_id().size() <= kMaxText &&
                  round.note().size() <= kMaxText;
    }
    if (!texts_fit) {
      return WithNext(absl::InvalidArgumentError("a text is too long"),
                      absl::StrCat("at most ", kMaxText, " bytes"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> NewId() {
  uint64_t random = 0;
  if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
    return absl::InternalError("the kernel gives no random number");
  }
  char id[17];
  std::snprintf(id, sizeof(id), "%016llx",
                static_cast<unsigned long long>(random));
  return std::string(id);
}

}  // namespace

absl::StatusOr<RoundFacts> RunService::Round(ReadSession& session,
                                             const v1::RoundRun& asked) {
  RoundFacts out;
  out.asked = asked;
  if (asked.job_id().empty()) return out;
  absl::StatusOr<std::vector<RunRow>> rows = session.Match(asked.job_id());
  if (!rows.ok()) return rows.status();
  if (rows->empty()) return out;
  absl::StatusOr<RunRow> row = ChooseRun(asked.job_id(), *rows);
  if (!row.ok()) return row.status();
  out.run = row->run;
  // A rank that failed tells more than the one with the highest peak.
  for (const RunRow& other : *rows) {
    if (other.run.end_reason() == "oom") out.run = other.run;
  }
  for (const RunRow& one : *rows) {
    absl::StatusOr<StoredDigests> digests = session.Digests(one.pk);
    if (!digests.ok()) return digests.status();
    out.digests.push_back(
        {one.run.rank(), one.run.restart(), *std::move(digests)});
  }
  absl::StatusOr<StoredRun> stored = session.Load(*row);
  if (!stored.ok()) return stored.status();
  absl::StatusOr<v1::Report> report = BuildReport(*stored, StepChoice{});
  if (report.ok()) {
    out.report = *std::move(report);
  } else if (!absl::IsFailedPrecondition(report.status())) {
    return report.status();
  }
  return out;
}

grpc::Status RunService::CreateComparison(
    grpc::ServerContext* context, const v1::CreateComparisonRequest* request,
    v1::Comparison* response) {
  return Serve(context, [&]() -> absl::Status {
    if (absl::Status status = Check(*request); !status.ok()) return status;
    std::vector<PolicyFacts> policies;
    {
      absl::StatusOr<ReadSession> session = Read(*context);
      if (!session.ok()) return session.status();
      for (const v1::PolicyRuns& policy : request->policies()) {
        PolicyFacts& facts = policies.emplace_back();
        facts.policy = policy.policy();
        for (const v1::RoundRun& round : policy.rounds()) {
          absl::StatusOr<RoundFacts> one = Round(*session, round);
          if (!one.ok()) return one.status();
          facts.rounds.push_back(*std::move(one));
        }
      }
    }
    v1::Comparison comparison = BuildComparison(request->rounds(), policies);
    absl::StatusOr<std::string> id = NewId();
    if (!id.ok()) return id.status();
    comparison.set_id(*id);
    const int64_t now = absl::GetCurrentTimeNanos();
    comparison.mutable_created_at()->set_seconds(now / 1'000'000'000);
    comparison.mutable_created_at()->set_nanos(
        static_cast<int32_t>(now % 1'000'000'000));
    absl::Status stored = parts_.writer->Run([&comparison](Store& store) {
      return store.AddComparison(comparison);
    });
    if (stored.ok()) *response = std::move(comparison);
    return stored;
  });
}

grpc::Status RunService::GetComparison(grpc::ServerContext* context,
                                       const v1::GetComparisonRequest* request,
                                       v1::Comparison* response) {
  return Serve(context, [&]() -> absl::Status {
    absl::StatusOr<ReadSession> session = Read(*context);
    if (!session.ok()) return session.status();
    const std::string& selector =
        request->comparison().empty() ? "@last" : request->comparison();
    auto found = session->MatchComparisons(selector);
    if (!found.ok()) return found.status();
    if (found->empty()) {
      return WithNext(
          absl::NotFoundError(selector == "@last"
                                  ? "no comparison is stored yet"
                                  : absl::StrCat("no comparison matches \"",
                                                 selector.substr(0, 40), "\"")),
          "make one with: invact compare --policies "
          "observe,invert -- CMD");
    }
    if (found->size() > 1) {
      return WithNext(
          absl::InvalidArgumentError(absl::StrCat(
              "\"", selector, "\" matches ", found->size(), " comparisons")),
          "give more of the id");
    }
    *response = std::move(found->front());
    return absl::OkStatus();
  });
}

grpc::Status RunService::ListComparisons(
    grpc::ServerContext* context, const v1::ListComparisonsRequest* request,
    v1::ListComparisonsResponse* response) {
  return Serve(context, [&]() -> absl::Status {
    absl::StatusOr<int64_t> size = PageSize(request->page_size());
    if (!size.ok()) return size.status();
    PageToken from;
    if (!request->page_token().empty()) {
      absl::StatusOr<PageToken> token = ReadToken(request->page_token());
      if (!token.ok()) return token.status();
      from = *token;
    }
    absl::StatusOr<ReadSession> session = Read(*context);
    if (!session.ok()) return session.status();
    auto rows = session->ListComparisons(from.first, *size + 1);
    if (!rows.ok()) return rows.status();
    int64_t last = 0;
    for (ComparisonRow& row : *rows) {
      if (response->comparisons_size() == *size) {
        response->set_next_page_token(absl::StrCat("c:", last));
        break;
      }
      last = row.pk;
      *response->add_comparisons() = std::move(row.comparison);
    }
    return absl::OkStatus();
  });
}

}  // namespace invact
