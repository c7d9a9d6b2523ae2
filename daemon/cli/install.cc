#include "daemon/cli/install.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"

namespace invact::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kPluginPrefix[] = "libinvact-torch";

std::string FirstWith(const std::vector<std::string>& candidates, int mode) {
  for (const std::string& path : candidates) {
    if (access(path.c_str(), mode) == 0) return path;
  }
  return "";
}

}  // namespace

Install FindInstall() {
  Install out;
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  out.bin = error ? "/usr/bin" : self.parent_path().string();
  const std::string beside = fs::path(out.bin).parent_path() / "lib";
  out.library =
      FirstWith({beside + "/libinvact.so", out.bin + "/libinvact.so"}, R_OK);
  out.lib = out.library.empty() ? beside
                                : fs::path(out.library).parent_path().string();
  const std::string sibling = fs::path(out.bin).parent_path() / "bin/invactd";
  out.daemon = FirstWith({out.bin + "/invactd", sibling}, X_OK);
  out.relay = fs::path(out.lib).parent_path() / "bin/invact-relay";
  out.relay_executable = access(out.relay.c_str(), X_OK) == 0;
  return out;
}

std::vector<std::string> Plugins(const std::string& lib) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(lib, error)) {
    const std::string name = entry.path().filename();
    if (!absl::StartsWith(name, kPluginPrefix) ||
        !absl::EndsWith(name, ".so")) {
      continue;
    }
    const size_t begin = sizeof(kPluginPrefix) - 1;
    out.push_back(name.substr(begin, name.size() - begin - 3));
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string PluginFor(const std::string& lib,
                      const std::string& torch_version) {
  const size_t dot = torch_version.find('.');
  const size_t end = dot == std::string::npos ? torch_version.size()
                                              : torch_version.find_first_not_of(
                                                    "0123456789", dot + 1);
  const std::string stem = lib + "/" + kPluginPrefix;
  return FirstWith({stem + torch_version + ".so",
                    stem + torch_version.substr(0, end) + ".so"},
                   R_OK);
}

}  // namespace invact::cli
