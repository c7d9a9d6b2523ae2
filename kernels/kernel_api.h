// The C functions by which a kernel library offers activation functions whose
// backward needs the output y and at most one branch bit an element, not the
// input x.
// The built-in libraries use it, and so does every library that INVACT_KERNELS
// names. Plain C: no torch, no CUDA header, no C++ type crosses.
//
// Memory. Every pointer is to a contiguous range of n elements in storage
// order; layouts and strides are the caller's business. Pointers are aligned to
// their element, no more is asked (16 bytes are faster on CUDA). `side` has
// INVACT_SIDE_BYTES(n) bytes: the bit of element i is bit (i % 8) of byte i /
// 8, and unused bits of the last byte are written 0 and never read. It is NULL
// where the activation has no side bits. n may
// exceed 2^31; n == 0 does nothing and returns 0. An output may be the very
// pointer of an input of the same call (y == x, dx == dy, dx == y, x == y);
// ranges that overlap in any other way are not served.
//
// Threads. All functions but `prepare` are re-entrant and keep no state. CPU
// functions run in the calling thread alone: the caller splits work over
// threads, at multiples of 8 elements so that no byte of `side` is shared.
// CUDA functions enqueue on `stream` (a cudaStream_t) of the current device and
// return: they never synchronise, never allocate, and can be captured in a
// graph. A `side` or `y` freed before the stream ran is the caller's bug, and
// the dangerous one: nothing here can see it.
//
// Errors. 0, INVACT_NOT_PREPARED, or on CUDA a cudaError_t, on CPU
// INVACT_BAD_ARGUMENT. Nothing is written where an error is returned by the
// call itself.
#ifndef INVACT_KERNELS_KERNEL_API_H_
#define INVACT_KERNELS_KERNEL_API_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INVACT_KERNEL_ABI 2

#define INVACT_SIDE_BYTES(n) (((n) + 7) / 8)

enum invact_dtype { INVACT_F32 = 0, INVACT_BF16 = 1, INVACT_F16 = 2 };
enum { INVACT_DTYPES = 3 };

enum invact_device { INVACT_CPU = 0, INVACT_CUDA = 1 };

/* The same number as cudaErrorInvalidValue. */
enum { INVACT_BAD_ARGUMENT = 1 };
/* The dtype wants `prepare` first. No cudaError_t has this number. */
enum { INVACT_NOT_PREPARED = 100001 };

enum { INVACT_PATTERNS = 65536 };

/* Of invact_activation.flags: the bit is 1 only where y has its sign bit set or
   is NaN, so that the host may keep it in y's lowest mantissa bit there
   (INVACT_BITS=mantissa). `mark` does not wait for `prepare` then, and with a
   table it is such a y that `prepare` is given. */
enum { INVACT_BIT_OF_NEGATIVES = 1 };
/* `forward` and `backward` heed INVACT_BIT_IN_Y. To those of other activations
   the host gives bits that it has taken out of y, one pass more each way. */
enum { INVACT_SERVES_BIT_IN_Y = 2 };
/* `forward` follows the formula of some PyTorch. Where its bits differ from the
   installed one's all the same, the host calls PyTorch's forward and `mark`;
   without this flag, or `mark`, such an activation fails its check. */
enum { INVACT_FORWARD_BY_FORMULA = 4 };

/* Of invact_call.flags: the bits are in y, and `side` is NULL. `forward` puts
   them there, `backward` reads them and knows that a negative y stands for two
   neighbouring numbers of the dtype. */
enum { INVACT_BIT_IN_Y = 1 };

/* What every function is told of its call. */
struct invact_call {
  uint32_t size;            /* sizeof(struct invact_call) of the host */
  int32_t dtype;            /* enum invact_dtype */
  void* stream;             /* cudaStream_t; NULL on the CPU */
  const double* parameters; /* the op's scalars in the order of its schema,
                               `parameters` of them; NULL for none */
  uint32_t flags;           /* INVACT_BIT_IN_Y, or 0 */
};

/* One function on all values of a 16-bit dtype, index: the bits of x. Host
   memory, the host's; valid during the call. */
struct invact_patterns {
  uint32_t size;      /* sizeof(struct invact_patterns) of the host */
  uint32_t reserved;  /* 0 */
  const uint16_t* y;  /* bits of what the installed PyTorch gives for x, on the
                         device of the call */
  const float* slope; /* f'(x); NaN for a NaN x */
};

/* One activation function on one device. Static data of the library that
   registers it: valid while that library is mapped, never written. */
struct invact_activation {
  uint32_t size;       /* sizeof(struct invact_activation) of the library */
  uint32_t device;     /* enum invact_device */
  const char* op;      /* "aten::gelu" */
  const char* variant; /* value of the op's string argument, "" for none */
  uint32_t dtypes;     /* bit mask, 1 << enum invact_dtype */
  uint32_t side_bits;  /* bits of side data an element: 0 or 1 */

  /* Dtypes (bit mask) in which `forward` is written to give the very bits of
     PyTorch's forward. In the others call PyTorch's forward for y, then
     `mark`: the two differ in the last place. */
  uint32_t forward_exact;
  uint32_t parameters;   /* scalars that the op has beside x and the variant */
  uint32_t table_dtypes; /* dtypes (bit mask) that want `prepare` first */
  uint32_t flags;        /* INVACT_BIT_OF_NEGATIVES to _FORWARD_BY_FORMULA */

  /* Stated bound, by enum invact_dtype, of |f'(decoded from y) - f'(x)| with
     y as PyTorch rounds it: the largest over all finite x, and the root mean
     square for x ~ N(0, 1). dx's own rounding comes on top. */
  double error_max[INVACT_DTYPES];
  double error_rms[INVACT_DTYPES];

  /* 1 where the function can be told from its output with these scalars, 0
     where not. NULL: with all. */
  int (*accepts)(const double* parameters);
  /* Learns y and f' of every pattern of a 16-bit dtype for the current device.
     Called once per device and dtype, never inside a graph capture, before any
     other function with that dtype there. Enqueues on call->stream what it has
     to copy, from memory that it keeps until then. NULL where table_dtypes is
     0. */
  int (*prepare)(const struct invact_call* call,
                 const struct invact_patterns* patterns);
  /* Writes y = f(x) and the branch bits (1 where x is left of the minimum). */
  int (*forward)(const struct invact_call* call, const void* x, void* y,
                 void* side, int64_t n);
  /* Writes dx = dy * f'(x), x told from y and its bit. */
  int (*backward)(const struct invact_call* call, const void* y,
                  const void* side, const void* dy, void* dx, int64_t n);
  /* Writes the x with f(x) == y as near as the stored y tells; for double
     backward and for a y that is about to be overwritten. Where many x have
     one y (a flat piece), the x written is one of that piece. Left of a
     minimum, where y is nearer to 0 than 1e-6 of the minimum, x is held at the
     end of the table: f and f' there are below 1e-6 either way. */
  int (*reconstruct)(const struct invact_call* call, const void* y,
                     const void* side, void* x, int64_t n);
  /* Writes the branch bits alone, from x, beside a y that PyTorch computed.
     May be NULL: then only `forward` can be used; never called where there are
     no side bits. `y` may be NULL where the library needs only x (the built-in
     ones). */
  int (*mark)(const struct invact_call* call, const void* x, const void* y,
              void* side, int64_t n);
};

/* Given by the host to the registration function below. */
struct invact_registry {
  uint32_t size; /* sizeof(struct invact_registry) of the host */
  uint32_t abi;  /* INVACT_KERNEL_ABI of the host */
  void* ctx;
  /* Returns 0, or non-zero where the host refuses: the library goes on with
     its next one. */
  int (*add)(void* ctx, const struct invact_activation* activation);
};

/* The one symbol that a kernel library exports. Calls `add` once for each
   activation, in the calling thread, and keeps nothing of `registry`. Touches
   no device. Returns 0, or INVACT_BAD_ARGUMENT where it does not know the
   host's abi (nothing is added then). */
int invact_register_kernels(const struct invact_registry* registry);

/* The CPU functions are linked into the plugin, under a name of their own. */
int invact_register_cpu_kernels(const struct invact_registry* registry);

/* Services of the two built-in libraries, not asked of others: the branch bits
   into the lowest mantissa bit of each y that is NaN or finite with its sign
   bit set, and out of it; other y are not touched, and their bit is 0. NaN
   stays NaN, of either sign. Bits are taken out of what they were put into
   only. Memory, threads and errors as above. */
int invact_put_bits_in_y(const struct invact_call* call, void* y,
                         const void* side, int64_t n);
int invact_take_bits_from_y(const struct invact_call* call, const void* y,
                            void* side, int64_t n);
int invact_put_bits_in_y_cpu(const struct invact_call* call, void* y,
                             const void* side, int64_t n);
int invact_take_bits_from_y_cpu(const struct invact_call* call, const void* y,
                                void* side, int64_t n);

#ifdef __cplusplus
}
#endif

#endif /* INVACT_KERNELS_KERNEL_API_H_ */
