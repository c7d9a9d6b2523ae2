// What a recorded op is called in plugin/fuse.
//
// Threads: any.
#ifndef INVACT_PLUGIN_REBUILD_FUSE_STEP_H_
#define INVACT_PLUGIN_REBUILD_FUSE_STEP_H_

#include <array>
#include <optional>
#include <string_view>

#include "plugin/fuse/program.h"
#include "plugin/rebuild/value.h"

namespace invact {

// An operand: an input of the recipe, or a number.
struct FuseOperand {
  const Recipe::Input* input = nullptr;
  double number = 0;
};
struct FuseStep {
  fuse::Op op;
  fuse::Dtype result;
  FuseOperand a;
  std::optional<FuseOperand> b;
  double alpha = 1;
  // Of a layer norm, in the order of fuse::Step; nullptr where there is none.
  std::array<const Recipe::Input*, 4> norm = {};
};

// Nothing where a kernel can't have it.
std::optional<FuseStep> FuseStepOf(const Recipe& recipe);
// Whether a kernel can have the op of this name with some arguments.
bool IsPointwise(std::string_view op);
std::optional<fuse::Dtype> FuseDtypeOf(const caffe2::TypeMeta& dtype);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_FUSE_STEP_H_
