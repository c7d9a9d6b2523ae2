/* Masks of one byte an element, packed to one bit and back. Element i is bit
   i % 8 of byte i / 8 of INVACT_SIDE_BYTES(n) bytes (kernel_api.h); unused bits
   of the last byte are written 0 and never read. Any byte but 0 packs to 1;
   unpacking writes 0 and 1. n may exceed 2^31; n == 0 does nothing.

   The two ranges must not overlap. Any alignment; on CUDA 16 bytes are faster.

   Threads and errors as in kernel_api.h: the CPU functions run in the calling
   thread, callers split work at multiples of 8 elements; the CUDA functions
   enqueue on a cudaStream_t of the current device, allocate and wait for
   nothing, and return a cudaError_t. The CUDA ones leave libinvact-cuda.so
   under the names given. */
#ifndef INVACT_KERNELS_BITS_BITS_H_
#define INVACT_KERNELS_BITS_BITS_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One type for all four; `stream` is NULL on the CPU. */
typedef int (*invact_bits_function)(void* stream, const void* from, void* to,
                                    int64_t n);

int invact_pack_bits_cpu(void* stream, const void* bytes, void* bits,
                         int64_t n);
int invact_unpack_bits_cpu(void* stream, const void* bits, void* bytes,
                           int64_t n);
int invact_pack_bits_cuda(void* stream, const void* bytes, void* bits,
                          int64_t n);
int invact_unpack_bits_cuda(void* stream, const void* bits, void* bytes,
                            int64_t n);

#ifdef __cplusplus
}

namespace invact::kernels {

// The CPU's builds, best first; the last one, portable, is always supported.
// For tests: the functions above take the best one supported.
struct BitsIsa {
  const char* name;
  bool supported;  // by this processor
  void (*pack)(const uint8_t* bytes, uint8_t* bits, int64_t n);
  void (*unpack)(const uint8_t* bits, uint8_t* bytes, int64_t n);
};
struct BitsIsas {
  BitsIsa isas[3];
  int count;
};
BitsIsas KnownBitsIsas();

}  // namespace invact::kernels
#endif

#endif /* INVACT_KERNELS_BITS_BITS_H_ */
