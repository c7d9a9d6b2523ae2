#include "plugin/cupti/kineto_slots.h"

#include "plugin/cupti/channel.h"
#include "plugin/observe/import_slot.h"

namespace invact::cupti {

namespace {

Result Register(RequestBuffer request, CompleteBuffer complete) {
  return Channel::Get().OnRegister(request, complete);
}
Result Enable(uint32_t kind) { return Channel::Get().OnEnable(kind); }
Result Disable(uint32_t kind) { return Channel::Get().OnDisable(kind); }
Result FlushAll(uint32_t flags) { return Channel::Get().OnFlush(flags); }
Result Finalize() { return Channel::Get().OnFinalize(); }

template <typename Function>
void* Address(Function* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

KinetoSlots RedirectKineto(const char* library) noexcept {
  ImportPatch patches[] = {
      {"cuptiActivityRegisterCallbacks", Address(Register)},
      {"cuptiActivityEnable", Address(Enable)},
      {"cuptiActivityDisable", Address(Disable)},
      {"cuptiActivityFlushAll", Address(FlushAll)},
      {"cuptiFinalize", Address(Finalize)}};
  if (!PatchImports(library, patches)) return {};
  return {patches[0].slots > 0, patches[1].slots > 0, patches[2].slots > 0,
          patches[3].slots > 0};
}

}  // namespace invact::cupti
