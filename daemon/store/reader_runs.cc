// ReadSession: which runs there are.
#include <algorithm>
#include <string_view>

#include "daemon/store/reader.h"

#define INVACT_RUN_COLUMNS                                                 \
  "pk, started_ns, peak_bytes, peak_held_bytes, id, name, job_id, state, " \
  "end_reason, exit_code, signal, policy, ended_ns, host, pid, rank, "     \
  "local_rank, world_size, restart, torch_version, device, steps, exact, " \
  "invact_version"

namespace invact {
namespace {

void SetTime(int64_t ns, google::protobuf::Timestamp* out) {
  out->set_seconds(ns / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(ns % 1'000'000'000));
}

RunRow ReadRun(Query& query) {
  RunRow row;
  v1::Run& run = row.run;
  row.pk = query.Int();
  row.started_ns = query.Int();
  row.peak_bytes = query.Int();
  row.peak_held_bytes = query.Int();
  SetTime(row.started_ns, run.mutable_started_at());
  run.set_id(query.Text());
  run.set_name(query.Text());
  run.set_job_id(query.Text());
  run.set_state(query.Text());
  run.set_end_reason(query.Text());
  if (auto code = query.OptionalInt()) {
    run.set_exit_code(static_cast<int32_t>(*code));
  }
  if (auto signal = query.OptionalInt()) {
    run.set_signal(static_cast<int32_t>(*signal));
  }
  run.set_policy(query.Text());
  if (auto ended = query.OptionalInt()) {
    SetTime(*ended, run.mutable_ended_at());
  }
  run.set_host(query.Text());
  run.set_pid(query.Int());
  run.set_rank(static_cast<int32_t>(query.Int()));
  run.set_local_rank(static_cast<int32_t>(query.Int()));
  run.set_world_size(static_cast<int32_t>(query.Int()));
  run.set_restart(static_cast<int32_t>(query.Int()));
  run.set_torch_version(query.Text());
  run.set_device(query.Text());
  run.set_steps(query.Int());
  run.set_exact(query.Int() != 0);
  run.set_invact_version(query.Text());
  return row;
}

absl::StatusOr<std::vector<RunRow>> ReadRuns(Query& query) {
  std::vector<RunRow> out;
  while (query.Next()) out.push_back(ReadRun(query));
  if (!query.status().ok()) return query.status();
  return out;
}

constexpr char kById[] = "SELECT " INVACT_RUN_COLUMNS " FROM runs WHERE id = ?";
constexpr char kByJob[] = "SELECT " INVACT_RUN_COLUMNS
                          " FROM runs WHERE job_id = ? "
                          "ORDER BY started_ns DESC, pk DESC";
constexpr char kByName[] = "SELECT " INVACT_RUN_COLUMNS
                           " FROM runs WHERE name = ? "
                           "ORDER BY started_ns DESC, pk DESC";
// Between the prefix and its successor: ids are hex digits, below 'g'.
constexpr char kByPrefix[] = "SELECT " INVACT_RUN_COLUMNS
                             " FROM runs WHERE id >= ?1 AND id < ?1 || 'g' "
                             "ORDER BY started_ns DESC, pk DESC";
constexpr char kLastJob[] =
    "SELECT " INVACT_RUN_COLUMNS
    " FROM runs WHERE job_id = (SELECT job_id FROM runs "
    "ORDER BY started_ns DESC, pk DESC LIMIT 1) "
    "ORDER BY started_ns DESC, pk DESC";

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

}  // namespace

absl::StatusOr<std::vector<RunRow>> ReadSession::ListRuns(
    const RunFilter& filter) {
  Query query = db_->Prepare(
      "SELECT " INVACT_RUN_COLUMNS
      " FROM runs WHERE (?1 = '' OR job_id = ?1) AND (?2 = '' OR state = ?2) "
      "AND (?3 IS NULL OR (started_ns, pk) < (?3, ?4)) "
      "ORDER BY started_ns DESC, pk DESC LIMIT ?5");
  query.BindAll(filter.job_id, filter.state, filter.before_started_ns,
                filter.before_pk, filter.limit);
  return ReadRuns(query);
}

absl::StatusOr<std::vector<RunRow>> ReadSession::Match(
    const std::string& selector) {
  if (selector == "@last") {
    Query query = db_->Prepare(kLastJob);
    return ReadRuns(query);
  }
  for (const char* sql : {kById, kByJob, kByName, kByPrefix}) {
    if (sql == kByPrefix && (selector.empty() || !IsHex(selector))) break;
    Query query = db_->Prepare(sql);
    query.Bind(std::string_view(selector));
    absl::StatusOr<std::vector<RunRow>> found = ReadRuns(query);
    if (!found.ok() || !found->empty()) return found;
  }
  return std::vector<RunRow>();
}

absl::StatusOr<ReadSession::Usage> ReadSession::CountUsage() {
  Usage usage;
  Query runs = db_->Prepare(
      "SELECT COUNT(*), COALESCE(SUM(events_expired), 0) FROM runs");
  if (!runs.Next()) return runs.status();
  usage.runs = runs.Int();
  usage.events_expired = runs.Int();
  absl::StatusOr<int64_t> pages = db_->QueryInt("PRAGMA page_count");
  absl::StatusOr<int64_t> free = db_->QueryInt("PRAGMA freelist_count");
  absl::StatusOr<int64_t> size = db_->QueryInt("PRAGMA page_size");
  if (!pages.ok()) return pages.status();
  if (!free.ok()) return free.status();
  if (!size.ok()) return size.status();
  usage.used_bytes = (*pages - *free) * *size;
  return usage;
}

absl::StatusOr<std::vector<std::string>> ReadSession::RunningRuns() {
  std::vector<std::string> ids;
  Query query = db_->Prepare("SELECT id FROM runs WHERE state = 'running'");
  while (query.Next()) ids.push_back(query.Text());
  if (!query.status().ok()) return query.status();
  return ids;
}

}  // namespace invact
