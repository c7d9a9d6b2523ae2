#include "daemon/cli/torch_of_python.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace invact::cli {
namespace {

constexpr absl::Duration kLongest = absl::Seconds(20);
constexpr size_t kMostOutput = 64 << 10;

// find_spec of a top-level name runs nothing of the package.
constexpr char kQuestion[] = R"python(
import importlib.util, os, re, sys
spec = importlib.util.find_spec("torch")
version, origin = "", ""
if spec is not None and spec.origin:
    origin = spec.origin
    try:
        with open(os.path.join(os.path.dirname(origin), "version.py")) as file:
            found = re.search(r"""__version__\s*=\s*['"]([^'"]+)""", file.read())
        version = found[1] if found else ""
    except OSError:
        pass
try:
    with open("/proc/self/maps") as file:
        preloaded = "/libinvact.so" in file.read()
except OSError:
    preloaded = False
print(sys.executable, "%d.%d.%d" % sys.version_info[:3], version, origin,
      int(preloaded), sep="\n")
)python";

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::string ReadUntil(int fd, absl::Time deadline) {
  std::string out;
  char buffer[4096];
  while (out.size() < kMostOutput) {
    const auto left = absl::ToInt64Milliseconds(deadline - absl::Now());
    pollfd wait{fd, POLLIN, 0};
    if (left <= 0 || poll(&wait, 1, static_cast<int>(left)) <= 0) break;
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n <= 0) break;
    out.append(buffer, n);
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> OutputOf(
    const std::vector<std::string>& command,
    const std::vector<std::string>& environment) {
  std::vector<std::string> words = command, variables = environment;
  const std::vector<char*> argv = Pointers(words), envp = Pointers(variables);
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return absl::InternalError(strerror(errno));
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, out[1], 1);
  posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int error =
      posix_spawnp(&pid, argv[0], &files, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&files);
  close(out[1]);
  if (error != 0) {
    close(out[0]);
    const std::string why = absl::StrCat(command[0], ": ", strerror(error));
    return error == ENOENT ? absl::NotFoundError(why)
                           : absl::PermissionDeniedError(why);
  }
  const absl::Time deadline = absl::Now() + kLongest;
  const std::string text = ReadUntil(out[0], deadline);
  close(out[0]);
  if (absl::Now() >= deadline) kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return absl::InternalError(absl::StrCat(
        command[0],
        WIFEXITED(status)
            ? absl::StrCat(" ended with ", WEXITSTATUS(status))
            : absl::StrCat(" was ended by signal ", WTERMSIG(status))));
  }
  return text;
}

absl::StatusOr<PythonFacts> AskPython(const Environment& environment,
                                      const std::string& python,
                                      const std::string& preload) {
  std::vector<std::string> variables;
  for (const std::string& entry : environment.all) {
    if (!absl::StartsWith(entry, "LD_PRELOAD=")) variables.push_back(entry);
  }
  if (!preload.empty()) variables.push_back("LD_PRELOAD=" + preload);
  absl::StatusOr<std::string> text =
      OutputOf({python, "-c", kQuestion}, variables);
  if (!text.ok()) return text.status();
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n');
  if (lines.size() < 5) {
    return absl::InternalError(absl::StrCat(python, " is no Python 3"));
  }
  PythonFacts out;
  out.executable = lines[0];
  out.version = lines[1];
  out.torch_version = lines[2];
  out.torch_path = lines[3];
  out.preloaded = lines[4] == "1";
  return out;
}

}  // namespace invact::cli
