// Store: what a batch brings.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/store/event_record.h"
#include "daemon/store/pack.h"
#include "daemon/store/store.h"
#include "daemon/store/totals.h"

namespace invact {
namespace {

// Their addresses are keys of Store::tables_.
constexpr char kLast[] = "last";
constexpr char kMax[] = "max";
constexpr char kLive[] = "live";

// Warnings are said once a thing; more than this is a broken job.
constexpr int64_t kMaxWarnings = 100;
// Ops, dtypes and devices of a job; the same.
constexpr int64_t kMaxKernels = 1024;

}  // namespace

absl::Status Store::AppendBatch(int64_t run, const v1::Batch& batch,
                                int64_t now_ns) {
  const int64_t seq = static_cast<int64_t>(batch.seq());
  {
    Query query = db_->Prepare("SELECT last_seq FROM runs WHERE pk = ?");
    if (!query.Bind(run).Next()) {
      absl::Status status = query.status();
      return status.ok() ? absl::NotFoundError("the run was removed") : status;
    }
    const int64_t last = query.Int();
    if (seq <= last) return absl::OkStatus();
    if (seq != last + 1) {
      return absl::FailedPreconditionError(absl::StrCat(
          "batch ", seq, " came, batch ", last + 1, " is missing"));
    }
  }
  const int64_t events =
      batch.record_bytes() ? batch.records().size() / batch.record_bytes() : 0;
  const int64_t memory_events =
      batch.memory_record_bytes()
          ? batch.memory_records().size() / batch.memory_record_bytes()
          : 0;
  absl::Status status =
      db_->Prepare(
             "INSERT INTO batches (run, seq, wall_ns, mono_ns, events, "
             "memory_events, stored_ns) VALUES (?, ?, ?, ?, ?, ?, ?)")
          .BindAll(run, seq, batch.wall_time_ns(), batch.monotonic_time_ns(),
                   events, memory_events, now_ns)
          .Run();
  if (status.ok()) {
    status =
        db_->Prepare("UPDATE runs SET last_seq = ?, seen_ns = ? WHERE pk = ?")
            .BindAll(seq, now_ns, run)
            .Run();
  }
  if (status.ok()) status = AppendNames(run, batch);
  if (status.ok()) status = AppendSteps(run, batch);
  if (status.ok()) status = AppendDigests(run, batch);
  if (status.ok()) status = AppendMemory(run, batch);
  if (status.ok() && memory_events > 0) {
    status = AppendMemoryRecords(run, batch);
  }
  if (status.ok() && events > 0) status = AppendEvents(run, batch);
  if (status.ok()) status = AppendUpdate(run, batch);
  if (status.ok() && batch.has_end()) {
    status = AppendEnd(run, batch.end(), now_ns);
  }
  if (status.ok()) {
    if (batch.has_last_step()) tables_[{run, kLast}] = &batch.last_step();
    if (batch.has_max_step()) tables_[{run, kMax}] = &batch.max_step();
    if (batch.has_live()) tables_[{run, kLive}] = &batch.live();
  }
  return status;
}

absl::Status Store::AppendNames(int64_t run, const v1::Batch& batch) {
  for (const v1::Scope& scope : batch.scopes()) {
    absl::Status status =
        db_->Prepare("INSERT OR REPLACE INTO scopes VALUES (?, ?, ?, ?)")
            .BindAll(run, int64_t{scope.id()}, scope.name(),
                     int64_t{scope.block()})
            .Run();
    if (!status.ok()) return status;
  }
  for (const v1::Site& site : batch.sites()) {
    absl::Status status =
        db_->Prepare(
               "INSERT OR REPLACE INTO sites VALUES (?, ?, ?, ?, ?, ?, ?)")
            .BindAll(run, int64_t{site.id()}, int64_t{site.scope()},
                     int64_t{site.pack_ordinal()}, site.op(), site.dtype(),
                     site.category())
            .Run();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Store::AppendSteps(int64_t run, const v1::Batch& batch) {
  if (batch.steps().empty()) return absl::OkStatus();
  int64_t done = 0, peak = 0, held = 0;
  for (const v1::StepTotals& step : batch.steps()) {
    Query query = db_->Prepare(
        "INSERT OR REPLACE INTO steps "
        "(run, " INVACT_TOTALS_COLUMNS
        ") VALUES "
        "(?, " INVACT_TOTALS_PLACES ")");
    query.Bind(run);
    BindTotals(query, step);
    if (absl::Status status = query.Run(); !status.ok()) return status;
    if (step.complete()) done = std::max(done, step.index() + 1);
    peak = std::max<int64_t>(peak, step.peak_allocated_bytes());
    held = std::max<int64_t>(held, step.held_bytes());
  }
  return db_
      ->Prepare(
          "UPDATE runs SET steps = MAX(steps, ?), peak_bytes = "
          "MAX(peak_bytes, ?), peak_held_bytes = MAX(peak_held_bytes, ?) "
          "WHERE pk = ?")
      .BindAll(done, peak, held, run)
      .Run();
}

absl::Status Store::AppendEvents(int64_t run, const v1::Batch& batch) {
  uint32_t first = UINT32_MAX, last = 0;
  for (size_t at = 0; at < batch.records().size(); at += batch.record_bytes()) {
    const uint32_t step = ReadEventRecord(batch.records().data() + at).step;
    first = std::min(first, step);
    last = std::max(last, step);
  }
  const auto events =
      static_cast<int64_t>(batch.records().size() / batch.record_bytes());
  const std::string packed = Pack(batch.records());
  return db_
      ->Prepare(
          "INSERT INTO event_blobs (run, seq, codebook, record_bytes, "
          "first_step, last_step, records, packed, events) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)")
      .BindAll(run, static_cast<int64_t>(batch.seq()), codebook_,
               int64_t{batch.record_bytes()}, int64_t{first}, int64_t{last},
               Blob{packed}, events)
      .Run();
}

absl::Status Store::AppendUpdate(int64_t run, const v1::Batch& batch) {
  absl::Status status;
  if (batch.has_losses()) {
    status = db_->Prepare("UPDATE runs SET events_dropped = ? WHERE pk = ?")
                 .BindAll(int64_t{batch.losses().events_dropped()}, run)
                 .Run();
  }
  if (status.ok() && batch.has_update()) {
    const v1::RunUpdate& update = batch.update();
    status = db_->Prepare(
                    "UPDATE runs SET "
                    "device = IIF(?2 = '', device, ?2), "
                    "policy = IIF(?3 = '', policy, ?3) WHERE pk = ?1")
                 .BindAll(run, update.device(), update.policy())
                 .Run();
    for (const std::string& text : update.warnings()) {
      if (!status.ok()) break;
      status = db_->Prepare(
                      "INSERT OR IGNORE INTO warnings SELECT ?1, "
                      "(SELECT COUNT(*) FROM warnings WHERE run = ?1), ?2 "
                      "WHERE (SELECT COUNT(*) FROM warnings WHERE run = ?1) "
                      "< ?3")
                   .BindAll(run, text, kMaxWarnings)
                   .Run();
    }
    for (const v1::KernelCalibration& kernel : update.kernels()) {
      if (status.ok()) status = WriteKernel(run, kernel);
    }
  }
  if (status.ok() && batch.has_out_of_memory()) {
    const v1::OutOfMemory& oom = batch.out_of_memory();
    status = db_->Prepare(
                    "UPDATE runs SET oom_phase = ?, oom_step = ?, oom_layer = "
                    "?, oom_requested_bytes = ?, oom_saved_bytes = ? WHERE pk "
                    "= ?")
                 .BindAll(oom.phase(), int64_t{oom.step_index()}, oom.layer(),
                          int64_t{oom.requested_bytes()},
                          int64_t{oom.saved_bytes()}, run)
                 .Run();
  }
  return status;
}

absl::Status Store::WriteKernel(int64_t run,
                                const v1::KernelCalibration& kernel) {
  // The library is part of the key, and may be another one than before.
  absl::Status status =
      db_->Prepare(
             "DELETE FROM kernels WHERE run = ? AND op = ? "
             "AND dtype = ? AND device = ?")
          .BindAll(run, kernel.op(), kernel.dtype(), kernel.device())
          .Run();
  if (!status.ok()) return status;
  const auto number = [](bool known, auto value) {
    return known ? std::optional(value) : std::nullopt;
  };
  return db_
      ->Prepare(
          "INSERT INTO kernels (run, op, dtype, device, library, served, "
          "reason, detail, side_bits, stated_max, stated_rms, floor_max, "
          "floor_rms, error_max, error_rms) "
          "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "
          "?15 WHERE (SELECT COUNT(*) FROM kernels WHERE run = ?1) < ?16")
      .BindAll(run, kernel.op(), kernel.dtype(), kernel.device(),
               kernel.library(), int64_t{kernel.served()}, kernel.reason(),
               kernel.detail(),
               number(kernel.has_side_bits(), int64_t{kernel.side_bits()}),
               number(kernel.has_stated_max(), kernel.stated_max()),
               number(kernel.has_stated_rms(), kernel.stated_rms()),
               number(kernel.has_floor_max(), kernel.floor_max()),
               number(kernel.has_floor_rms(), kernel.floor_rms()),
               number(kernel.has_error_max(), kernel.error_max()),
               number(kernel.has_error_rms(), kernel.error_rms()), kMaxKernels)
      .Run();
}

absl::Status Store::WriteSiteTable(int64_t run, const char* kind,
                                   const v1::SiteTable& table) {
  for (const char* sql : {"DELETE FROM site_rows WHERE run = ? AND kind = ?",
                          "DELETE FROM scope_rows WHERE run = ? AND kind = ?",
                          "DELETE FROM site_tables WHERE run = ? AND kind = "
                          "?"}) {
    absl::Status status =
        db_->Prepare(sql).BindAll(run, std::string_view(kind)).Run();
    if (!status.ok()) return status;
  }
  {
    Query query = db_->Prepare(
        "INSERT INTO site_tables "
        "(run, kind, " INVACT_TOTALS_COLUMNS
        ") VALUES "
        "(?, ?, " INVACT_TOTALS_PLACES ")");
    query.BindAll(run, std::string_view(kind));
    BindTotals(query, table.totals());
    if (absl::Status status = query.Run(); !status.ok()) return status;
  }
  for (const v1::SiteRow& row : table.rows()) {
    absl::Status status =
        db_->Prepare(
               "INSERT OR REPLACE INTO site_rows VALUES "
               "(?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .BindAll(run, std::string_view(kind), int64_t{row.site()},
                     int64_t{row.baseline_bytes()}, int64_t{row.held_bytes()},
                     int64_t{row.side_bytes()}, row.action(), row.declined(),
                     int64_t{row.shared()})
            .Run();
    if (!status.ok()) return status;
  }
  for (const v1::ScopeRow& row : table.scopes()) {
    absl::Status status =
        db_->Prepare(
               "INSERT OR REPLACE INTO scope_rows VALUES "
               "(?, ?, ?, ?, ?, ?)")
            .BindAll(run, std::string_view(kind), int64_t{row.scope()},
                     int64_t{row.input_bytes()}, int64_t{row.calls()},
                     int64_t{row.forward_ns()})
            .Run();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace invact
