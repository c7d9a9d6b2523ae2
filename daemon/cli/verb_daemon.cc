// invact daemon start, stop, status.
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "daemon/cli/daemon_process.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/json_parts.h"
#include "daemon/report/units.h"
#include "daemon/service/rpc_status.h"
#include "daemon/store/lock_file.h"

namespace invact::cli {
namespace {

constexpr absl::Duration kStopTime = absl::Seconds(60);

Json StatusJson(const v1::DaemonStatus& status) {
  Json out;
  out["schema"] = "invact.daemon/v1";
  out["running"] = true;
  out["version"] = status.version();
  out["protocol"] = status.protocol();
  out["database"] = status.database_version();
  out["pid"] = status.pid();
  out["host"] = status.host();
  out["started_at"] = UtcTime(status.started_at());
  out["listeners"] = Json::array();
  for (const std::string& at : status.listeners()) {
    out["listeners"].push_back(at);
  }
  out["database_path"] = status.database_path();
  out["database_bytes"] = status.database_bytes();
  out["quota_bytes"] = status.quota_bytes();
  out["rss_bytes"] = status.rss_bytes();
  out["runs"] = status.runs();
  out["streams"] = status.streams();
  out["batches_committed"] = status.batches_committed();
  out["rejected_messages"] = status.rejected_messages();
  return out;
}

std::string StatusText(const v1::DaemonStatus& status) {
  const std::vector<std::string> listeners(status.listeners().begin(),
                                           status.listeners().end());
  return absl::StrCat(
      "invactd    ", status.version(), ", pid ", status.pid(), " on ",
      status.host(), ", since ", UtcText(status.started_at()), "\n",
      "answers    ", absl::StrJoin(listeners, ", "), "\n", "database   ",
      status.database_path(), " (version ", status.database_version(), "), ",
      Bytes(status.database_bytes()), " of ", Bytes(status.quota_bytes()), "\n",
      "runs       ", status.runs(), ", ", status.streams(), " recorded now\n",
      "batches    ", status.batches_committed(), " stored, ",
      status.rejected_messages(), " messages refused\n", "memory     ",
      Bytes(status.rss_bytes()), "\n");
}

std::string Where(const v1::DaemonStatus& status) {
  return absl::StrCat(
      "pid ", status.pid(), " on ", status.host(), ", ",
      status.listeners().empty() ? status.socket() : status.listeners(0));
}

// The daemon's own working directory is /.
void MakeAbsolute(std::string* path) {
  if (!path->empty()) *path = std::filesystem::absolute(*path);
}

absl::StatusOr<int> Start(Shell& shell, DaemonCommand command) {
  for (std::string* path :
       {&command.token_file, &command.tls_cert, &command.tls_key}) {
    MakeAbsolute(path);
  }
  // A daemon of one's own always answers on the Unix socket; INVACT_DAEMON
  // may name the TCP address that it is to listen on, too.
  Environment environment = shell.environment;
  const std::string& named = environment.paths.invact_daemon;
  if (!named.empty() && named.rfind("unix:", 0) != 0) {
    if (command.listen.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "INVACT_DAEMON=", named,
          " names a daemon elsewhere; start one here with --listen ", named,
          ", or unset INVACT_DAEMON"));
    }
    environment.paths.invact_daemon = "";
  }
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(environment);
  const bool running = client.ok();
  if (running && !command.listen.empty()) {
    return WithNext(absl::FailedPreconditionError(absl::StrCat(
                        "a daemon runs already (", Where((*client)->daemon()),
                        "); it can't get another listener")),
                    "stop it first with: invact daemon stop");
  }
  if (!running) {
    if (!absl::IsUnavailable(client.status())) return client.status();
    absl::Status started = StartDaemon(environment, shell.install, command);
    if (!started.ok()) return started;
    client = Client::Connect(environment);
    if (!client.ok()) return client.status();
  }
  const v1::DaemonStatus& status = (*client)->daemon();
  if (shell.json) {
    Json out = StatusJson(status);
    out["started"] = !running;
    shell.output.Data(Dump(out));
  } else {
    shell.output.Note(absl::StrCat(
        running ? "the daemon runs already: " : "the daemon runs: ",
        Where(status)));
  }
  return kOk;
}

absl::StatusOr<int> Stop(Shell& shell) {
  absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Connect(shell.environment);
  Json out;
  out["schema"] = "invact.daemon/v1";
  out["running"] = false;
  out["stopped"] = client.ok();
  std::string note = "no daemon runs";
  if (client.ok()) {
    const v1::DaemonStatus status = (*client)->daemon();
    auto stopped =
        (*client)->Call(&Client::Stub::StopDaemon, v1::StopDaemonRequest());
    // It may be gone before its answer is here.
    if (!stopped.ok() && !absl::IsUnavailable(stopped.status())) {
      return stopped.status();
    }
    client->reset();  // an open connection would hold it up
    // On another machine its answer is all there is to see.
    if (status.host() == ThisProcess().host &&
        !WaitUntilGone(static_cast<pid_t>(status.pid()), kStopTime)) {
      return WithNext(absl::InternalError(
                          absl::StrCat("the daemon, ", Where(status),
                                       ", was asked to stop and still "
                                       "lives after ",
                                       absl::ToInt64Seconds(kStopTime), " s")),
                      absl::StrCat("kill ", status.pid(),
                                   " loses nothing that it acknowledged"));
    }
    out["pid"] = status.pid();
    note = absl::StrCat("the daemon stopped: ", Where(status));
  } else if (!absl::IsUnavailable(client.status()) ||
             !shell.environment.paths.invact_daemon.empty()) {
    return client.status();
  }
  if (shell.json) {
    shell.output.Data(Dump(out));
  } else {
    shell.output.Note(note);
  }
  return kOk;
}

absl::StatusOr<int> Status(Shell& shell) {
  absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Connect(shell.environment);
  if (!client.ok()) return client.status();
  shell.output.Data(shell.json ? Dump(StatusJson((*client)->daemon()))
                               : StatusText((*client)->daemon()));
  return kOk;
}

}  // namespace

void AddDaemon(CLI::App& app, Shell& shell) {
  CLI::App* verb =
      app.add_subcommand("daemon", "Start, stop or look at the daemon");
  verb->require_subcommand(1);
  verb->fallthrough();

  CLI::App* start =
      verb->add_subcommand("start", "Start one that stays until it is stopped");
  auto command = std::make_shared<DaemonCommand>();
  start
      ->add_option("--listen", command->listen,
                   "Also answer on this TCP address; one that others can "
                   "reach needs all of the three below")
      ->type_name("HOST:PORT");
  start
      ->add_option("--token-file", command->token_file,
                   "What TCP callers must know (mode 0600)")
      ->type_name("F");
  start->add_option("--tls-cert", command->tls_cert, "PEM certificate chain")
      ->type_name("C");
  start->add_option("--tls-key", command->tls_key, "PEM private key")
      ->type_name("K");
  start->callback([&shell, command] {
    shell.action = [&shell, command] { return Start(shell, *command); };
  });
  verb->add_subcommand("stop", "Stop it; returns when it is gone")
      ->callback([&shell] { shell.action = [&shell] { return Stop(shell); }; });
  verb->add_subcommand("status", "Where it is, what it holds, disk and quota")
      ->callback(
          [&shell] { shell.action = [&shell] { return Status(shell); }; });
}

}  // namespace invact::cli
