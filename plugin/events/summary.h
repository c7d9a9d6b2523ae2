// What the account of a device says in a line. Pure text: no torch, no I/O.
#ifndef INVACT_PLUGIN_EVENTS_SUMMARY_H_
#define INVACT_PLUGIN_EVENTS_SUMMARY_H_

#include <string>
#include <vector>

#include "plugin/events/device_bytes.h"
#include "plugin/events/memory_account.h"

namespace invact {

// The highest peak of all steps with what was alive, largest first; empty where
// nothing ever was. `scopes`: names by number.
std::string PeakLine(int device, const MemoryAccount& account,
                     const std::vector<std::string>& scopes);

// The first out-of-memory with its largest holders; empty where there was none.
std::string OutOfMemoryLine(int device, const MemoryAccount& account,
                            const std::vector<std::string>& scopes);

// How much of the device was used and who had it; empty where it was never
// asked. `pinned`: bytes of the host's memory that CUPTI knows of, now.
std::string DeviceLine(int device, const DeviceBytes& bytes, int64_t pinned,
                       const std::vector<std::string>& scopes);

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_SUMMARY_H_
