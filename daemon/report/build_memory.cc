#include "daemon/report/build_memory.h"

#include <utility>

#include "daemon/report/memory_moments.h"

namespace invact {
namespace {

// nullptr: that step's totals were not stored.
const v1::StepTotals* TotalsOf(const std::vector<v1::StepTotals>& steps,
                               int64_t index) {
  for (const v1::StepTotals& step : steps) {
    if (step.index() == index) return &step;
  }
  return nullptr;
}

v1::MemoryDevice* DeviceOf(int32_t number, v1::Memory* memory) {
  for (v1::MemoryDevice& device : *memory->mutable_devices()) {
    if (device.device() == number) return &device;
  }
  v1::MemoryDevice* device = memory->add_devices();
  device->set_device(number);
  return device;
}

}  // namespace

void AddMemory(StoredMemory memory, const std::vector<v1::StepTotals>& steps,
               v1::Report* report) {
  if (memory.highest.empty()) return;
  v1::Memory* out = report->mutable_memory();
  const bool one_device = memory.highest.size() == 1;
  for (v1::MemoryStep& highest : memory.highest) {
    v1::MemoryDevice* device = DeviceOf(highest.device(), out);
    const v1::StepTotals* totals = TotalsOf(steps, highest.step());
    if (one_device && totals != nullptr &&
        totals->has_eliminated_at_peak_bytes()) {
      device->set_highest_without_eliminations_bytes(
          LiveBytes(highest.peak()) + totals->eliminated_at_peak_bytes());
    }
    *device->mutable_highest() = std::move(highest);
  }
  for (v1::MemoryStep& step : memory.of_step) {
    *DeviceOf(step.device(), out)->mutable_step() = std::move(step);
  }
  for (v1::MemoryFailure& failure : memory.failures) {
    *DeviceOf(failure.device(), out)->mutable_out_of_memory() =
        std::move(failure);
  }
}

}  // namespace invact
