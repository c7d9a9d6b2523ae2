// A client of CUPTI that does what torch's profiler does, in its order: it
// registers, enables eight kinds, disables them, and takes its buffers with one
// forced flush, but nothing where CUPTI holds none of them. Built as
// libtorch_cpu.so, and twice more with calls that no import slot shows.
#include <dlfcn.h>

#include <map>
#include <memory>
#include <vector>

#include "tests/unit/cupti/fake_cupti.h"

#define FAKE_EXPORT extern "C" __attribute__((visibility("default")))

using Request = void (*)(uint8_t**, size_t*, size_t*);
using Completed = void (*)(void*, uint32_t, uint8_t*, size_t, size_t);
extern "C" {
int cuptiActivityRegisterCallbacks(Request, Completed);
int cuptiActivityEnable(uint32_t);
int cuptiActivityDisable(uint32_t);
int cuptiActivityFlushAll(uint32_t);
int cuptiActivityGetNextRecord(uint8_t*, size_t, void**);
int cuptiFinalize();
}

namespace {

constexpr size_t kBytes = 4 << 20;
constexpr uint32_t kKinds[] = {1, 2, 10, 39, 38, 5, 4, 17};

struct Buffer {
  std::vector<uint8_t> data;
  size_t valid = 0;
};
using Buffers = std::map<uint8_t*, std::unique_ptr<Buffer>>;
Buffers g_allocated, g_ready;
KinetoSession g_session;

// What is hidden from the import table is looked up.
template <typename Function>
Function* Hidden(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}
#ifdef FAKE_HIDES_REGISTER
#define REGISTER \
  Hidden<int(Request, Completed)>("cuptiActivityRegisterCallbacks")
#else
#define REGISTER cuptiActivityRegisterCallbacks
#endif
#ifdef FAKE_HIDES_ENABLE
#define ENABLE Hidden<int(uint32_t)>("cuptiActivityEnable")
#define FLUSH Hidden<int(uint32_t)>("cuptiActivityFlushAll")
#else
#define ENABLE cuptiActivityEnable
#define FLUSH cuptiActivityFlushAll
#endif

void OnRequest(uint8_t** buffer, size_t* bytes, size_t* most) {
  auto fresh = std::make_unique<Buffer>();
  fresh->data.resize(kBytes);
  *buffer = fresh->data.data();
  *bytes = kBytes;
  *most = 0;
  g_allocated[*buffer] = std::move(fresh);
}

void OnCompleted(void*, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  const auto it = g_allocated.find(buffer);
  if (it == g_allocated.end()) {
    ++g_session.unknown_buffers;
    return;
  }
  it->second->valid = valid;
  g_ready[buffer] = std::move(it->second);
  g_allocated.erase(it);
}

}  // namespace

FAKE_EXPORT void kineto_start() {
  g_session = {};
  REGISTER(OnRequest, OnCompleted);
  for (const uint32_t kind : kKinds) ENABLE(kind);
}

FAKE_EXPORT void kineto_warm_up_is_over() {
  if (g_allocated.empty()) return;
  FLUSH(0);
  g_ready.clear();
}

FAKE_EXPORT void kineto_stop_recording() {
  for (const uint32_t kind : kKinds) cuptiActivityDisable(kind);
}

FAKE_EXPORT KinetoSession kineto_collect() {
  if (!g_allocated.empty()) {
    FLUSH(1);
    for (const auto& [address, buffer] : g_ready) {
      void* record = nullptr;
      while (cuptiActivityGetNextRecord(buffer->data.data(), buffer->valid,
                                        &record) == 0) {
        const auto* words = static_cast<const uint32_t*>(record);
        if (words[0] == 10) {
          ++g_session.kernels;
          g_session.numbers_sum += words[25];
        } else {
          ++g_session.unexpected;
        }
      }
    }
    g_ready.clear();
  }
  g_session.left = static_cast<int>(g_allocated.size());
  return g_session;
}

FAKE_EXPORT void kineto_teardown() {
  FLUSH(1);
  cuptiFinalize();
}
