// What a job needs: the preloaded file, the plugin of its torch, the relay.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/cli/doctor.h"
#include "daemon/cli/preload.h"
#include "daemon/cli/torch_of_python.h"

namespace invact::cli {
namespace {

DoctorCheck CheckLibrary(const Shell& shell, std::string* preload) {
  DoctorCheck out;
  out.name = "libinvact";
  absl::StatusOr<std::string> value = WithLibrary(shell.install, "");
  out.status = value.ok() ? "ok" : "fail";
  if (value.ok()) {
    *preload = *value;
    out.detail = *value;
  } else {
    out.detail = std::string(value.status().message());
    out.fix = "scripts/setup, or move invact to a folder without blanks";
  }
  return out;
}

DoctorCheck CheckRelay(const Shell& shell) {
  DoctorCheck out;
  out.name = "relay";
  out.detail = shell.install.relay;
  out.status = shell.install.relay_executable ? "ok" : "fail";
  if (!shell.install.relay_executable) {
    access(shell.install.relay.c_str(), X_OK);
    absl::StrAppend(&out.detail, ": ", strerror(errno),
                    "; runs are counted for their end line only");
    out.fix = "scripts/setup, or keep bin/ and lib/ of invact together";
  }
  return out;
}

DoctorCheck CheckPlugin(const Shell& shell, bool given,
                        const absl::StatusOr<PythonFacts>& asked) {
  DoctorCheck out;
  out.name = "plugin";
  out.status = given ? "fail" : "warn";
  const std::vector<std::string> plugins = Plugins(shell.install.lib);
  const std::string have =
      plugins.empty()
          ? absl::StrCat("no plugin in ", shell.install.lib)
          : absl::StrCat("plugins for torch ", absl::StrJoin(plugins, ", "),
                         " in ", shell.install.lib);
  if (!asked.ok()) {
    out.detail = absl::StrCat(asked.status().message(), "; ", have);
    out.fix = "invact doctor --python PATH of the job's Python";
  } else if (asked->torch_version.empty()) {
    out.detail = absl::StrCat(asked->executable, " (Python ", asked->version,
                              ") has no torch; ", have);
    out.fix = "invact doctor --python PATH of the job's Python";
  } else {
    const std::string plugin =
        PluginFor(shell.install.lib, asked->torch_version);
    const std::string torch =
        absl::StrCat("torch ", asked->torch_version, " of ", asked->executable);
    out.status = plugin.empty() ? "fail" : "ok";
    out.detail = plugin.empty() ? absl::StrCat("none for ", torch, "; ", have)
                                : absl::StrCat(plugin, " for ", torch);
    if (plugin.empty()) {
      out.fix = absl::StrCat(
          "scripts/setup --torch ",
          asked->torch_version.substr(0, asked->torch_version.find('+')),
          ", or scripts/setup --python ", asked->executable);
    }
  }
  if (plugins.empty()) out.status = "fail";
  return out;
}

// In the very interpreter; where there is none, in a program of libc's kind.
DoctorCheck CheckPreload(const Shell& shell,
                         const absl::StatusOr<PythonFacts>& asked,
                         const std::string& preload) {
  DoctorCheck out;
  out.name = "preload";
  std::string program;
  bool works = false;
  if (asked.ok()) {
    program = asked->executable;
    works = asked->preloaded;
  } else {
    std::vector<std::string> variables = shell.environment.all;
    variables.push_back("LD_PRELOAD=" + preload);
    program = "cat";
    auto maps = OutputOf({program, "/proc/self/maps"}, variables);
    works = maps.ok() && maps->find("/libinvact.so") != std::string::npos;
  }
  out.status = works ? "ok" : "fail";
  out.detail =
      absl::StrCat("LD_PRELOAD ", works ? "reaches " : "is lost in ", program);
  if (!works) {
    out.fix =
        "use a program that is not static or set-uid, and a libinvact.so built "
        "for this machine's libc";
  }
  return out;
}

DoctorCheck CheckGpu(const Shell& shell) {
  DoctorCheck out;
  out.name = "gpu";
  out.status = "ok";
  std::ifstream file("/proc/driver/nvidia/version");
  std::string line;
  if (!std::getline(file, line)) {
    out.detail = "no NVIDIA driver here; CPU jobs only";
    return out;
  }
  const std::string kernels = shell.install.lib + "/libinvact-cuda.so";
  if (access(kernels.c_str(), R_OK) == 0) {
    out.detail = absl::StrCat(line, "; kernels: ", kernels);
  } else {
    out.status = "warn";
    out.detail = absl::StrCat(line, "; no kernels at ", kernels,
                              ": GPU jobs are observed, nothing is eliminated");
    out.fix = "build with a CUDA compiler: scripts/setup";
  }
  return out;
}

}  // namespace

std::vector<DoctorCheck> CheckJob(const Shell& shell, const std::string& python,
                                  bool given) {
  std::vector<DoctorCheck> out;
  std::string preload;
  out.push_back(CheckLibrary(shell, &preload));
  out.push_back(CheckRelay(shell));
  const absl::StatusOr<PythonFacts> asked =
      AskPython(shell.environment, python, preload);
  out.push_back(CheckPlugin(shell, given, asked));
  if (!preload.empty()) out.push_back(CheckPreload(shell, asked, preload));
  out.push_back(CheckGpu(shell));
  return out;
}

}  // namespace invact::cli
