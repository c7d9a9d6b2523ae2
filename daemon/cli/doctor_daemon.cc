// The daemon and what waits for it.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/cli/doctor.h"
#include "daemon/report/units.h"
#include "daemon/service/rpc_status.h"
#include "proto/spool_format.h"

namespace invact::cli {
namespace {

namespace fs = std::filesystem;

DoctorCheck CheckAnswers(const Shell& shell) {
  DoctorCheck out;
  out.name = "daemon";
  out.status = "ok";
  absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Connect(shell.environment);
  if (client.ok()) {
    const v1::DaemonStatus& status = (*client)->daemon();
    out.detail = absl::StrCat(
        "answers on ", (*client)->address(), ": version ", status.version(),
        ", pid ", status.pid(), " on ", status.host(), ", ",
        Count(status.runs(), "run", "runs"), ", ",
        Bytes(status.database_bytes()), " of ", Bytes(status.quota_bytes()));
    if (status.version() != INVACT_VERSION) {
      out.status = "warn";
      absl::StrAppend(&out.detail, "; this is ", INVACT_VERSION);
      out.fix = "invact daemon stop";
    }
    return out;
  }
  out.detail = std::string(client.status().message());
  if (absl::IsUnavailable(client.status()) &&
      shell.environment.paths.invact_daemon.empty()) {
    out.detail = "none runs; the first verb that needs one starts it";
    return out;
  }
  out.status = "fail";
  if (const auto next = client.status().GetPayload(kNextUrl)) {
    out.fix = std::string(*next);
  }
  return out;
}

DoctorCheck CheckProgram(const Shell& shell) {
  DoctorCheck out;
  out.name = "invactd";
  out.status = shell.install.daemon.empty() ? "fail" : "ok";
  out.detail = shell.install.daemon;
  if (shell.install.daemon.empty()) {
    out.detail = absl::StrCat("there is no invactd in ", shell.install.bin);
    out.fix = "keep the programs of invact in one folder";
    if (!shell.environment.paths.invact_daemon.empty()) out.status = "warn";
  }
  return out;
}

struct Spools {
  int64_t waiting = 0, waiting_bytes = 0;  // their relay is gone
  int64_t live = 0;
  std::vector<std::string> folders;  // of those that wait
};

// A live relay holds the lock of its spool.
bool RelayLives(const fs::path& spool) {
  const std::string path = spool / kSpoolLockName;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  const bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(fd);
  return held;
}

void AddSpool(const fs::path& spool, Spools* out) {
  std::error_code error;
  int64_t segments = 0, bytes = 0;
  for (const auto& entry : fs::directory_iterator(spool, error)) {
    if (entry.path().extension() != kSpoolSuffix) continue;
    std::error_code unknown;
    const auto size = entry.file_size(unknown);
    ++segments;
    if (!unknown) bytes += static_cast<int64_t>(size);
  }
  if (RelayLives(spool)) {
    ++out->live;
  } else if (segments > 0) {
    ++out->waiting;
    out->waiting_bytes += bytes;
  }
}

DoctorCheck CheckSpools(const Shell& shell) {
  Spools spools;
  for (const std::string& folder : SpoolDirs(shell.environment.paths)) {
    std::error_code error;
    const int64_t before = spools.waiting;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      AddSpool(entry.path(), &spools);
    }
    if (spools.waiting > before) spools.folders.push_back(folder);
  }
  DoctorCheck out;
  out.name = "spools";
  out.status = spools.waiting > 0 ? "warn" : "ok";
  out.detail = "none waits";
  if (spools.waiting > 0) {
    out.detail = absl::StrCat(Count(spools.waiting, "run waits", "runs wait"),
                              " for a daemon, ", Bytes(spools.waiting_bytes),
                              ", in ", absl::StrJoin(spools.folders, ", "));
    out.fix = "invact ls starts a daemon that takes them in";
  }
  if (spools.live > 0) {
    absl::StrAppend(&out.detail, "; ", Count(spools.live, "job is", "jobs are"),
                    " being recorded");
  }
  return out;
}

}  // namespace

std::vector<DoctorCheck> CheckDaemon(const Shell& shell) {
  return {CheckProgram(shell), CheckAnswers(shell), CheckSpools(shell)};
}

}  // namespace invact::cli
