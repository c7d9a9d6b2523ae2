// What torch's caching allocator and the device's clock say, without linking
// CUDA: through torch's device-independent interfaces.
//
// Threads: any. Nothing here may be called with the Recorder's lock held.
// Nothing creates a device context: only devices that the job used already
// (NoteDevice) are asked.
#ifndef INVACT_PLUGIN_OBSERVE_DEVICE_STATE_H_
#define INVACT_PLUGIN_OBSERVE_DEVICE_STATE_H_

#include <cstdint>
#include <string>

#include "plugin/ring/ring_layout.h"

namespace invact {

// Summed over the devices noted. kUnknown each where the job runs on the CPU.
struct AllocatorBytes {
  int64_t allocated = kUnknown;
  int64_t reserved = kUnknown;
  int64_t peak_allocated = kUnknown;  // since the job last reset it
  int64_t peak_reserved = kUnknown;
};

// A tensor on this CUDA device was saved.
void NoteDevice(int device) noexcept;
bool AnyDevice() noexcept;

// Whether the device's current stream records into a graph: work of ours would
// become part of the job's graph. True also where it can't be found out.
bool StreamCaptured(int device) noexcept;

AllocatorBytes ReadAllocator() noexcept;
int64_t ReadPeakAllocated() noexcept;  // peak_allocated alone

// "cpu" or the name of the first device noted.
std::string DeviceName() noexcept;

// Device time between three marks of a step (begin, backward begins, end) on
// the current stream of the marking thread. Marks are left out while a graph
// is being captured. Times come one step late: Take asks for the step that was
// marked before and gives negative numbers where they are not known.
enum class StepMark { kBegin, kBackward, kEnd };
void MarkDevice(StepMark mark) noexcept;
struct DeviceSeconds {
  double forward = -1, backward = -1, step = -1;
};
DeviceSeconds TakeDeviceSeconds() noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_DEVICE_STATE_H_
