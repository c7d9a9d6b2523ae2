// Redirects what torch's profiler (Kineto) calls of CUPTI to the Channel, at
// the import slots of the library that it is in. Everything that the Channel
// has no use for is passed on. Threads: as plugin/observe/import_slot.h.
#ifndef INVACT_PLUGIN_CUPTI_KINETO_SLOTS_H_
#define INVACT_PLUGIN_CUPTI_KINETO_SLOTS_H_

namespace invact::cupti {

// Which calls are seen.
struct KinetoSlots {
  bool registers = false, enables = false, disables = false, flushes = false;
};
KinetoSlots RedirectKineto(const char* library) noexcept;

}  // namespace invact::cupti

#endif  // INVACT_PLUGIN_CUPTI_KINETO_SLOTS_H_
