// One sample of all devices: flush, ask, take apart, tell the accounts.
//
// Threads: SampleAll one at a time; the others any. May throw. No lock is held
// while CUPTI, CUDA or torch is called.
#ifndef INVACT_PLUGIN_CUPTI_SAMPLE_H_
#define INVACT_PLUGIN_CUPTI_SAMPLE_H_

#include "plugin/cupti/channel.h"
#include "plugin/cupti/foreign.h"
#include "plugin/events/device_bytes.h"

namespace invact::cupti {

// Number of the scope that is named after a library: its name travels with the
// run as a module's does. Defined where the scopes are.
uint32_t ScopeOfLibrary(const std::string& name);

// Torch's segments of now, on each device that has an account: CUPTI begins
// after them and will not tell of them.
void NoteSegmentsBefore();

// Devices that torch reserved memory on, or CUPTI told of, and that capture no
// graph.
void SampleAll(int64_t step);

// The newest sample of a device, and the one with the most bytes used; time_ns
// 0 where there is none.
DeviceBytes NewestOf(int device);
DeviceBytes FullestOf(int device);
// How the newest was made up, for tests.
Foreign NewestForeignOf(int device);

}  // namespace invact::cupti

#endif  // INVACT_PLUGIN_CUPTI_SAMPLE_H_
