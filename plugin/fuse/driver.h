// The few functions of CUDA's driver that load and start a compiled kernel;
// found in the library that torch mapped. Errors are CUresult numbers.
//
// Threads: any; the device's primary context is current in the caller.
#ifndef INVACT_PLUGIN_FUSE_DRIVER_H_
#define INVACT_PLUGIN_FUSE_DRIVER_H_

#include <cstdint>
#include <string>

namespace invact::fuse {

using Function = void*;  // CUfunction

bool DriverFound();

// Makes the device's primary context, which stays, current in this thread: a
// fresh thread has none, and torch sets one only where the device changes.
bool EnterDevice(int device);

// 90 for a device of compute capability 9.0; 0: not to be found out.
int ArchOf(int device);

// Loads a cubin for good into the current context. Empty, or what failed.
std::string LoadFunctions(const std::string& cubin, Function* vector,
                          Function* element);

int LaunchFunction(Function function, int64_t blocks, int threads, void* stream,
                   void** parameters);

// While it lives, what this thread asks of the driver does not end a capture
// that another thread has begun.
class RelaxedCapture {
 public:
  RelaxedCapture();
  ~RelaxedCapture();
  RelaxedCapture(const RelaxedCapture&) = delete;
  RelaxedCapture& operator=(const RelaxedCapture&) = delete;

 private:
  int mode_;
};

}  // namespace invact::fuse

#endif  // INVACT_PLUGIN_FUSE_DRIVER_H_
