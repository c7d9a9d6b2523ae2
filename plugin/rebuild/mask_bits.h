// Boolean masks held as one bit an element.
//
// Threads: Load once, before the job runs; the others any.
#ifndef INVACT_PLUGIN_REBUILD_MASK_BITS_H_
#define INVACT_PLUGIN_REBUILD_MASK_BITS_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "plugin/rebuild/value.h"

namespace invact {

// Where there is CUDA but no kernel library, masks on it stay as they are.
void LoadMaskBits(const std::string& lib_dir, bool cuda) noexcept;

// The bits of a mask that fills its storage, undefined where it is no such mask
// or can't be packed.
at::Tensor PackMask(const at::Tensor& mask) noexcept;

// How the mask is had from `bits`, the value of what PackMask gave.
std::shared_ptr<const Recipe> UnpackingOf(const at::Tensor& mask,
                                          const at::Tensor& bits,
                                          ValuePtr value);

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_MASK_BITS_H_
