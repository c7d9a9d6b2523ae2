#include "plugin/fuse/driver.h"

#include <dlfcn.h>

#include <type_traits>

namespace invact::fuse {

namespace {

constexpr int kRelaxed = 2;              // CU_STREAM_CAPTURE_MODE_RELAXED
constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_...
constexpr int kLocalBytes = 3;           // CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES

struct Api {
  int (*attribute)(int*, int, int) = nullptr;
  int (*retain)(void**, int) = nullptr;
  int (*make_current)(void*) = nullptr;
  int (*load)(void**, const void*) = nullptr;
  int (*unload)(void*) = nullptr;
  int (*function)(Function*, void*, const char*) = nullptr;
  int (*function_attribute)(int*, int, Function) = nullptr;
  int (*exchange)(int*) = nullptr;
  int (*launch)(Function, unsigned, unsigned, unsigned, unsigned, unsigned,
                unsigned, unsigned, void*, void**, void**) = nullptr;
  bool found = false;
};

Api FindApi() {
  Api api;
  void* library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return api;
  api.found = true;
  const auto find = [&](const char* name, auto* function) {
    *function = reinterpret_cast<std::remove_reference_t<decltype(*function)>>(
        dlsym(library, name));
    api.found &= *function != nullptr;
  };
  find("cuDeviceGetAttribute", &api.attribute);
  find("cuDevicePrimaryCtxRetain", &api.retain);
  find("cuCtxSetCurrent", &api.make_current);
  find("cuModuleLoadData", &api.load);
  find("cuModuleUnload", &api.unload);
  find("cuModuleGetFunction", &api.function);
  find("cuFuncGetAttribute", &api.function_attribute);
  find("cuThreadExchangeStreamCaptureMode", &api.exchange);
  find("cuLaunchKernel", &api.launch);
  return api;
}

const Api& TheApi() {
  static const Api api = FindApi();
  return api;
}

}  // namespace

bool DriverFound() { return TheApi().found; }

bool EnterDevice(int device) {
  void* context = nullptr;
  return TheApi().found && TheApi().retain(&context, device) == 0 &&
         TheApi().make_current(context) == 0;
}

int ArchOf(int device) {
  int major = 0, minor = 0;
  if (!TheApi().found || TheApi().attribute(&major, kMajor, device) != 0 ||
      TheApi().attribute(&minor, kMinor, device) != 0) {
    return 0;
  }
  return major * 10 + minor;
}

std::string LoadFunctions(const std::string& cubin, Function* vector,
                          Function* element) {
  const Api& api = TheApi();
  void* module = nullptr;
  if (const int error = api.load(&module, cubin.data()); error != 0) {
    return "the driver did not load the kernel (error " +
           std::to_string(error) + ")";
  }
  int local = 0;
  if (api.function(vector, module, "fused_vector") != 0 ||
      api.function(element, module, "fused_element") != 0 ||
      api.function_attribute(&local, kLocalBytes, *vector) != 0) {
    api.unload(module);
    return "the compiled code lacks a kernel";
  }
  if (local != 0) {
    api.unload(module);
    return "its registers spill into local memory";
  }
  return {};
}

int LaunchFunction(Function function, int64_t blocks, int threads, void* stream,
                   void** parameters) {
  return TheApi().launch(function, static_cast<unsigned>(blocks), 1, 1,
                         static_cast<unsigned>(threads), 1, 1, 0, stream,
                         parameters, nullptr);
}

RelaxedCapture::RelaxedCapture() : mode_(kRelaxed) {
  if (TheApi().found) TheApi().exchange(&mode_);
}

RelaxedCapture::~RelaxedCapture() {
  if (TheApi().found) TheApi().exchange(&mode_);
}

}  // namespace invact::fuse
