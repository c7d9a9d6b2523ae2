// Runs one function of a subject on numbers given as bits, in guarded buffers:
// a write outside a buffer fails the test. Where the activation has no side
// bits, `side` is empty and the kernel gets no pointer.
#ifndef INVACT_TESTS_UNIT_KERNELS_HARNESS_H_
#define INVACT_TESTS_UNIT_KERNELS_HARNESS_H_

#include <cstdint>
#include <vector>

#include "tests/unit/kernels/subject.h"

namespace invact::kernels {

using Bits = std::vector<uint32_t>;  // one element each
using Bytes = std::vector<uint8_t>;

struct Forwarded {
  Bits y;
  Bytes side;
};

class Harness {
 public:
  // Every buffer starts `offset` elements after an aligned address.
  Harness(const Subject& subject, int dtype, int offset = 0)
      : subject_(subject), dtype_(dtype), offset_(offset) {}

  Forwarded Forward(const Bits& x) const;
  Forwarded ForwardInPlace(const Bits& x) const;
  Bytes Mark(const Bits& x) const;
  Bits Backward(const Bits& y, const Bytes& side, const Bits& dy) const;
  Bits BackwardIntoDy(const Bits& y, const Bytes& side, const Bits& dy) const;
  Bits Reconstruct(const Bits& y, const Bytes& side) const;

 private:
  bool Marks() const { return subject_.activation->side_bits > 0; }
  invact_call Call() const;
  Bytes SideBytes(size_t count, uint8_t fill) const;

  const Subject& subject_;
  int dtype_, offset_;
};

}  // namespace invact::kernels

#endif  // INVACT_TESTS_UNIT_KERNELS_HARNESS_H_
