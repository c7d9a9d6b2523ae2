// Where torch versions differ, and nowhere else. Supported versions:
// cmake/torch_versions.txt.
#ifndef INVACT_PLUGIN_TORCH_COMPAT_H_
#define INVACT_PLUGIN_TORCH_COMPAT_H_

#include <torch/csrc/autograd/function.h>
#include <torch/version.h>

#include <memory>
#include <utility>

#define INVACT_TORCH_AT_LEAST(major, minor) \
  (TORCH_VERSION_MAJOR > (major) ||         \
   (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace invact {

// Nodes are owned by shared_ptr up to 2.14, by intrusive_ptr from 2.15 on.
using NodePtr = decltype(torch::autograd::get_current_node());

template <typename N, typename... Args>
auto MakeNode(Args&&... args) {
#if INVACT_TORCH_AT_LEAST(2, 15)
  return c10::make_intrusive<N>(std::forward<Args>(args)...);
#else
  return std::shared_ptr<N>(new N(std::forward<Args>(args)...),
                            torch::autograd::deleteNode);
#endif
}

// SavedVariable::unpack(NodePtr).
inline constexpr char kUnpackSymbol[] =
#if INVACT_TORCH_AT_LEAST(2, 15)
    "_ZNK5torch8autograd13SavedVariable6unpackEN3c1013intrusive_ptrINS0_4NodeE"
    "NS2_6detail34intrusive_target_default_null_typeIS4_EEEE";
#else
    "_ZNK5torch8autograd13SavedVariable6unpackESt10shared_ptrINS0_4NodeEE";
#endif

}  // namespace invact

#endif  // INVACT_PLUGIN_TORCH_COMPAT_H_
