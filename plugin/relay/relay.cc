// invact-relay PID MEMFD START: takes what a training process leaves in shared
// memory to the daemon, and outlives the process to bring it to its end.
// Started by the plugin (plugin/ring/relay_launch.h), never by a person.
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "invact/v1/ingest.pb.h"
#include "plugin/relay/convert.h"
#include "plugin/relay/log.h"
#include "plugin/relay/options.h"
#include "plugin/relay/relay_loop.h"
#include "plugin/relay/spool.h"
#include "plugin/ring/reader.h"
#include "plugin/ring/shared_run.h"
#include "proto/spool_format.h"

namespace invact {
namespace {

constexpr int kUsage = 2;
constexpr int kFailure = 1;
constexpr size_t kSecretBytes = 32;

std::atomic<int> g_stops{0};

void OnSignal(int) { g_stops.fetch_add(1); }

void PrepareProcess() {
  umask(077);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // the job's limit on file sizes is ours, too
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) std::signal(signal, OnSignal);
  // One thread does nearly all; arenas for gRPC's others only cost memory.
  mallopt(M_ARENA_MAX, 1);
  // The job's folder may be unmounted; where not even / can be entered, it
  // stays in use until the job's end.
  if (chdir("/") != 0) return;
}

std::string MakeHello(const Reader& reader, const RunView& view) {
  v1::StreamRequest request;
  v1::Hello* hello = request.mutable_hello();
  hello->set_protocol_major(kSpoolProtocolMajor);
  hello->set_protocol_minor(kSpoolProtocolMinor);
  ToProto(view, hello->mutable_run());
  hello->mutable_run()->set_device(reader.Device());
  std::string secret(kSecretBytes, '\0');
  if (getrandom(secret.data(), secret.size(), 0) !=
      static_cast<ssize_t>(secret.size())) {
    return "";
  }
  hello->set_run_secret(secret);
  return request.SerializeAsString();
}

constexpr char kHelp[] =
    "invact-relay " INVACT_VERSION
    "\n\n"
    "usage: invact-relay PID MEMFD START\n\n"
    "Takes what a training process recorded to invactd, or to a spool on disk\n"
    "where no daemon answers. invact's plugin starts it inside a training "
    "job;\n"
    "by hand: invact run -- COMMAND.\n";

int Main(int argc, const char* const* argv) {
  if (argc == 2 && (std::strcmp(argv[1], "--help") == 0 ||
                    std::strcmp(argv[1], "--version") == 0)) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  RelayOptions options;
  if (!ReadRelayOptions(argc, argv, &options)) {
    std::fputs(kHelp, stderr);
    return kUsage;
  }
  PrepareProcess();
  std::string error;
  SharedRun* shared = MapSharedRun(options.memfd, &error);
  if (shared == nullptr) {
    std::fprintf(stderr, "invact-relay: %s\n", error.c_str());
    return kFailure;
  }
  close(options.memfd);
  Reader reader(shared);
  const RunView view = reader.Info();
  const std::string hello = MakeHello(reader, view);
  if (view.run_id.empty() || hello.empty()) return kFailure;

  RelayLog log;
  Spool spool(view.run_id, hello);
  std::vector<std::string> problems;
  if (spool.Open(options.spool_dirs, &problems)) log.Open(spool.run_dir());
  RelayLoop loop(options, hello, &reader, &spool, &log, &g_stops);
  for (const std::string& problem : problems) {
    log.Say("no spool in " + problem);
    loop.Warn("no spool in " + problem);
  }
  loop.Run();
  return 0;
}

}  // namespace
}  // namespace invact

int main(int argc, char** argv) { return invact::Main(argc, argv); }
