// Where a check runs beside the job: memory that host and device both reach,
// out of the device allocator's sight, and a stream of its own.
//
// Threads: one, its owner.
#ifndef INVACT_PLUGIN_FUSE_SIDE_WORK_H_
#define INVACT_PLUGIN_FUSE_SIDE_WORK_H_

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace invact::fuse {

struct Mapped {
  at::Tensor host;    // pinned
  at::Tensor device;  // the same bytes
};
Mapped MakeMapped(at::IntArrayRef sizes, at::ScalarType dtype,
                  at::Device device);

// The device's current stream in this thread is one of torch's pool.
class SideStream {
 public:
  explicit SideStream(at::Device device);
  ~SideStream();
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  void Wait() const;

 private:
  const c10::DeviceGuard guard_;
  const c10::impl::VirtualGuardImpl impl_;
  const c10::Stream stream_, before_;
};

}  // namespace invact::fuse

#endif  // INVACT_PLUGIN_FUSE_SIDE_WORK_H_
