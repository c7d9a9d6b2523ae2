// The copy of CUPTI that torch itself was linked with. No other is ever loaded:
// two in one process do not know of each other.
//
// Threads: Find from any, once; the functions as CUPTI says. Never unloaded.
#ifndef INVACT_PLUGIN_CUPTI_CUPTI_LIBRARY_H_
#define INVACT_PLUGIN_CUPTI_CUPTI_LIBRARY_H_

#include <string>

#include "plugin/cupti/cupti_abi.h"

namespace invact::cupti {

struct Library {
  Result (*register_callbacks)(RequestBuffer, CompleteBuffer) = nullptr;
  Result (*enable)(uint32_t kind) = nullptr;
  Result (*disable)(uint32_t kind) = nullptr;
  Result (*flush_all)(uint32_t flags) = nullptr;
  Result (*next_record)(uint8_t* buffer, size_t valid, void** record) = nullptr;
  Result (*dropped_records)(void* context, uint32_t stream,
                            size_t* count) = nullptr;
  Result (*result_string)(Result result, const char** text) = nullptr;
  Result (*finalize)() = nullptr;  // only ever called on the profiler's behalf
  // nullptr: this CUPTI does not name libraries.
  Result (*allocation_source)(uint8_t enable) = nullptr;
  uint32_t version = 0;
};

// Looks into what `client` ("libtorch_cpu.so") depends on. False with the
// reason: none there (linked statically, or no CUDA), or of a version whose
// records are not known.
bool FindLibrary(const char* client, Library* library, std::string* why);

// "CUPTI_ERROR_...", or the number.
std::string Text(const Library& library, Result result);

}  // namespace invact::cupti

#endif  // INVACT_PLUGIN_CUPTI_CUPTI_LIBRARY_H_
