#include "daemon/service/run_service.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "daemon/ingest/validate.h"
#include "daemon/service/choose_run.h"
#include "daemon/service/paging.h"
#include "daemon/service/rpc_status.h"
#include "daemon/store/schema.h"

namespace invact {
namespace {

constexpr absl::Duration kLongestCall = absl::Seconds(30);
constexpr size_t kMaxSelector = 512;

absl::Status CheckSelector(const std::string& selector) {
  if (selector.size() > kMaxSelector) {
    return WithNext(absl::InvalidArgumentError("the run's name is too long"),
                    "give an id, see: invact ls");
  }
  return absl::OkStatus();
}

int64_t FileBytes(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t pages = 0, resident = 0;
  statm >> pages >> resident;
  return resident * 4096;
}

}  // namespace

grpc::Status RunService::Serve(grpc::ServerContext* context,
                               const std::function<absl::Status()>& body) {
  const Activity::Call call(parts_.activity);
  absl::Status status = parts_.auth->Check(*context);
  if (status.ok()) status = body();
  return ToGrpc(status);
}

absl::StatusOr<ReadSession> RunService::Read(
    const grpc::ServerContextBase& context) {
  return parts_.reader->Start(std::min(absl::FromChrono(context.deadline()),
                                       absl::Now() + kLongestCall));
}

absl::StatusOr<RunRow> RunService::Choose(ReadSession& session,
                                          const std::string& selector,
                                          std::optional<int> rank) {
  absl::Status valid = CheckSelector(selector);
  if (!valid.ok()) return valid;
  auto matches = session.Match(selector.empty() ? "@last" : selector);
  if (!matches.ok()) return matches.status();
  if (rank && !matches->empty()) {
    // A run stands for its job: `--rank 3` beside the id of rank 0.
    if (matches->size() > 1) {
      absl::StatusOr<RunRow> one = ChooseRun(selector, *matches);
      if (!one.ok()) return one;
    }
    auto job = session.Match((*matches)[0].run.job_id());
    if (!job.ok()) return job.status();
    return ChooseRank(*rank, *job);
  }
  return ChooseRun(selector.empty() ? "@last" : selector, *matches);
}

grpc::Status RunService::ListRuns(grpc::ServerContext* context,
                                  const v1::ListRunsRequest* request,
                                  v1::ListRunsResponse* response) {
  return Serve(context, [&]() -> absl::Status {
    absl::StatusOr<int64_t> size = PageSize(request->page_size());
    if (!size.ok()) return size.status();
    RunFilter filter;
    filter.job_id = request->job_id();
    filter.state = request->state();
    filter.limit = *size + 1;
    if (!request->page_token().empty()) {
      absl::StatusOr<PageToken> token = ReadToken(request->page_token());
      if (!token.ok()) return token.status();
      filter.before_started_ns = token->first;
      filter.before_pk = token->second;
    }
    absl::StatusOr<ReadSession> session = Read(*context);
    if (!session.ok()) return session.status();
    absl::StatusOr<std::vector<RunRow>> rows;
    if (request->selector().empty()) {
      rows = session->ListRuns(filter);
    } else {
      absl::Status valid = CheckSelector(request->selector());
      if (!valid.ok()) return valid;
      rows = session->Match(request->selector());
    }
    if (!rows.ok()) return rows.status();
    for (const RunRow& row : *rows) {
      const bool wanted =
          (filter.job_id.empty() || row.run.job_id() == filter.job_id) &&
          (filter.state.empty() || row.run.state() == filter.state);
      const bool later =
          filter.before_started_ns &&
          std::pair(row.started_ns, row.pk) >=
              std::pair(*filter.before_started_ns, filter.before_pk);
      if (!wanted || later) continue;
      if (response->runs_size() == *size) {
        const auto& last = response->runs(response->runs_size() - 1);
        for (const RunRow& r : *rows) {
          if (r.run.id() == last.id()) {
            response->set_next_page_token(
                absl::StrCat("r:", r.started_ns, ":", r.pk));
          }
        }
        break;
      }
      *response->add_runs() = row.run;
    }
    return absl::OkStatus();
  });
}

grpc::Status RunService::GetRun(grpc::ServerContext* context,
                                const v1::GetRunRequest* request,
                                v1::Run* response) {
  return Serve(context, [&]() -> absl::Status {
    absl::StatusOr<ReadSession> session = Read(*context);
    if (!session.ok()) return session.status();
    absl::StatusOr<RunRow> row =
        Choose(*session, request->run(), RankOf(*request));
    if (row.ok()) *response = row->run;
    return row.status();
  });
}

grpc::Status RunService::RecordExit(grpc::ServerContext* context,
                                    const v1::RecordExitRequest* request,
                                    v1::RecordExitResponse* response) {
  return Serve(context, [&]() -> absl::Status {
    if (request->has_exit_code() == request->has_signal()) {
      return absl::InvalidArgumentError("give exit_code or signal, not both");
    }
    if (request->job_id().empty() || request->job_id().size() > 256 ||
        request->pid() <= 0) {
      return absl::InvalidArgumentError("job_id and pid name the process");
    }
    ParentTold told;
    if (request->has_exit_code()) told.exit_code = request->exit_code();
    if (request->has_signal()) told.signal = request->signal();
    int runs = 0;
    absl::Status status = parts_.writer->Run([&](Store& store) -> absl::Status {
      absl::StatusOr<int> changed = store.RecordExit(
          request->job_id(), request->pid(), told, absl::GetCurrentTimeNanos());
      if (changed.ok()) runs = *changed;
      return changed.status();
    });
    response->set_runs(runs);
    return status;
  });
}

grpc::Status RunService::DeleteRuns(grpc::ServerContext* context,
                                    const v1::DeleteRunsRequest* request,
                                    v1::DeleteRunsResponse* response) {
  return Serve(context, [&]() -> absl::Status {
    if (request->all() != request->runs().empty()) {
      return absl::InvalidArgumentError("name runs, or set all: one of both");
    }
    std::vector<std::string> ids;
    {
      absl::StatusOr<ReadSession> session = Read(*context);
      if (!session.ok()) return session.status();
      for (const std::string& selector : request->runs()) {
        absl::Status valid = CheckSelector(selector);
        if (!valid.ok()) return valid;
        auto matches = session->Match(selector);
        if (!matches.ok()) return matches.status();
        // A job goes with all its ranks; anything else must be one run.
        const bool job =
            !matches->empty() &&
            (selector == "@last" || selector == (*matches)[0].run.job_id());
        if (!job) {
          absl::StatusOr<RunRow> one = ChooseRun(selector, *matches);
          if (!one.ok()) return one.status();
        }
        for (const RunRow& row : *matches) ids.push_back(row.run.id());
      }
      if (request->all()) {
        RunFilter filter;
        filter.limit = INT64_MAX;
        auto rows = session->ListRuns(filter);
        if (!rows.ok()) return rows.status();
        for (const RunRow& row : *rows) ids.push_back(row.run.id());
      }
    }
    int deleted = 0;
    absl::Status status = parts_.writer->Run([&](Store& store) -> absl::Status {
      absl::StatusOr<int> count = store.DeleteRuns(ids);
      if (!count.ok()) return count.status();
      deleted = *count;
      return request->all() ? store.DeleteAllComparisons() : absl::OkStatus();
    });
    response->set_deleted(deleted);
    return status;
  });
}

grpc::Status RunService::GetDaemonStatus(grpc::ServerContext* context,
                                         const v1::GetDaemonStatusRequest*,
                                         v1::DaemonStatus* response) {
  return Serve(context, [&]() -> absl::Status {
    absl::StatusOr<ReadSession> session = Read(*context);
    if (!session.ok()) return session.status();
    absl::StatusOr<ReadSession::Usage> usage = session->CountUsage();
    if (!usage.ok()) return usage.status();
    const LockOwner self = ThisProcess();
    const std::string path = parts_.options->database();
    response->set_version(INVACT_VERSION);
    response->set_protocol(absl::StrCat(kProtocolMajor, ".", kProtocolMinor));
    response->set_database_version(SchemaVersion());
    response->set_pid(self.pid);
    response->set_host(self.host);
    response->set_database_path(path);
    const int64_t wal = FileBytes(path + "-wal");
    response->set_database_bytes(FileBytes(path) + wal);
    response->set_wal_bytes(wal);
    response->set_used_bytes(usage->used_bytes);
    response->set_events_expired(usage->events_expired);
    response->set_spools_adopted(parts_.spools_adopted());
    response->set_file_system(parts_.file_system);
    response->set_write_error(std::string(parts_.writer->health().message()));
    response->set_quota_bytes(parts_.options->quota_bytes);
    response->set_socket(parts_.options->socket);
    for (const std::string& at : listeners_) response->add_listeners(at);
    response->mutable_started_at()->set_seconds(absl::ToUnixSeconds(started_));
    response->set_runs(usage->runs);
    response->set_streams(parts_.live->open);
    response->set_batches_committed(parts_.live->batches);
    response->set_rejected_messages(parts_.live->rejected);
    response->set_rss_bytes(ResidentBytes());
    return absl::OkStatus();
  });
}

grpc::Status RunService::StopDaemon(grpc::ServerContext* context,
                                    const v1::StopDaemonRequest*,
                                    v1::StopDaemonResponse*) {
  return Serve(context, [&]() -> absl::Status {
    parts_.stop();
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::WatchRunResponse>* RunService::WatchRun(
    grpc::CallbackServerContext* context, const v1::WatchRunRequest* request) {
  absl::Status status = parts_.auth->Check(*context);
  std::string run_id;
  if (status.ok()) {
    absl::StatusOr<ReadSession> session = Read(*context);
    status = session.status();
    if (status.ok()) {
      absl::StatusOr<RunRow> row =
          Choose(*session, request->run(), RankOf(*request));
      status = row.status();
      if (status.ok()) run_id = row->run.id();
    }
  }
  return parts_.watch->Watch(run_id, status);
}

}  // namespace invact
