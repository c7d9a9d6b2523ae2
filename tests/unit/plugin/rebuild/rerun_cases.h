// One call of each pointwise op that is run again.
#ifndef INVACT_TESTS_UNIT_PLUGIN_REBUILD_RERUN_CASES_H_
#define INVACT_TESTS_UNIT_PLUGIN_REBUILD_RERUN_CASES_H_

#include <ATen/ATen.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace invact {

struct RerunCase {
  std::string op;
  // Of two tensors of the same shape.
  std::function<at::Tensor(const at::Tensor& x, const at::Tensor& other)> make;
};

std::vector<RerunCase> RerunCases();

// What rerun_norms_test.cc has.
inline const std::set<std::string> kOpsOfRerunNorms = {
    "_log_softmax",      "_softmax",       "embedding",
    "native_batch_norm", "native_dropout", "native_group_norm",
    "native_layer_norm"};

}  // namespace invact

#endif  // INVACT_TESTS_UNIT_PLUGIN_REBUILD_RERUN_CASES_H_
