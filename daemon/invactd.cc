// invactd: options, the files it owns, the services, and an orderly end.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/ingest/housekeeper.h"
#include "daemon/ingest/ingest_service.h"
#include "daemon/ingest/writer.h"
#include "daemon/log.h"
#include "daemon/options.h"
#include "daemon/service/activity.h"
#include "daemon/service/run_service.h"
#include "daemon/service/server.h"
#include "daemon/service/token_auth.h"
#include "daemon/service/watch_hub.h"
#include "daemon/store/file_system.h"
#include "daemon/store/lock_file.h"
#include "daemon/store/private_dir.h"
#include "daemon/store/reader.h"
#include "daemon/store/store.h"

namespace invact {
namespace {

constexpr int kUsage = 2;
constexpr int kFailure = 1;
constexpr rlim_t kFewDescriptors = 1024;
// What lies in spools is there before anybody asks, unless it is very much.
constexpr absl::Duration kAdoptFirst = absl::Seconds(10);

int Refuse(const absl::Status& status, int code) {
  std::fprintf(stderr, "invactd: %s\n", std::string(status.message()).c_str());
  return code;
}

std::string Folder(const std::string& path) {
  return path.substr(0, std::max<size_t>(1, path.find_last_of('/')));
}

// A stream is a descriptor. Returns how many there may be.
rlim_t RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

// Blocked before any thread exists, so that only WaitForEnd gets them.
sigset_t BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  // At `ulimit -f` a write fails instead, as on a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  return set;
}

int Main(int argc, const char* const* argv) {
  absl::StatusOr<std::optional<Options>> parsed = ParseOptions(argc, argv);
  if (!parsed.ok()) return Refuse(parsed.status(), kUsage);
  if (!*parsed) return 0;
  const Options& options = **parsed;
  umask(077);
  const sigset_t signals = BlockSignals();

  for (const std::string& dir : {options.state_dir, Folder(options.socket)}) {
    absl::Status status = EnsurePrivateDir(dir);
    if (!status.ok()) return Refuse(status, kFailure);
  }
  std::string token;
  if (!options.token_file.empty()) {
    absl::StatusOr<std::string> read =
        TokenAuth::ReadTokenFile(options.token_file);
    if (!read.ok()) return Refuse(read.status(), kUsage);
    token = *read;
  }
  absl::StatusOr<LockFile> socket_lock =
      LockFile::Take(options.socket + ".lock", "socket", ThisProcess());
  if (!socket_lock.ok()) return Refuse(socket_lock.status(), kFailure);

  StoreOptions store_options;
  store_options.path = options.database();
  store_options.quota_bytes = options.quota_bytes;
  std::vector<std::string> notes;
  absl::StatusOr<FileSystem> file_system = FileSystemOf(options.state_dir);
  if (!file_system.ok()) return Refuse(file_system.status(), kFailure);
  if (file_system->network) {
    store_options.sharing = Database::Sharing::kThisProcess;
    notes.push_back(
        "the database is on a network file system (" + file_system->name +
        "): this daemon alone opens it, daemons of other machines are refused");
  }
  absl::StatusOr<std::unique_ptr<Store>> store =
      Store::Open(store_options, &notes);
  if (!store.ok()) return Refuse(store.status(), kFailure);
  absl::Status logging =
      StartLog(options.log_file(), options.log_level, options.foreground);
  if (!logging.ok()) return Refuse(logging, kFailure);
  for (const std::string& note : notes) {
    std::fprintf(stderr, "invactd: %s\n", note.c_str());
    LogError(note);
  }
  const rlim_t descriptors = RaiseDescriptorLimit();
  if (descriptors < kFewDescriptors) {
    LogError("only " + std::to_string(descriptors) +
             " descriptors are allowed, each stream takes one; raise ulimit "
             "-n for many ranks");
  }

  Activity activity;
  LiveStreams live;
  const TokenAuth auth(token);
  Reader reader(options.database(), store_options.sharing);
  WatchHub watch(&reader, &activity);
  Writer writer(store->get(), WriterOptions(), [&watch] { watch.Notify(); });
  Housekeeper housekeeper(options.spool_dirs, &reader, &writer, &live,
                          std::chrono::seconds(options.lost_after_seconds));
  housekeeper.AdoptFirst(kAdoptFirst);
  IngestService ingest(&writer, &live, &auth);
  RunServiceParts parts;
  parts.options = &options;
  parts.auth = &auth;
  parts.reader = &reader;
  parts.writer = &writer;
  parts.live = &live;
  parts.activity = &activity;
  parts.watch = &watch;
  parts.file_system = file_system->name;
  parts.spools_adopted = [&housekeeper] { return housekeeper.adopted(); };
  parts.stop = [] { kill(getpid(), SIGTERM); };
  RunService runs(std::move(parts));
  absl::StatusOr<std::unique_ptr<RpcServer>> server =
      RpcServer::Start(options, {&ingest, &runs});
  if (!server.ok()) return Refuse(server.status(), kFailure);
  runs.set_listeners((*server)->listeners());
  for (const std::string& listener : (*server)->listeners()) {
    LogInfo("answers on " + listener);
  }
  housekeeper.Start();

  const timespec tick{0, 200'000'000};
  while (sigtimedwait(&signals, nullptr, &tick) < 0) {
    if (live.open > 0) activity.Touch();
    if (options.idle_exit_seconds > 0 &&
        activity.IdleFor() > absl::Seconds(options.idle_exit_seconds)) {
      LogInfo("nobody asked for anything for a while");
      break;
    }
  }

  LogInfo("stopping");
  housekeeper.Stop();
  ingest.Drain();
  watch.Stop();
  (*server)->Stop(absl::Seconds(2));
  writer.Stop();
  (*store)->Close();
  socket_lock->Release();
  LogInfo("stopped");
  return 0;
}

}  // namespace
}  // namespace invact

int main(int argc, char** argv) { return invact::Main(argc, argv); }
