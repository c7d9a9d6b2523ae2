#include "plugin/fuse/nvrtc.h"

#include <dlfcn.h>

#include <algorithm>
#include <vector>

#include "plugin/fuse/source.h"

namespace invact::fuse {

namespace {

using NvrtcProgram = void*;  // nvrtcProgram

struct Api {
  int (*version)(int*, int*) = nullptr;
  int (*create)(NvrtcProgram*, const char*, const char*, int,
                const char* const*, const char* const*) = nullptr;
  int (*destroy)(NvrtcProgram*) = nullptr;
  int (*compile)(NvrtcProgram, int, const char* const*) = nullptr;
  int (*log_size)(NvrtcProgram, size_t*) = nullptr;
  int (*log)(NvrtcProgram, char*) = nullptr;
  int (*ptx_size)(NvrtcProgram, size_t*) = nullptr;
  int (*ptx)(NvrtcProgram, char*) = nullptr;
  int (*cubin_size)(NvrtcProgram, size_t*) = nullptr;
  int (*cubin)(NvrtcProgram, char*) = nullptr;
  bool found = false;
};

// The folder of a mapped library, with its last slash; empty: not mapped.
std::string FolderOf(const std::string& library, const char* symbol) {
  void* handle = dlopen(library.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return {};
  Dl_info info{};
  void* address = dlsym(handle, symbol);
  std::string folder;
  if (address != nullptr && dladdr(address, &info) != 0) {
    folder = info.dli_fname;
    folder.resize(folder.rfind('/') + 1);
  }
  dlclose(handle);
  return folder;
}

void* OpenLibrary() {
  for (const std::string major : {"13", "12"}) {
    const std::string name = "libnvrtc.so." + major;
    if (void* mapped = dlopen(name.c_str(), RTLD_LAZY | RTLD_NOLOAD)) {
      return mapped;
    }
    // Beside the CUDA runtime of the job; of CUDA 12 in a package of its own.
    const std::string folder =
        FolderOf("libcudart.so." + major, "cudaRuntimeGetVersion");
    if (folder.empty()) continue;
    for (const char* below : {"", "../../cuda_nvrtc/lib/"}) {
      if (void* beside = dlopen((folder + below + name).c_str(), RTLD_LAZY)) {
        return beside;
      }
    }
  }
  for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12"}) {
    if (void* on_path = dlopen(name, RTLD_LAZY)) return on_path;
  }
  return nullptr;
}

Api FindApi() {
  Api api;
  void* library = OpenLibrary();
  if (library == nullptr) return api;
  api.found = true;
  const auto find = [&](const char* name, auto* function) {
    *function = reinterpret_cast<std::remove_reference_t<decltype(*function)>>(
        dlsym(library, name));
    api.found &= *function != nullptr;
  };
  find("nvrtcVersion", &api.version);
  find("nvrtcCreateProgram", &api.create);
  find("nvrtcDestroyProgram", &api.destroy);
  find("nvrtcCompileProgram", &api.compile);
  find("nvrtcGetProgramLogSize", &api.log_size);
  find("nvrtcGetProgramLog", &api.log);
  find("nvrtcGetPTXSize", &api.ptx_size);
  find("nvrtcGetPTX", &api.ptx);
  find("nvrtcGetCUBINSize", &api.cubin_size);
  find("nvrtcGetCUBIN", &api.cubin);
  return api;
}

const Api& TheApi() {
  static const Api api = FindApi();
  return api;
}

std::string LogOf(NvrtcProgram program) {
  const Api& api = TheApi();
  size_t size = 0;
  if (api.log_size(program, &size) != 0 || size <= 1) return {};
  std::string text(size, '\0');
  if (api.log(program, text.data()) != 0) return {};
  text.resize(std::min(text.find('\n'), size - 1));
  return text;
}

}  // namespace

std::string NvrtcVersion() {
  int major = 0, minor = 0;
  if (!TheApi().found || TheApi().version(&major, &minor) != 0) return {};
  return std::to_string(major) + "." + std::to_string(minor);
}

Compiled Compile(const std::string& source, int arch, bool ptx) {
  const Api& api = TheApi();
  Compiled result;
  if (!api.found) {
    result.error = "CUDA's run-time compiler (libnvrtc) was not found";
    return result;
  }
  NvrtcProgram program = nullptr;
  if (api.create(&program, source.c_str(), "fused.cu", 0, nullptr, nullptr) !=
      0) {
    result.error = "NVRTC made no program";
    return result;
  }
  const std::string target =
      (ptx ? "--gpu-architecture=compute_" : "--gpu-architecture=sm_") +
      std::to_string(arch);
  std::vector<const char*> options(std::begin(kCompileOptions),
                                   std::end(kCompileOptions));
  options.push_back(target.c_str());
  const int error =
      api.compile(program, static_cast<int>(options.size()), options.data());
  size_t size = 0;
  if (error != 0) {
    result.error =
        "NVRTC error " + std::to_string(error) + ": " + LogOf(program);
  } else if ((ptx ? api.ptx_size : api.cubin_size)(program, &size) != 0 ||
             size == 0) {
    result.error = "NVRTC gave no code";
  } else {
    result.code.resize(size);
    if ((ptx ? api.ptx : api.cubin)(program, result.code.data()) != 0) {
      result.error = "NVRTC gave no code";
    }
  }
  api.destroy(&program);
  return result;
}

}  // namespace invact::fuse
