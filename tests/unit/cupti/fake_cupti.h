// A CUPTI without a device, in the place of the real one: same SONAME, the
// functions of the Activity API that the plugin and torch's profiler call, and
// a handle for tests to make things happen. It keeps records as the real one
// does: one behind the other, in a buffer of each thread that makes them.
#ifndef INVACT_TESTS_UNIT_CUPTI_FAKE_CUPTI_H_
#define INVACT_TESTS_UNIT_CUPTI_FAKE_CUPTI_H_

#include <cstddef>
#include <cstdint>

extern "C" {

struct FakeMemory {
  bool alloc;
  uint32_t kind;  // 2 pinned, 3 device, 5 managed
  uint64_t address, bytes, time_ns;
  uint32_t device;
  const char* source;
  bool is_async;
  uint64_t pool_address, pool_bytes;
};

void fake_memory(const FakeMemory* memory);
void fake_pool(uint32_t operation, uint64_t address, uint64_t bytes,
               uint64_t time_ns);
// A kernel: complete at once, or when fake_kernels_end is called. `number` is
// in its record.
void fake_kernel(uint32_t number, bool complete);
void fake_kernels_end();
// The thread that the next records are of.
void fake_thread(int thread);

void fake_set_version(uint32_t version);
// The next call of that function fails with this result.
void fake_fail(const char* function, int result);
void fake_drop(size_t records);  // as if there had been no room

// What the library saw.
struct FakeSeen {
  int registers, forced_flushes, flushes, finalizes, subscribes;
  int declined;      // requests that gave no buffer
  int outstanding;   // buffers that it holds
  uint64_t enabled;  // kinds, a bit each
  bool sources;
};
FakeSeen fake_seen();

// --- a client like torch's profiler (fake_kineto.cc)
// --------------------------

struct KinetoSession {
  int kernels;           // records of kernels
  int unexpected;        // records of kinds that it did not enable
  uint64_t numbers_sum;  // of the kernels' numbers
  int unknown_buffers;   // completed, but not its own
  int left;              // buffers that it gave away and never got back
};
void kineto_start();
void kineto_warm_up_is_over();  // what was recorded so far is thrown away
void kineto_stop_recording();   // kinds disabled
KinetoSession kineto_collect();
void kineto_teardown();  // TEARDOWN_CUPTI=1
}

#endif  // INVACT_TESTS_UNIT_CUPTI_FAKE_CUPTI_H_
