#include "kernels/cpu/isa.h"
#include "kernels/kernel_api.h"

namespace invact::kernels {

IsaList KnownIsas() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") &&
                    __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  return {{{"avx512", avx512, Avx512Set()},
           {"avx2", avx2, Avx2Set()},
           {"portable", true, PortableSet()}},
          3};
#else
  return {{{"portable", true, PortableSet()}}, 1};
#endif
}

}  // namespace invact::kernels

extern "C" int invact_register_cpu_kernels(const invact_registry* registry) {
  using invact::kernels::ActivationSet;
  using invact::kernels::IsaList;
  if (!registry || registry->size < sizeof(invact_registry) ||
      registry->abi != INVACT_KERNEL_ABI || !registry->add) {
    return INVACT_BAD_ARGUMENT;
  }
  const IsaList known = invact::kernels::KnownIsas();
  int best = 0;
  while (!known.isas[best].supported) ++best;
  const ActivationSet& set = known.isas[best].set;
  for (int i = 0; i < set.count; ++i) {
    registry->add(registry->ctx, &set.activations[i]);
  }
  return 0;
}
