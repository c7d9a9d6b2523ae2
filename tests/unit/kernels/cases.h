// Which function of the reference a registered activation is, with which
// scalars. Softplus comes twice.
#ifndef INVACT_TESTS_UNIT_KERNELS_CASES_H_
#define INVACT_TESTS_UNIT_KERNELS_CASES_H_

#include <string>
#include <vector>

#include "kernels/reference/reference.h"

namespace invact::kernels {

struct Case {
  std::string op, variant;
  std::string name;
  int reference;  // enum invact_reference_function
  std::vector<double> scalars;
};

inline std::vector<Case> CasesOf(const std::string& op,
                                 const std::string& variant) {
  static const std::vector<Case> kAll = {
      {"aten::gelu", "none", "gelu", INVACT_REFERENCE_GELU, {}},
      {"aten::gelu", "tanh", "gelu_tanh", INVACT_REFERENCE_GELU_TANH, {}},
      {"aten::silu", "", "silu", INVACT_REFERENCE_SILU, {}},
      {"aten::mish", "", "mish", INVACT_REFERENCE_MISH, {}},
      {"aten::hardswish", "", "hardswish", INVACT_REFERENCE_HARDSWISH, {}},
      {"aten::softplus", "", "softplus", INVACT_REFERENCE_SOFTPLUS, {1, 20}},
      {"aten::softplus",
       "",
       "softplus_3_30",
       INVACT_REFERENCE_SOFTPLUS_3_30,
       {3, 30}},
      {"aten::log_sigmoid_forward",
       "",
       "log_sigmoid",
       INVACT_REFERENCE_LOGSIGMOID,
       {}},
      {"aten::hardsigmoid",
       "",
       "hardsigmoid",
       INVACT_REFERENCE_HARDSIGMOID,
       {}},
      {"aten::leaky_relu",
       "",
       "leaky_relu_falling",
       INVACT_REFERENCE_LEAKY_RELU_FALLING,
       {-0.125}}};
  std::vector<Case> found;
  for (const Case& one : kAll) {
    if (one.op == op && one.variant == variant) found.push_back(one);
  }
  return found;
}

}  // namespace invact::kernels

#endif  // INVACT_TESTS_UNIT_KERNELS_CASES_H_
