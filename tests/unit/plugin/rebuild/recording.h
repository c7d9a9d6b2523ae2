// What the tests of plugin/rebuild share: ops note how their outputs are made,
// as in a job under policy rebuild, and a tensor is saved as a node would save
// it, without a run that counts it.
#ifndef INVACT_TESTS_UNIT_PLUGIN_REBUILD_RECORDING_H_
#define INVACT_TESTS_UNIT_PLUGIN_REBUILD_RECORDING_H_

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "plugin/rebuild/dropped.h"
#include "plugin/rebuild/rebuild.h"
#include "plugin/rebuild/value.h"

namespace invact {

// While one lives, ops are noted.
class RebuildTest : public ::testing::Test {
 protected:
  RebuildTest();
  ~RebuildTest() override;
};

// PyTorch's own work, as without us.
class Plain {
 public:
  Plain();
  ~Plain();
};

// A tensor as a node keeps it: dropped where that can be, else kept.
class Saved {
 public:
  explicit Saved(const at::Tensor& tensor);
  ~Saved();
  Saved(Saved&& other) = default;
  Saved& operator=(Saved&&) = delete;

  bool dropped() const { return packed_.planned; }
  Reason reason() const { return packed_.reason; }
  Dropped& hook() const { return *packed_.dropped; }
  at::Tensor Read() const { return hook().Read(); }

 private:
  Packed packed_;
  at::Tensor kept_;
};

// A tensor that is kept by other means, so that it costs nothing as a base.
class Kept {
 public:
  explicit Kept(const at::Tensor& tensor)
      : tensor_(tensor), value_(KeepElsewhere(tensor)) {}
  ~Kept() { LetGo(*value_); }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;

 private:
  const at::Tensor tensor_;
  const ValuePtr value_;
};

// The value of the tensor's storage.
ValuePtr ValueOf(const at::Tensor& tensor);

// Sizes, strides, dtype, and each byte of each element.
::testing::AssertionResult SameBits(const at::Tensor& a, const at::Tensor& b);

// Of this dtype, with every kind of number among them: of both signs, nought,
// subnormal, infinite, none.
at::Tensor Numbers(at::IntArrayRef sizes, at::ScalarType dtype);

// Large enough to be rebuilt, also as bool; rows of 256.
inline constexpr int64_t kRows = 96, kColumns = 256;
inline at::Tensor Numbers(at::ScalarType dtype = at::kFloat) {
  return Numbers({kRows, kColumns}, dtype);
}

}  // namespace invact

#endif  // INVACT_TESTS_UNIT_PLUGIN_REBUILD_RECORDING_H_
