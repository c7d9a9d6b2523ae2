#include "tests/unit/kernels/harness.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/kernels/number.h"

namespace invact::kernels {
namespace {

constexpr size_t kGuard = 64;
constexpr uint8_t kGuardByte = 0xA5;

Bytes Pack(int dtype, const Bits& bits) {
  const size_t size = kFormats[dtype].bytes;
  Bytes bytes(bits.size() * size);
  for (size_t i = 0; i < bits.size(); ++i) {
    std::memcpy(&bytes[i * size], &bits[i], size);  // little-endian
  }
  return bytes;
}

Bits Unpack(int dtype, const Bytes& bytes) {
  const size_t size = kFormats[dtype].bytes;
  Bits bits(bytes.size() / size);
  for (size_t i = 0; i < bits.size(); ++i) {
    std::memcpy(&bits[i], &bytes[i * size], size);
  }
  return bits;
}

// `content` in the subject's memory between two guards.
class Buffer {
 public:
  Buffer(Memory& memory, const Bytes& content, size_t offset)
      : memory_(memory), size_(content.size()), before_(kGuard + offset) {
    Bytes all(before_ + size_ + kGuard, kGuardByte);
    if (size_ > 0) std::memcpy(&all[before_], content.data(), size_);
    base_ = static_cast<uint8_t*>(memory_.Allocate(all.size()));
    memory_.CopyIn(base_, all.data(), all.size());
  }
  ~Buffer() { memory_.Free(base_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return base_ + before_; }
  void* data_or_null(bool wanted) const { return wanted ? data() : nullptr; }

  Bytes Content() const {
    Bytes all(before_ + size_ + kGuard);
    memory_.CopyOut(all.data(), base_, all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      if (i >= before_ && i < before_ + size_) continue;
      if (all[i] != kGuardByte) {
        ADD_FAILURE() << "a byte was written at " << i - before_
                      << " of a buffer of " << size_;
        break;
      }
    }
    return Bytes(all.begin() + before_, all.begin() + before_ + size_);
  }

 private:
  Memory& memory_;
  size_t size_, before_;
  uint8_t* base_;
};

}  // namespace

invact_call Harness::Call() const {
  return {sizeof(invact_call), dtype_, nullptr,
          subject_.scalars.empty() ? nullptr : subject_.scalars.data(), 0};
}

Bytes Harness::SideBytes(size_t count, uint8_t fill) const {
  return Bytes(subject_.activation->side_bits * INVACT_SIDE_BYTES(count), fill);
}

Forwarded Harness::Forward(const Bits& x) const {
  Memory& memory = *subject_.memory;
  const invact_call call = Call();
  const size_t shift = offset_ * kFormats[dtype_].bytes;
  const Bytes in = Pack(dtype_, x);
  Buffer xs(memory, in, shift);
  Buffer ys(memory, Bytes(in.size(), 0xff), shift);
  Buffer side(memory, SideBytes(x.size(), 0xff), offset_);
  EXPECT_EQ(subject_.activation->forward(&call, xs.data(), ys.data(),
                                         side.data_or_null(Marks()), x.size()),
            0);
  EXPECT_EQ(xs.Content(), in) << "the input was written";
  return {Unpack(dtype_, ys.Content()), side.Content()};
}

Forwarded Harness::ForwardInPlace(const Bits& x) const {
  Memory& memory = *subject_.memory;
  const invact_call call = Call();
  Buffer values(memory, Pack(dtype_, x), 0);
  Buffer side(memory, SideBytes(x.size(), 0), 0);
  EXPECT_EQ(subject_.activation->forward(&call, values.data(), values.data(),
                                         side.data_or_null(Marks()), x.size()),
            0);
  return {Unpack(dtype_, values.Content()), side.Content()};
}

Bytes Harness::Mark(const Bits& x) const {
  Memory& memory = *subject_.memory;
  const invact_call call = Call();
  Buffer xs(memory, Pack(dtype_, x), offset_ * kFormats[dtype_].bytes);
  Buffer side(memory, SideBytes(x.size(), 0xff), offset_);
  EXPECT_EQ(subject_.activation->mark(&call, xs.data(), nullptr,
                                      side.data_or_null(Marks()), x.size()),
            0);
  return side.Content();
}

Bits Harness::Backward(const Bits& y, const Bytes& side, const Bits& dy) const {
  Memory& memory = *subject_.memory;
  const invact_call call = Call();
  const size_t shift = offset_ * kFormats[dtype_].bytes;
  Buffer ys(memory, Pack(dtype_, y), shift);
  Buffer sides(memory, side, offset_);
  Buffer dys(memory, Pack(dtype_, dy), shift);
  Buffer dxs(memory, Bytes(y.size() * kFormats[dtype_].bytes, 0xff), shift);
  EXPECT_EQ(subject_.activation->backward(&call, ys.data(),
                                          sides.data_or_null(Marks()),
                                          dys.data(), dxs.data(), y.size()),
            0);
  EXPECT_EQ(sides.Content(), side) << "the bits were written";
  return Unpack(dtype_, dxs.Content());
}

Bits Harness::BackwardIntoDy(const Bits& y, const Bytes& side,
                             const Bits& dy) const {
  Memory& memory = *subject_.memory;
  const invact_call call = Call();
  Buffer ys(memory, Pack(dtype_, y), 0);
  Buffer sides(memory, side, 0);
  Buffer gradient(memory, Pack(dtype_, dy), 0);
  EXPECT_EQ(subject_.activation->backward(
                &call, ys.data(), sides.data_or_null(Marks()), gradient.data(),
                gradient.data(), y.size()),
            0);
  return Unpack(dtype_, gradient.Content());
}

Bits Harness::Reconstruct(const Bits& y, const Bytes& side) const {
  Memory& memory = *subject_.memory;
  const invact_call call = Call();
  const size_t shift = offset_ * kFormats[dtype_].bytes;
  Buffer ys(memory, Pack(dtype_, y), shift);
  Buffer sides(memory, side, offset_);
  Buffer xs(memory, Bytes(y.size() * kFormats[dtype_].bytes, 0xff), shift);
  EXPECT_EQ(
      subject_.activation->reconstruct(
          &call, ys.data(), sides.data_or_null(Marks()), xs.data(), y.size()),
      0);
  return Unpack(dtype_, xs.Content());
}

}  // namespace invact::kernels
