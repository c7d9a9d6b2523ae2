#include "kernels/cpu/isa.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/simd_avx512.h"

namespace invact::kernels {

ActivationSet Avx512Set() {
  static constexpr invact_activation kSet[kActivations] = {
      Functions<Avx512, Gelu>::Activation(),
      Functions<Avx512, GeluTanh>::Activation(),
      Functions<Avx512, Silu>::Activation()};
  return kSet;
}

}  // namespace invact::kernels
