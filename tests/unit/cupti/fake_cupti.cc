#include "tests/unit/cupti/fake_cupti.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#define FAKE_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using Request = void (*)(uint8_t**, size_t*, size_t*);
using Completed = void (*)(void*, uint32_t, uint8_t*, size_t, size_t);

constexpr uint32_t kKernel = 10, kMemory = 49, kPool = 50;
constexpr size_t kKernelBytes = 216;
constexpr int kMaxLimitReached = 12;

struct Buffer {
  uint8_t* data = nullptr;
  size_t size = 0, used = 0;
  bool incomplete = false;  // a kernel in it has not ended
};

struct Cupti {
  uint32_t version = 130001;
  Request request = nullptr;
  Completed completed = nullptr;
  std::map<int, Buffer> buffers;  // by thread
  int thread = 0;
  uint64_t enabled = 0;
  bool sources = false;
  size_t dropped = 0;
  std::map<std::string, int> fails;
  FakeSeen seen = {};
};
Cupti g;

int Failing(const char* function) {
  const auto it = g.fails.find(function);
  if (it == g.fails.end()) return 0;
  const int result = it->second;
  g.fails.erase(it);
  return result;
}

size_t MemoryBytes() {
  return g.version >= 20 ? 128 : (g.version >= 17 ? 120 : 112);
}

size_t BytesOf(uint32_t kind) {
  switch (kind) {
    case kKernel:
      return kKernelBytes;
    case kMemory:
      return MemoryBytes();
    case kPool:
      return g.version >= 130000 ? 80 : 72;
    default:
      return 0;
  }
}

void Return(int thread) {
  const Buffer buffer = g.buffers[thread];
  g.buffers.erase(thread);
  // The real one calls with none of its locks held, from any thread.
  g.completed(nullptr, 0, buffer.data, buffer.size, buffer.used);
}

void Put(uint32_t kind, const void* record, bool complete) {
  if ((g.enabled >> kind & 1) == 0 || g.request == nullptr) return;
  const size_t bytes = BytesOf(kind);
  if (g.buffers.contains(g.thread) &&
      g.buffers[g.thread].used + bytes > g.buffers[g.thread].size) {
    Return(g.thread);
  }
  if (!g.buffers.contains(g.thread)) {
    Buffer fresh;
    size_t most = 0;
    g.request(&fresh.data, &fresh.size, &most);
    if (fresh.data == nullptr) {
      if (g.version < 27) abort();  // what older versions do
      ++g.seen.declined;
      ++g.dropped;
      return;
    }
    g.buffers[g.thread] = fresh;
  }
  Buffer& buffer = g.buffers[g.thread];
  std::memcpy(buffer.data + buffer.used, record, bytes);
  buffer.used += bytes;
  buffer.incomplete |= !complete;
}

template <typename T>
void At(uint8_t* record, size_t offset, T value) {
  std::memcpy(record + offset, &value, sizeof(value));
}

}  // namespace

// Offsets as in NVIDIA's headers: activity_buffer_test checks those of the
// reader against the headers themselves.
FAKE_EXPORT void fake_memory(const FakeMemory* m) {
  uint8_t record[128] = {};
  At<uint32_t>(record, 0, kMemory);
  At<uint32_t>(record, 4, m->alloc ? 1 : 2);
  At<uint32_t>(record, 8, m->kind);
  At(record, 16, m->address);
  At(record, 24, m->bytes);
  At(record, 32, m->time_ns);
  At(record, 52, m->device);
  At<uint32_t>(record, 72, m->is_async ? 1 : 0);
  At<uint32_t>(record, 80, m->is_async ? 1 : 0);
  At(record, 88, m->pool_address);
  At(record, 104, m->pool_bytes);
  // Behind a shorter record stands the next one.
  if (g.sources) At(record, 120, m->source);
  Put(kMemory, record, true);
}

FAKE_EXPORT void fake_pool(uint32_t operation, uint64_t address, uint64_t bytes,
                           uint64_t time_ns) {
  uint8_t record[80] = {};
  At<uint32_t>(record, 0, kPool);
  At(record, 4, operation);
  At<uint32_t>(record, 8, 1);
  At(record, 32, address);
  At(record, 40, bytes);
  At(record, 56, time_ns);
  Put(kPool, record, true);
}

FAKE_EXPORT void fake_kernel(uint32_t number, bool complete) {
  uint8_t record[kKernelBytes] = {};
  At<uint32_t>(record, 0, kKernel);
  At(record, 100, number);
  Put(kKernel, record, complete);
}
FAKE_EXPORT void fake_kernels_end() {
  for (auto& [thread, buffer] : g.buffers) buffer.incomplete = false;
}
FAKE_EXPORT void fake_thread(int thread) { g.thread = thread; }
FAKE_EXPORT void fake_set_version(uint32_t version) { g.version = version; }
FAKE_EXPORT void fake_fail(const char* function, int result) {
  g.fails[function] = result;
}
FAKE_EXPORT void fake_drop(size_t records) { g.dropped += records; }
FAKE_EXPORT FakeSeen fake_seen() {
  FakeSeen seen = g.seen;
  seen.outstanding = static_cast<int>(g.buffers.size());
  seen.enabled = g.enabled;
  seen.sources = g.sources;
  return seen;
}

FAKE_EXPORT int cuptiGetVersion(uint32_t* version) {
  *version = g.version;
  return 0;
}
FAKE_EXPORT int cuptiActivityRegisterCallbacks(Request request,
                                               Completed completed) {
  if (const int failing = Failing("register")) return failing;
  ++g.seen.registers;
  g.request = request;
  g.completed = completed;
  return 0;
}
FAKE_EXPORT int cuptiActivityEnable(uint32_t kind) {
  if (const int failing = Failing("enable")) return failing;
  g.enabled |= uint64_t{1} << kind;
  return 0;
}
FAKE_EXPORT int cuptiActivityDisable(uint32_t kind) {
  g.enabled &= ~(uint64_t{1} << kind);
  return 0;
}
FAKE_EXPORT int cuptiActivityFlushAll(uint32_t flags) {
  ++((flags & 1) != 0 ? g.seen.forced_flushes : g.seen.flushes);
  for (auto it = g.buffers.begin(); it != g.buffers.end();) {
    const auto next = std::next(it);
    if ((flags & 1) != 0 || !it->second.incomplete) Return(it->first);
    it = next;
  }
  return 0;
}
FAKE_EXPORT int cuptiActivityGetNextRecord(uint8_t* buffer, size_t valid,
                                           void** record) {
  auto* at = static_cast<uint8_t*>(*record);
  if (at == nullptr) {
    if (valid == 0) return kMaxLimitReached;
    *record = buffer;
    return 0;
  }
  uint32_t kind;
  std::memcpy(&kind, at, sizeof(kind));
  at += BytesOf(kind);
  if (at >= buffer + valid) return kMaxLimitReached;
  *record = at;
  return 0;
}
FAKE_EXPORT int cuptiActivityGetNumDroppedRecords(void*, uint32_t,
                                                  size_t* count) {
  *count = g.dropped;
  g.dropped = 0;
  return 0;
}
FAKE_EXPORT int cuptiActivityEnableAllocationSource(uint8_t enable) {
  g.sources = enable != 0;
  return 0;
}
FAKE_EXPORT int cuptiGetResultString(int result, const char** text) {
  *text = result == 39 ? "CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED"
                       : "CUPTI_ERROR_UNKNOWN";
  return 0;
}
FAKE_EXPORT int cuptiFinalize() {
  ++g.seen.finalizes;
  g.request = nullptr;
  g.completed = nullptr;
  g.buffers.clear();  // whoever gave them never gets them back
  g.enabled = 0;
  g.sources = false;
  return 0;
}
FAKE_EXPORT int cuptiSubscribe(void*, void*, void*) {
  ++g.seen.subscribes;
  return 0;
}
