// Store: runs and how they end.
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "absl/strings/str_cat.h"
#include "daemon/store/store.h"
#include "proto/spool_format.h"

namespace invact {
namespace {

// The secret itself is in no file: who reads the database can't append.
std::string Sha256(const std::string& secret) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

int64_t ToNs(const google::protobuf::Timestamp& time) {
  return time.seconds() * 1'000'000'000 + time.nanos();
}

}  // namespace

absl::StatusOr<OpenedRun> Store::OpenRun(const v1::Hello& hello,
                                         int64_t now_ns) {
  const v1::Run& run = hello.run();
  const std::string digest = Sha256(hello.run_secret());
  {
    Query query = db_->Prepare(
        "SELECT pk, last_seq, secret_sha256 FROM runs WHERE id = ?");
    if (query.Bind(run.id()).Next()) {
      OpenedRun opened;
      opened.pk = query.Int();
      opened.last_seq = static_cast<uint64_t>(query.Int());
      const std::string stored = query.Text();
      if (stored.size() != digest.size() ||
          CRYPTO_memcmp(stored.data(), digest.data(), digest.size()) != 0) {
        return absl::PermissionDeniedError(
            absl::StrCat("run ", run.id(), " was opened with another secret"));
      }
      // It was taken for lost, and here it is.
      absl::Status status =
          db_->Prepare(
                 "UPDATE runs SET seen_ns = ?2, "
                 "state = IIF(end_reason = 'lost', 'running', state), "
                 "ended_ns = IIF(end_reason = 'lost', NULL, ended_ns), "
                 "end_reason = IIF(end_reason = 'lost', '', end_reason) "
                 "WHERE pk = ?1")
              .BindAll(opened.pk, now_ns)
              .Run();
      if (!status.ok()) return status;
      return opened;
    }
    if (!query.status().ok()) return query.status();
  }
  const std::string& job = run.job_id().empty() ? run.id() : run.job_id();
  OpenedRun opened;
  {
    Query query = db_->Prepare(
        "INSERT INTO runs (id, name, job_id, state, policy, started_ns, host, "
        "pid, rank, local_rank, world_size, restart, torch_version, device, "
        "exact, invact_version, secret_sha256, seen_ns, kernels_told) VALUES "
        "(?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "RETURNING pk");
    query.BindAll(run.id(), run.name(), job, run.policy(),
                  ToNs(run.started_at()), run.host(), int64_t{run.pid()},
                  int64_t{run.rank()}, int64_t{run.local_rank()},
                  int64_t{run.world_size()}, int64_t{run.restart()},
                  run.torch_version(), run.device(), int64_t{run.exact()},
                  run.invact_version(), Blob{digest}, now_ns,
                  int64_t{hello.protocol_minor() >= kMinorTellsKernels});
    if (query.Next()) opened.pk = query.Int();
    if (absl::Status status = query.Run(); !status.ok()) return status;
  }
  for (const v1::KernelCalibration& kernel : hello.kernels()) {
    absl::Status status = WriteKernel(opened.pk, kernel);
    if (!status.ok()) return status;
  }
  ParentTold told;
  bool known = false;
  {
    Query query = db_->Prepare(
        "SELECT exit_code, signal FROM exits WHERE job_id = ? AND pid = ?");
    known = query.BindAll(job, int64_t{run.pid()}).Next();
    if (known) {
      told.exit_code = query.OptionalInt();
      told.signal = query.OptionalInt();
    }
    if (!query.status().ok()) return query.status();
  }
  if (known) {
    absl::Status status = ApplyParent(opened.pk, told, now_ns);
    if (!status.ok()) return status;
  }
  return opened;
}

absl::Status Store::ApplyParent(int64_t run, const ParentTold& told,
                                int64_t now_ns) {
  if (told.signal) {
    return db_
        ->Prepare(
            "UPDATE runs SET parent_told = 1, state = 'crashed', "
            "end_reason = 'signal', signal = ?2, exit_code = NULL, "
            "ended_ns = COALESCE(ended_ns, ?3) WHERE pk = ?1")
        .BindAll(run, *told.signal, now_ns)
        .Run();
  }
  // A code of 0 is a good end whatever the relay could see from outside. Out
  // of memory says more than the exit code that followed it.
  return db_
      ->Prepare(
          "UPDATE runs SET parent_told = 1, exit_code = ?2, signal = NULL, "
          "state = CASE WHEN ?2 = 0 THEN 'finished' "
          "WHEN state = 'finished' THEN state ELSE 'crashed' END, "
          "end_reason = IIF(end_reason = 'oom', 'oom', 'exit'), "
          "ended_ns = COALESCE(ended_ns, ?3) WHERE pk = ?1")
      .BindAll(run, told.exit_code, now_ns)
      .Run();
}

absl::Status Store::AppendEnd(int64_t run, const v1::RunEnd& end,
                              int64_t now_ns) {
  std::optional<int64_t> code, signal;
  if (end.has_exit_code()) code = end.exit_code();
  if (end.has_signal()) signal = end.signal();
  return db_
      ->Prepare(
          "UPDATE runs SET "
          "state = CASE WHEN parent_told AND signal IS NOT NULL THEN state "
          "WHEN parent_told AND exit_code = 0 THEN state ELSE ?2 END, "
          "end_reason = CASE WHEN NOT parent_told OR ?3 = 'oom' THEN ?3 "
          "ELSE end_reason END, "
          "exit_code = IIF(parent_told, exit_code, ?4), ended_ns = ?5, "
          "signal = IIF(parent_told, signal, ?6) WHERE pk = ?1")
      .BindAll(run, end.state(), end.end_reason(), code,
               end.ended_wall_ns() > 0 ? end.ended_wall_ns() : now_ns, signal)
      .Run();
}

absl::StatusOr<int> Store::RecordExit(const std::string& job_id, int64_t pid,
                                      const ParentTold& told, int64_t now_ns) {
  std::vector<int64_t> runs;
  {
    Query query =
        db_->Prepare("SELECT pk FROM runs WHERE job_id = ? AND pid = ?");
    query.BindAll(job_id, pid);
    while (query.Next()) runs.push_back(query.Int());
    if (!query.status().ok()) return query.status();
  }
  absl::Status status =
      db_->Prepare("INSERT OR REPLACE INTO exits VALUES (?, ?, ?, ?, ?)")
          .BindAll(job_id, pid, told.exit_code, told.signal, now_ns)
          .Run();
  for (int64_t run : runs) {
    if (status.ok()) status = ApplyParent(run, told, now_ns);
  }
  if (!status.ok()) return status;
  return static_cast<int>(runs.size());
}

absl::Status Store::MarkLost(const std::string& run_id, int64_t now_ns) {
  return db_
      ->Prepare(
          "UPDATE runs SET state = 'crashed', end_reason = 'lost', "
          "ended_ns = MIN(?2, COALESCE((SELECT wall_ns FROM batches "
          "WHERE run = pk ORDER BY seq DESC LIMIT 1), seen_ns)) "
          "WHERE id = ?1 AND state = 'running'")
      .BindAll(run_id, now_ns)
      .Run();
}

absl::StatusOr<int> Store::DeleteRuns(const std::vector<std::string>& run_ids) {
  std::vector<int64_t> runs;
  for (const std::string& id : run_ids) {
    Query query = db_->Prepare("SELECT pk, state FROM runs WHERE id = ?");
    if (query.Bind(id).Next()) {
      runs.push_back(query.Int());
      if (query.Text() == "running") {
        return absl::FailedPreconditionError(
            absl::StrCat("run ", id, " is still running; stop the job first"));
      }
    }
    if (!query.status().ok()) return query.status();
  }
  for (int64_t run : runs) {
    for (const char* sql : {"DELETE FROM exits WHERE (job_id, pid) IN "
                            "(SELECT job_id, pid FROM runs WHERE pk = ?)",
                            "DELETE FROM event_blobs WHERE run = ?",
                            "DELETE FROM batches WHERE run = ?",
                            "DELETE FROM scopes WHERE run = ?",
                            "DELETE FROM sites WHERE run = ?",
                            "DELETE FROM steps WHERE run = ?",
                            "DELETE FROM site_rows WHERE run = ?",
                            "DELETE FROM scope_rows WHERE run = ?",
                            "DELETE FROM site_tables WHERE run = ?",
                            "DELETE FROM warnings WHERE run = ?",
                            "DELETE FROM kernels WHERE run = ?",
                            "DELETE FROM parameters WHERE run = ?",
                            "DELETE FROM digests WHERE run = ?",
                            "DELETE FROM memory_steps WHERE run = ?",
                            "DELETE FROM memory_moments WHERE run = ?",
                            "DELETE FROM memory_holders WHERE run = ?",
                            "DELETE FROM memory_failures WHERE run = ?",
                            "DELETE FROM memory_blobs WHERE run = ?",
                            "DELETE FROM memory_next WHERE run = ?",
                            "DELETE FROM runs WHERE pk = ?"}) {
      absl::Status status = db_->Prepare(sql).Bind(run).Run();
      if (!status.ok()) return status;
    }
  }
  return static_cast<int>(runs.size());
}

}  // namespace invact
