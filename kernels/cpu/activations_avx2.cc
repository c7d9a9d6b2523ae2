#include "kernels/cpu/isa.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/simd_avx2.h"

namespace invact::kernels {

ActivationSet Avx2Set() {
  static constexpr invact_activation kSet[kActivations] = {
      Functions<Avx2, Gelu>::Activation(),
      Functions<Avx2, GeluTanh>::Activation(),
      Functions<Avx2, Silu>::Activation()};
  return kSet;
}

}  // namespace invact::kernels
