#include "kernels/cpu/activation_set.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_avx2.h"

namespace invact::kernels {

ActivationSet Avx2Set() { return SetOf<Avx2>(AllFunctions{}); }

}  // namespace invact::kernels
