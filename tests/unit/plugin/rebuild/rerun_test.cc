// Each op that is run again gives the bits that it gave, on the CPU: in every
// dtype, from dense, transposed, sliced and expanded inputs, of every kind of
// number. That no op is missing here is told by torch's dispatcher.
#include "plugin/rebuild/rerun.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugin/rebuild/recorded_op.h"
#include "tests/unit/plugin/rebuild/recording.h"
#include "tests/unit/plugin/rebuild/rerun_cases.h"

namespace invact {
namespace {

constexpr at::ScalarType kDtypes[] = {at::kFloat, at::kBFloat16, at::kHalf,
                                      at::kDouble};

// Of a larger tensor, in other ways than densely.
at::Tensor Laid(const std::string& how, at::ScalarType dtype) {
  if (how == "transposed") return Numbers({kColumns, kRows}, dtype).t();
  if (how == "sliced") {
    return Numbers({kRows + 3, 2 * kColumns}, dtype)
        .slice(0, 3)
        .slice(1, 1, 2 * kColumns, 2);
  }
  if (how == "expanded") {
    return Numbers({kRows, 1, kColumns / 2}, dtype)
        .expand({kRows, 2, kColumns / 2});
  }
  return Numbers(dtype);
}

class Rerun : public RebuildTest {
 protected:
  // Whether the op's output was dropped; it is then read, and compared.
  static bool Compared(const RerunCase& one, const at::Tensor& x,
                       const at::Tensor& other) {
    const Kept kept(x), kept_too(other);
    at::Tensor made;
    try {
      made = one.make(x, other);
    } catch (const c10::Error&) {
      return false;  // no such op of this dtype
    }
    const at::Tensor expected = made.clone();
    const ValuePtr value = ValueOf(made);
    if (value->recipe == nullptr) return false;
    EXPECT_EQ(value->recipe->op->name, one.op);
    const Saved saved(made);
    made.reset();
    if (!saved.dropped()) return false;
    EXPECT_EQ(value->address.use_count(), 0U) << "it is still there";
    const at::Tensor rebuilt = saved.Read();
    EXPECT_TRUE(SameBits(rebuilt, expected));
    return true;
  }
};

TEST_F(Rerun, EachOpGivesTheBitsThatItGave) {
  for (const RerunCase& one : RerunCases()) {
    int compared = 0;
    for (const at::ScalarType dtype : kDtypes) {
      for (const char* how : {"dense", "transposed", "sliced", "expanded"}) {
        SCOPED_TRACE(one.op + " " + c10::toString(dtype) + " " + how);
        compared += Compared(one, Laid(how, dtype), Laid(how, dtype).neg());
      }
    }
    // Some ops have no 16 bit kernels, or give a layout of their own.
    EXPECT_GE(compared, 8) << one.op;
  }
}

TEST_F(Rerun, EachCastGivesTheBitsThatItGave) {
  const at::ScalarType from[] = {at::kFloat,  at::kBFloat16, at::kHalf,
                                 at::kDouble, at::kLong,     at::kInt,
                                 at::kByte,   at::kBool};
  for (const at::ScalarType source : from) {
    for (const at::ScalarType target : kDtypes) {
      if (source == target) continue;
      SCOPED_TRACE(std::string(c10::toString(source)) + " to " +
                   c10::toString(target));
      for (const char* how : {"dense", "transposed", "sliced", "expanded"}) {
        const at::Tensor x = Laid(how, source);
        EXPECT_TRUE(Compared(
            {"_to_copy", [&](const at::Tensor& t,
                             const at::Tensor&) { return t.to(target); }},
            x, x));
      }
    }
  }
}

TEST_F(Rerun, ChainsAndViewsGiveTheBitsThatTheyGave) {
  const at::Tensor x = Numbers(at::kBFloat16);
  const Kept kept(x);
  at::Tensor made =
      at::silu(x.to(at::kFloat).view({-1, 64}).transpose(0, 1)).exp();
  made = (made * 0.5).transpose(0, 1).tanh();
  const at::Tensor part = made.narrow(0, 5, 7);
  const at::Tensor expected = part.clone();
  const Saved saved(part);
  ASSERT_TRUE(saved.dropped());
  made.reset();

  EXPECT_TRUE(SameBits(saved.Read().contiguous(), expected));
}

TEST_F(Rerun, WhatTheJobSetsMeanwhileDoesNotReachIt) {
  const at::Tensor x = Numbers();
  const Kept kept(x);
  at::Tensor made = x.exp().tanh();
  const at::Tensor expected = made.clone();
  const Saved saved(made);
  made.reset();
  const auto before = at::autocast::get_autocast_dtype(at::kCPU);

  const c10::InferenceMode inference;
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const at::Tensor rebuilt = saved.Read();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::set_autocast_dtype(at::kCPU, before);

  EXPECT_FALSE(rebuilt.is_inference());
  EXPECT_FALSE(rebuilt.requires_grad());
  EXPECT_TRUE(SameBits(rebuilt, expected));
}

// Ops that noted how they made their output, as torch's dispatcher knows them.
std::set<std::string> RegisteredOps() {
  std::set<std::string> ops;
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0) continue;
    const auto op = dispatcher.findOp(name);
    if (!op.has_value() ||
        op->dumpState().find("rebuild/recorded_op.cc") == std::string::npos) {
      continue;
    }
    ops.insert(name.name.substr(6) +
               (name.overload_name.empty() ? "" : "." + name.overload_name));
  }
  return ops;
}

TEST_F(Rerun, NoOpThatIsRunAgainIsMissingHere) {
  std::set<std::string> tested = {"_to_copy"};
  for (const RerunCase& one : RerunCases()) tested.insert(one.op);
  tested.insert(kOpsOfRerunNorms.begin(), kOpsOfRerunNorms.end());

  EXPECT_EQ(tested, RegisteredOps());
}

}  // namespace
}  // namespace invact
