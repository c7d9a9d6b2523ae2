#include "plugin/events/memory_rows.h"

#include <algorithm>
#include <mutex>
#include <span>

#include "plugin/ring/writer.h"

namespace invact {

namespace {

int64_t Sum(const ByCategory& bytes) {
  int64_t sum = 0;
  for (const int64_t one : bytes) sum += one;
  return sum;
}

void Fill(const ByCategory& bytes, int64_t awaiting, int64_t reserved,
          MemoryMomentPod* out) {
  std::copy(bytes.begin(), bytes.end(), out->bytes);
  out->awaiting = awaiting;
  out->reserved = reserved;
  out->allocated = out->requested = out->torch_reserved = kUnknown;
}

MemoryMomentPod MomentOf(const MemoryMark& mark) {
  MemoryMomentPod out = {};
  if (mark.time_ns == 0) return out;
  out.time_ns = mark.time_ns;
  Fill(mark.bytes, mark.awaiting, mark.reserved, &out);
  if (mark.torch.allocated != kUnknown) {
    out.allocated = mark.torch.allocated;
    out.requested = Sum(mark.bytes) + mark.awaiting + mark.torch.requested_off;
    out.torch_reserved = mark.reserved + mark.torch.reserved_off;
  }
  return out;
}

void AddHolders(std::span<const MemoryHolder> holders, MemoryRowPod* row) {
  const size_t count = std::min<size_t>(holders.size(), kMemoryHolders);
  for (size_t i = 0; i < count; ++i) {
    row->holder[i] = {holders[i].scope, holders[i].site, holders[i].bytes,
                      static_cast<uint32_t>(holders[i].category), 0};
  }
  row->holders = static_cast<uint8_t>(count);
}

MemoryRowPod RowOf(int device, const StepMemory& step) {
  MemoryRowPod row = {};
  row.step = step.step;
  row.device = device;
  row.kind = static_cast<uint8_t>(MemoryRowKind::kStep);
  row.phase = static_cast<uint8_t>(step.peak_phase);
  row.begin_ns = step.begin_ns;
  row.begin = MomentOf(step.begin);
  row.backward = MomentOf(step.backward);
  row.end = MomentOf(step.end);
  row.peak.time_ns = step.peak_ns;
  Fill(step.at_peak, step.awaiting_at_peak, step.reserved_at_peak, &row.peak);
  row.most_reserved = step.peak_reserved;
  row.allocations = step.allocations;
  row.frees = step.frees;
  row.out_of_memory = step.out_of_memory;
  return row;
}

MemoryRowPod RowOf(int device, const OutOfMemoryNote& note) {
  MemoryRowPod row = {};
  row.step = note.step;
  row.device = device;
  row.kind = static_cast<uint8_t>(MemoryRowKind::kOutOfMemory);
  row.complete = 1;
  row.phase = static_cast<uint8_t>(note.phase);
  row.peak.time_ns = note.time_ns;
  Fill(note.by_category, note.awaiting, note.reserved, &row.peak);
  row.asked = note.asked;
  row.device_free = note.device_free;
  AddHolders(note.site_holders, &row);
  return row;
}

std::vector<MemoryRowPod> RowsOf(int device, const MemoryAccount& account,
                                 const StepMemory& step, bool complete,
                                 std::span<const MemoryHolder> holders) {
  std::vector<MemoryRowPod> rows = {RowOf(device, step)};
  rows[0].complete = complete;
  AddHolders(holders, &rows[0]);
  const OutOfMemoryNote& note = account.out_of_memory();
  if (note.time_ns != 0 && note.step == step.step) {
    rows.push_back(RowOf(device, note));
  }
  return rows;
}

}  // namespace

std::vector<MemoryRowPod> RowsDue(EventKind mark, int device,
                                  const MemoryAccount& account) {
  switch (mark) {
    case EventKind::kStepBegin:
      // Before the first step there may have been nothing on this device.
      if (account.last().step < 0 && account.last().peak_ns == 0) break;
      return RowsOf(device, account, account.last(), true,
                    account.last_holders());
    case EventKind::kStepEnd:
      // To find its holders takes a look at every scope.
      return RowsOf(device, account, account.step(), false, {});
    case EventKind::kOom:
      if (account.out_of_memory().time_ns == 0) break;
      return {RowOf(device, account.out_of_memory())};
    default:
      break;
  }
  return {};
}

std::vector<MemoryRowPod> LastRows(int device, const MemoryAccount& account) {
  return RowsOf(
      device, account, account.step(), true,
      account.Holders(true, kMemoryHolders, MemoryAccount::HoldersBy::kSite));
}

void MemoryRows::ShareWith(SharedRun* shared) noexcept {
  std::lock_guard lock(mutex_);
  shared_ = shared;
}

void MemoryRows::Push(const std::vector<MemoryRowPod>& rows) noexcept {
  std::lock_guard lock(mutex_);
  if (shared_ == nullptr) return;
  for (const MemoryRowPod& row : rows) PushMemoryRow(shared_, row);
}

}  // namespace invact
