#include "plugin/cupti/cupti_library.h"

#include <dlfcn.h>

namespace invact::cupti {

namespace {

template <typename Function>
bool Look(void* client, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(client, name));
  return *function != nullptr;
}

}  // namespace

bool FindLibrary(const char* client, Library* library, std::string* why) {
  void* mapped = dlopen(client, RTLD_LAZY | RTLD_NOLOAD);
  if (mapped == nullptr) {
    *why = std::string(client) + " is not mapped";
    return false;
  }
  // Searches the client's own dependencies: its copy, not another's.
  Result (*get_version)(uint32_t*) = nullptr;
  if (!Look(mapped, "cuptiGetVersion", &get_version)) {
    *why = "this torch brings no libcupti of its own";
    return false;
  }
  const bool whole =
      Look(mapped, "cuptiActivityRegisterCallbacks",
           &library->register_callbacks) &&
      Look(mapped, "cuptiActivityEnable", &library->enable) &&
      Look(mapped, "cuptiActivityDisable", &library->disable) &&
      Look(mapped, "cuptiActivityFlushAll", &library->flush_all) &&
      Look(mapped, "cuptiActivityGetNextRecord", &library->next_record) &&
      Look(mapped, "cuptiActivityGetNumDroppedRecords",
           &library->dropped_records);
  if (!whole) {
    *why = "this libcupti has no activity records";
    return false;
  }
  Look(mapped, "cuptiGetResultString", &library->result_string);
  Look(mapped, "cuptiFinalize", &library->finalize);
  Look(mapped, "cuptiActivityEnableAllocationSource",
       &library->allocation_source);
  if (get_version(&library->version) != kSuccess ||
      library->version < kOldestVersion || library->version > kNewestVersion) {
    *why = "its version " + std::to_string(library->version) +
           " of libcupti is not known here";
    return false;
  }
  return true;
}

std::string Text(const Library& library, Result result) {
  const char* text = nullptr;
  if (library.result_string != nullptr &&
      library.result_string(result, &text) == kSuccess && text != nullptr) {
    return text;
  }
  return "error " + std::to_string(result);
}

}  // namespace invact::cupti
