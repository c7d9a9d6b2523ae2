// A caching allocator without a device: torch's interface, its lock, the order
// in which it traces and counts, and a plain map of what is alive.
#ifndef INVACT_TESTS_UNIT_EVENTS_FAKE_ALLOCATOR_H_
#define INVACT_TESTS_UNIT_EVENTS_FAKE_ALLOCATOR_H_

#include <c10/cuda/CUDACachingAllocator.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace invact {

class FakeAllocator final
    : public c10::cuda::CUDACachingAllocator::CUDAAllocator {
 public:
  using TraceEntry = c10::CachingDeviceAllocator::TraceEntry;
  struct Block {
    size_t size, requested;
    bool allocated;  // else it awaits its free
  };
  static constexpr size_t kSegment = size_t{1} << 30;

  explicit FakeAllocator(int devices) : devices_(devices) {
    for (auto& one : devices_) one = std::make_unique<Device>();
    for (size_t i = 0; i < devices_.size(); ++i) Map(int(i));
  }

  // As torch: traced within the lock, statistics of a new block after, those
  // of a freed one before.
  size_t Malloc(int device, size_t bytes, bool traced = true) {
    Device& at = *devices_[size_t(device)];
    std::lock_guard lock(at.mutex);
    size_t address = at.base;
    // The lowest hole that fits: addresses come back.
    for (const auto& [begin, block] : at.blocks) {
      if (begin - address >= Rounded(bytes)) break;
      address = begin + block.size;
    }
    at.blocks[address] = {Rounded(bytes), bytes, true};
    if (traced) Trace(device, TraceEntry::ALLOC, address, bytes);
    at.allocated += int64_t(Rounded(bytes));
    at.requested += int64_t(bytes);
    return address;
  }
  // `other_stream`: Complete follows.
  void Release(int device, size_t address, bool other_stream = false) {
    Device& at = *devices_[size_t(device)];
    std::lock_guard lock(at.mutex);
    Block& block = at.blocks.at(address);
    block.allocated = false;
    at.allocated -= int64_t(block.size);
    Trace(device, TraceEntry::FREE_REQUESTED, address, block.requested);
    if (!other_stream) Completed(device, address);
  }
  void Complete(int device, size_t address) {
    std::lock_guard lock(devices_[size_t(device)]->mutex);
    Completed(device, address);
  }
  void OutOfMemory(int device, size_t bytes, size_t left) {
    std::lock_guard lock(devices_[size_t(device)]->mutex);
    Trace(device, TraceEntry::OOM, left, bytes);
  }
  void Map(int device) {
    Device& at = *devices_[size_t(device)];
    std::lock_guard lock(at.mutex);
    at.base = size_t(device + 1) << 40;
    Trace(device, TraceEntry::SEGMENT_MAP, at.base, kSegment);
    at.reserved += int64_t(kSegment);
  }
  std::map<size_t, Block> Blocks(int device) {
    std::lock_guard lock(devices_[size_t(device)]->mutex);
    return devices_[size_t(device)]->blocks;
  }

  std::string name() override { return name_; }
  std::string name_ = "native";
  // Called between a snapshot's being taken and its being returned.
  std::function<void()> after_cut = [] {};
  int snapshots = 0;

  void attachAllocatorTraceTracker(
      c10::CachingDeviceAllocator::AllocatorTraceTracker tracker) override {
    for (auto& one : devices_) {
      std::lock_guard lock(one->mutex);
      one->tracker = tracker;
    }
  }
  c10::cuda::CUDACachingAllocator::SnapshotInfo snapshot(c10::MempoolId_t,
                                                         bool) override {
    ++snapshots;
    c10::cuda::CUDACachingAllocator::SnapshotInfo out;
    for (size_t i = 0; i < devices_.size(); ++i) {
      Device& at = *devices_[i];
      std::lock_guard lock(at.mutex);
      out.segments.push_back(SegmentOf(int(i), at));
      Trace(0, TraceEntry::SNAPSHOT, 0, 0, &at);  // device 0, as torch says
    }
    after_cut();
    return out;
  }
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(
      c10::DeviceIndex device) override {
    Device& at = *devices_[size_t(device)];
    std::lock_guard lock(at.mutex);
    c10::CachingDeviceAllocator::DeviceStats stats;
    stats.allocated_bytes[0].current = at.allocated;
    stats.requested_bytes[0].current = at.requested;
    stats.reserved_bytes[0].current = at.reserved;
    return stats;
  }

  // What nobody asks for here.
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  using CUDAAllocator::recordStream;
  void recordStream(const c10::DataPtr&, c10::cuda::CUDAStream) override {}
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override {}
  c10::DataPtr allocate(size_t) override { return {}; }
  void copy_data(void*, const void*, size_t) const override {}
  void* raw_alloc(size_t) override { return nullptr; }
  void* raw_alloc_with_stream(size_t, cudaStream_t) override { return nullptr; }
  void raw_delete(void*) override {}
  void init(int) override {}
  double getMemoryFraction(c10::DeviceIndex) override { return 1; }
  void setMemoryFraction(double, c10::DeviceIndex) override {}
  std::vector<c10::cuda::CUDACachingAllocator::StreamSegmentSize>
  getExpandableSegmentSizes(c10::DeviceIndex) override {
    return {};
  }
  void enable(bool) override {}
  bool isEnabled() const override { return true; }
  void cacheInfo(c10::DeviceIndex, size_t*) override {}
  void* getBaseAllocation(void*, size_t*) override { return nullptr; }
  void beginAllocateToPool(c10::DeviceIndex, c10::MempoolId_t,
                           std::function<bool(cudaStream_t)>) override {}
  void endAllocateToPool(c10::DeviceIndex, c10::MempoolId_t) override {}
  void releasePool(c10::DeviceIndex, c10::MempoolId_t) override {}
  c10::cuda::CUDACachingAllocator::ShareableHandle shareIpcHandle(
      void*) override {
    return {};
  }
  std::shared_ptr<void> getIpcDevPtr(std::string) override { return nullptr; }
  void recordHistory(bool, c10::CachingDeviceAllocator::CreateContextFn, size_t,
                     c10::CachingDeviceAllocator::RecordContext, bool,
                     const std::vector<std::string>&) override {}
  void attachOutOfMemoryObserver(
      c10::cuda::CUDACachingAllocator::OutOfMemoryObserver) override {}
  void enablePeerAccess(c10::DeviceIndex, c10::DeviceIndex) override {}
  cudaError_t memcpyAsync(void*, int, const void*, int, size_t, cudaStream_t,
                          bool) override {
    return cudaSuccess;
  }
  std::shared_ptr<c10::cuda::CUDACachingAllocator::AllocatorState>
  getCheckpointState(c10::DeviceIndex, c10::MempoolId_t) override {
    return nullptr;
  }
  c10::cuda::CUDACachingAllocator::CheckpointDelta setCheckpointPoolState(
      c10::DeviceIndex,
      std::shared_ptr<c10::cuda::CUDACachingAllocator::AllocatorState>)
      override {
    return {};
  }

 private:
  struct Device {
    std::recursive_mutex mutex;
    c10::CachingDeviceAllocator::AllocatorTraceTracker tracker;
    size_t base = 0;
    std::map<size_t, Block> blocks;
    int64_t allocated = 0, requested = 0, reserved = 0;
  };

  static size_t Rounded(size_t bytes) { return (bytes + 511) / 512 * 512; }

  void Trace(int device, TraceEntry::Action action, size_t address,
             size_t bytes, Device* at = nullptr) {
    if (at == nullptr) at = devices_[size_t(device)].get();
    if (!at->tracker) return;
    at->tracker(TraceEntry(action, c10::DeviceIndex(device), address, bytes,
                           nullptr, {0, 0}, 0));
  }
  void Completed(int device, size_t address) {
    Device& at = *devices_[size_t(device)];
    const Block block = at.blocks.at(address);
    Trace(device, TraceEntry::FREE_COMPLETED, address, block.requested);
    at.blocks.erase(address);
    at.requested -= int64_t(block.requested);
  }
  static c10::CachingDeviceAllocator::SegmentInfo SegmentOf(int device,
                                                            const Device& at) {
    c10::CachingDeviceAllocator::SegmentInfo segment;
    segment.device = c10::DeviceIndex(device);
    segment.address = at.base;
    segment.total_size = size_t(at.reserved);
    size_t end = at.base;
    for (const auto& [address, block] : at.blocks) {
      if (address > end) {
        c10::CachingDeviceAllocator::BlockInfo hole;
        hole.size = address - end;
        segment.blocks.push_back(hole);
      }
      c10::CachingDeviceAllocator::BlockInfo info;
      info.size = block.size;
      info.requested_size = block.requested;
      info.allocated = block.allocated;
      info.active = true;
      segment.blocks.push_back(info);
      end = address + block.size;
    }
    return segment;
  }

  std::vector<std::unique_ptr<Device>> devices_;
};

}  // namespace invact

#endif  // INVACT_TESTS_UNIT_EVENTS_FAKE_ALLOCATOR_H_
