#include "plugin/fuse/side_work.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

namespace invact::fuse {

Mapped MakeMapped(at::IntArrayRef sizes, at::ScalarType dtype,
                  at::Device device) {
  const auto options = at::TensorOptions().dtype(dtype);
  at::Tensor host = at::empty(sizes, options.pinned_memory(true));
  at::Tensor seen = at::for_blob(host.data_ptr(), sizes)
                        .options(options.device(device))
                        .target_device(device)
                        .make_tensor();
  return {std::move(host), std::move(seen)};
}

SideStream::SideStream(at::Device device)
    : guard_(device),
      impl_(device.type()),
      stream_(impl_.getStreamFromGlobalPool(device)),
      before_(impl_.exchangeStream(stream_)) {}

SideStream::~SideStream() { impl_.exchangeStream(before_); }

void SideStream::Wait() const { stream_.synchronize(); }

}  // namespace invact::fuse
