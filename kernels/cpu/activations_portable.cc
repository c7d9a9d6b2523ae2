#include "kernels/cpu/isa.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/simd_portable.h"

namespace invact::kernels {

ActivationSet PortableSet() {
  static constexpr invact_activation kSet[kActivations] = {
      Functions<Portable, Gelu>::Activation(),
      Functions<Portable, GeluTanh>::Activation(),
      Functions<Portable, Silu>::Activation()};
  return kSet;
}

}  // namespace invact::kernels
