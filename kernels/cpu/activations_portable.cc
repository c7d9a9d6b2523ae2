#include "kernels/cpu/activation_set.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_portable.h"

namespace invact::kernels {

ActivationSet PortableSet() { return SetOf<Portable>(AllFunctions{}); }

}  // namespace invact::kernels
