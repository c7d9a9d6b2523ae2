#include "kernels/bit_in_y.h"

#include <algorithm>

#include "kernels/bits/bits.h"
#include "kernels/kernel_api.h"

namespace {

using invact::kernels::WithBitInY;

bool Good(const invact_call* call, const void* y, const void* side, int64_t n) {
  return call != nullptr && n >= 0 &&
         (n == 0 || (y != nullptr && side != nullptr));
}

// Elements whose bits are held as bytes on the stack between two loops: both
// are plain, so that the compiler makes vectors of them.
constexpr int64_t kPart = 1024;

// `body` of each part: first element and how many.
template <class Body>
void OverParts(int64_t n, Body body) {
  for (int64_t first = 0; first < n; first += kPart) {
    body(first, std::min(kPart, n - first));
  }
}

}  // namespace

extern "C" int invact_put_bits_in_y_cpu(const invact_call* call, void* y,
                                        const void* side, int64_t n) {
  if (!Good(call, y, side, n)) return INVACT_BAD_ARGUMENT;
  return WithBitInY(call->dtype, INVACT_BAD_ARGUMENT, [=](auto how) {
    using How = decltype(how);
    auto* words = static_cast<typename How::Bits*>(y);
    const auto* bytes = static_cast<const uint8_t*>(side);
    OverParts(n, [=](int64_t first, int64_t count) {
      uint8_t bits[kPart];
      invact_unpack_bits_cpu(nullptr, bytes + first / 8, bits, count);
      for (int64_t k = 0; k < count; ++k) {
        words[first + k] = How::Put(words[first + k], bits[k]);
      }
    });
    return 0;
  });
}

extern "C" int invact_take_bits_from_y_cpu(const invact_call* call,
                                           const void* y, void* side,
                                           int64_t n) {
  if (!Good(call, y, side, n)) return INVACT_BAD_ARGUMENT;
  return WithBitInY(call->dtype, INVACT_BAD_ARGUMENT, [=](auto how) {
    using How = decltype(how);
    const auto* words = static_cast<const typename How::Bits*>(y);
    auto* bytes = static_cast<uint8_t*>(side);
    OverParts(n, [=](int64_t first, int64_t count) {
      uint8_t bits[kPart];
      for (int64_t k = 0; k < count; ++k) {
        bits[k] = static_cast<uint8_t>(How::Take(words[first + k]));
      }
      invact_pack_bits_cpu(nullptr, bits, bytes + first / 8, count);
    });
    return 0;
  });
}
