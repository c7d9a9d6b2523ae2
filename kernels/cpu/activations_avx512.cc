#include "kernels/cpu/activation_set.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_avx512.h"

namespace invact::kernels {

ActivationSet Avx512Set() { return SetOf<Avx512>(AllFunctions{}); }

}  // namespace invact::kernels
