#include "plugin/rebuild/layout.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "plugin/observe/tensor_facts.h"

namespace invact {

Layout::Layout(const at::Tensor& tensor)
    : offset(tensor.storage_offset()),
      dtype(tensor.dtype()),
      keys(tensor.key_set()) {
  sizes.resize(static_cast<size_t>(tensor.dim()));
  sizes.set_sizes(tensor.sizes());
  sizes.set_strides(tensor.strides());
}

at::Tensor Layout::Over(c10::Storage storage) const {
  // A backward may be run in inference mode; what it reads is as it was.
  const c10::InferenceMode no_inference(false);
  at::Tensor made =
      at::detail::make_tensor<c10::TensorImpl>(std::move(storage), keys, dtype);
  made.unsafeGetTensorImpl()->set_sizes_and_strides(
      sizes.sizes_arrayref(), sizes.strides_arrayref(), offset);
  return made;
}

bool Layout::operator==(const Layout& other) const {
  return offset == other.offset && dtype == other.dtype &&
         sizes.sizes_arrayref() == other.sizes.sizes_arrayref() &&
         sizes.strides_arrayref() == other.sizes.strides_arrayref();
}

int64_t Layout::Elements() const {
  int64_t elements = 1;
  for (const int64_t size : sizes.sizes_arrayref()) elements *= size;
  return elements;
}

bool Describable(const at::Tensor& tensor) noexcept {
  return PlainTensor(tensor) && !tensor.is_conj() && !tensor.is_neg() &&
         !tensor.is_inference() && !tensor._is_zerotensor();
}

}  // namespace invact
