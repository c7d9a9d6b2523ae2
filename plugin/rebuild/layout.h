// How a tensor lies in its storage: all that is needed to make the same tensor
// over another storage with the same bytes.
#ifndef INVACT_PLUGIN_REBUILD_LAYOUT_H_
#define INVACT_PLUGIN_REBUILD_LAYOUT_H_

#include <ATen/core/Tensor.h>
#include <c10/core/impl/SizesAndStrides.h>

namespace invact {

struct Layout {
  Layout() = default;
  explicit Layout(const at::Tensor& tensor);

  // Neither history nor a version counter of others.
  at::Tensor Over(c10::Storage storage) const;
  bool operator==(const Layout& other) const;
  int64_t Elements() const;

  c10::impl::SizesAndStrides sizes;
  int64_t offset = 0;  // elements
  caffe2::TypeMeta dtype;
  c10::DispatchKeySet keys;
};

// A tensor that Layout describes whole: of torch's own class, strided, neither
// conjugated, negated nor made in inference mode.
bool Describable(const at::Tensor& tensor) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_REBUILD_LAYOUT_H_
