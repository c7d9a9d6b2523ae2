#include "plugin/cupti/other_tool.h"

#include <link.h>

#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

namespace invact::cupti {

namespace {

// Begins of the base names of what the tools map into a process.
constexpr std::pair<std::string_view, const char*> kLibraries[] = {
    {"libToolsInjection", "Nsight Systems"},
    {"libnsys", "Nsight Systems"},
    {"libcuda-injection", "Nsight Compute"},
    {"libTreeLauncherTargetInjection", "Nsight Compute"},
    {"libInterceptorInjectionTarget", "Compute Sanitizer or Nsight Compute"},
    {"libsanitizer-collection", "Compute Sanitizer"}};

std::string_view BaseName(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);
  return path;
}

int Look(dl_phdr_info* info, size_t, void* found) {
  const std::string_view name =
      BaseName(info->dlpi_name == nullptr ? "" : info->dlpi_name);
  for (const auto& [begin, tool] : kLibraries) {
    if (!name.starts_with(begin)) continue;
    *static_cast<const char**>(found) = tool;
    return 1;
  }
  return 0;
}

bool UnderCudaGdb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("TracerPid:")) continue;
    const size_t digit = line.find_first_of("123456789");
    if (digit == std::string::npos) return false;
    std::ifstream comm("/proc/" + line.substr(digit) + "/comm");
    std::string name;
    return std::getline(comm, name) && name.starts_with("cuda-gdb");
  }
  return false;
}

}  // namespace

std::string OtherTool(const std::string& injection) {
  const char* tool = nullptr;
  dl_iterate_phdr(Look, &tool);
  if (tool != nullptr) return tool;
  const std::string_view name = BaseName(injection);
  if (!name.empty() && name != "none" && !name.starts_with("libinvact")) {
    return std::string(name) + " (CUDA_INJECTION64_PATH)";
  }
  return UnderCudaGdb() ? "cuda-gdb" : "";
}

}  // namespace invact::cupti
