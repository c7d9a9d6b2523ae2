#include "kernels/cpu/isa.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/simd_portable.h"

namespace invact::kernels {

ActivationSet PortableSet() { return SetOf<Portable>(AllFunctions{}); }

}  // namespace invact::kernels
