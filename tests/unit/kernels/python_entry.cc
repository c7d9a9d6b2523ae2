// Plain C doors for ctypes: the registered CPU activation of an op, and the
// reference in whole arrays.
#include <cstring>

#include "kernels/kernel_api.h"
#include "kernels/reference/reference.h"

#define INVACT_DOOR extern "C" __attribute__((visibility("default")))

namespace {

struct Wanted {
  const char* op;
  const char* variant;
  const invact_activation* found;
};

int Match(void* ctx, const invact_activation* activation) {
  auto* wanted = static_cast<Wanted*>(ctx);
  if (std::strcmp(activation->op, wanted->op) == 0 &&
      std::strcmp(activation->variant, wanted->variant) == 0) {
    wanted->found = activation;
  }
  return 0;
}

}  // namespace

INVACT_DOOR const invact_activation* FindActivation(const char* op,
                                                    const char* variant) {
  Wanted wanted = {op, variant, nullptr};
  const invact_registry registry = {sizeof(invact_registry), INVACT_KERNEL_ABI,
                                    &wanted, Match};
  invact_register_cpu_kernels(&registry);
  return wanted.found;
}

INVACT_DOOR void ReferenceValues(int function, const double* x, double* value,
                                 double* slope, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    value[i] = invact_reference_value(function, x[i]);
    slope[i] = invact_reference_slope(function, x[i]);
  }
}

INVACT_DOOR double ReferenceMinimum(int function) {
  return invact_reference_minimum(function);
}

INVACT_DOOR double ReferenceInverse(int function, double y, int left) {
  return invact_reference_inverse(function, y, left);
}
