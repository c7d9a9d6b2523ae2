// RunService: reports, their layers, several beside each other, and kernels.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/report/build_memory.h"
#include "daemon/report/build_report.h"
#include "daemon/report/kernels.h"
#include "daemon/service/paging.h"
#include "daemon/service/rpc_status.h"
#include "daemon/service/run_service.h"

namespace invact {
namespace {

constexpr int kMaxCompared = 64;

}  // namespace

absl::StatusOr<v1::Report> RunService::Report(ReadSession& session,
                                              const std::string& selector,
                                              std::optional<int> rank,
                                              const std::string& step) {
  absl::StatusOr<StepChoice> choice = ParseStepChoice(step);
  if (!choice.ok()) return choice.status();
  absl::StatusOr<RunRow> row = Choose(session, selector, rank);
  if (!row.ok()) return row.status();
  absl::StatusOr<StoredRun> stored = session.Load(*row);
  if (!stored.ok()) return stored.status();
  absl::StatusOr<v1::Report> report = BuildReport(*stored, *choice);
  if (report.ok()) {
    absl::StatusOr<StoredMemory> memory =
        session.Memory(row->pk, report->step().index());
    if (!memory.ok()) return memory.status();
    AddMemory(*std::move(memory), stored->steps, &*report);
    return report;
  }
  // The message says what is wrong; these are the commands that help.
  return WithHint(
      report.status(),
      absl::IsNotFound(report.status())
          ? absl::StrCat("invact report ", row->run.id(), " --step last")
      : row->run.state() == "running"
          ? absl::StrCat("invact watch ", row->run.id())
          : "invact ls");
}

grpc::Status RunService::GetReport(grpc::ServerContext* context,
                                   const v1::GetReportRequest* request,
                                   v1::Report* response) {
  return Serve(context, [&]() -> absl::Status {
    absl::StatusOr<ReadSession> session = Read(*context);
    if (!session.ok()) return session.status();
    absl::StatusOr<v1::Report> report =
        Report(*session, request->run(), RankOf(*request), request->step());
    if (report.ok()) *response = *std::move(report);
    return report.status();
  });
}

grpc::Status RunService::ListLayers(grpc::ServerContext* context,
                                    const v1::ListLayersRequest* request,
                                    v1::ListLayersResponse* response) {
  return Serve(context, [&]() -> absl::Status {
    absl::StatusOr<int64_t> size = PageSize(request->page_size());
    if (!size.ok()) return size.status();
    PageToken from;  // first: the step's index, second: layers before
    if (!request->page_token().empty()) {
      absl::StatusOr<PageToken> token = ReadToken(request->page_token());
      if (!token.ok()) return token.status();
      from = *token;
    }
    absl::StatusOr<ReadSession> session = Read(*context);
    if (!session.ok()) return session.status();
    absl::StatusOr<v1::Report> report =
        Report(*session, request->run(), RankOf(*request), request->step());
    if (!report.ok()) return report.status();
    const int64_t step = report->step().index();
    if (from.letter != 0 && from.first != step) {
      return WithNext(absl::AbortedError(absl::StrCat(
                          "the run went on from step ", from.first, " to step ",
                          step, " between two pages")),
                      "ask for the first page again, or for a larger page");
    }
    auto& layers = *report->mutable_layers();
    const int64_t end = std::min<int64_t>(layers.size(), from.second + *size);
    for (int64_t i = from.second; i < end; ++i) {
      response->add_layers()->Swap(&layers[static_cast<int>(i)]);
    }
    if (end < layers.size()) {
      response->set_next_page_token(absl::StrCat("l:", step, ":", end));
    }
    return absl::OkStatus();
  });
}

grpc::Status RunService::ListKernels(grpc::ServerContext* context,
                                     const v1::ListKernelsRequest* request,
                                     v1::ListKernelsResponse* response) {
  return Serve(context, [&]() -> absl::Status {
    absl::StatusOr<ReadSession> session = Read(*context);
    if (!session.ok()) return session.status();
    absl::StatusOr<RunRow> row =
        Choose(*session, request->run(), RankOf(*request));
    if (!row.ok()) return row.status();
    absl::StatusOr<StoredKernels> stored = session->Kernels(row->pk);
    if (!stored.ok()) return stored.status();
    *response->mutable_run() = row->run;
    for (v1::KernelCalibration& kernel : stored->kernels) {
      response->add_kernels()->Swap(&kernel);
    }
    if (response->kernels().empty()) {
      response->set_why_none(WhyNoKernels(row->run, *stored));
    }
    return absl::OkStatus();
  });
}

grpc::Status RunService::CompareRuns(grpc::ServerContext* context,
                                     const v1::CompareRunsRequest* request,
                                     v1::CompareRunsResponse* response) {
  return Serve(context, [&]() -> absl::Status {
    if (request->runs_size() < 2 || request->runs_size() > kMaxCompared) {
      return WithNext(absl::InvalidArgumentError(absl::StrCat(
                          request->runs_size(), " runs to compare")),
                      absl::StrCat("name 2 to ", kMaxCompared));
    }
    absl::StatusOr<ReadSession> session = Read(*context);
    if (!session.ok()) return session.status();
    for (const std::string& selector : request->runs()) {
      absl::StatusOr<v1::Report> report =
          Report(*session, selector, std::nullopt, "last");
      if (!report.ok()) return report.status();
      *response->add_reports() = *std::move(report);
    }
    return absl::OkStatus();
  });
}

}  // namespace invact
