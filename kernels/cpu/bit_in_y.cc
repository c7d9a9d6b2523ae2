#include "kernels/bit_in_y.h"

#include <algorithm>
#include <cstring>

#include "kernels/kernel_api.h"

namespace {

using invact::kernels::WithBitInY;

bool Good(const invact_call* call, const void* y, const void* side, int64_t n) {
  return call != nullptr && n >= 0 &&
         (n == 0 || (y != nullptr && side != nullptr));
}

// `body` of each group of eight: first element, how many, the byte's number.
template <class Body>
void OverGroups(int64_t n, Body body) {
  for (int64_t first = 0; first < n; first += 8) {
    body(first, static_cast<int>(std::min<int64_t>(8, n - first)), first / 8);
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
    OverGroups(n, [=](int64_t first, int count, int64_t byte) {
      for (int k = 0; k < count; ++k) {
        words[first + k] = How::Put(words[first + k], bytes[byte] >> k & 1);
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
    OverGroups(n, [=](int64_t first, int count, int64_t byte) {
      unsigned bits = 0;
      for (int k = 0; k < count; ++k) bits |= How::Take(words[first + k]) << k;
      bytes[byte] = static_cast<uint8_t>(bits);
    });
    return 0;
  });
}
