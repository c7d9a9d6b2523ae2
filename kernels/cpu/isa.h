// One build of the CPU kernels for each instruction set; the best one that the
// processor has is chosen at registration. Tests ask for each by name.
#ifndef INVACT_KERNELS_CPU_ISA_H_
#define INVACT_KERNELS_CPU_ISA_H_

#include "kernels/kernel_api.h"

namespace invact::kernels {

// All functions of functions.h, in their order.
struct ActivationSet {
  const invact_activation* activations;
  int count;
};

ActivationSet PortableSet();
ActivationSet Avx2Set();    // x86-64 builds only
ActivationSet Avx512Set();  // x86-64 builds only

struct Isa {
  const char* name;
  bool supported;  // by this processor
  ActivationSet set;
};

// Best first; the portable one, always supported, is last.
struct IsaList {
  Isa isas[3];
  int count;
};
IsaList KnownIsas();

}  // namespace invact::kernels

#endif  // INVACT_KERNELS_CPU_ISA_H_
