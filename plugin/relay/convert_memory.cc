// ToProto of the accounts of device memory.
#include "plugin/relay/convert.h"

namespace invact {

namespace {

// Categories without bytes are left out.
void Fill(const MemoryMomentPod& moment, v1::MemoryMoment* out) {
  out->set_time_ns(moment.time_ns);
  auto& bytes = *out->mutable_by_category();
  for (size_t i = 0; i < kMemoryColumns; ++i) {
    const auto category = static_cast<MemoryCategory>(i);
    if (moment.bytes[i] != 0 && category < MemoryCategory::kCount) {
      bytes[std::string(Name(category))] = moment.bytes[i];
    }
  }
  out->set_awaiting_bytes(moment.awaiting);
  out->set_reserved_bytes(moment.reserved);
  if (moment.allocated >= 0) out->set_allocated_bytes(moment.allocated);
  if (moment.requested >= 0) out->set_requested_bytes(moment.requested);
  if (moment.torch_reserved >= 0) {
    out->set_torch_reserved_bytes(moment.torch_reserved);
  }
}

template <typename Message>
void AddHolders(const MemoryRowPod& row, Message* out) {
  for (size_t i = 0; i < row.holders; ++i) {
    const MemoryHolderPod& holder = row.holder[i];
    v1::MemoryHolder* to = out->add_holders();
    to->set_category(
        std::string(Name(static_cast<MemoryCategory>(holder.category & 0xff))));
    to->set_bytes(holder.bytes);
    if (holder.scope < kMaxScopes) to->set_scope(holder.scope);
    if (holder.site < kMaxSites) to->set_site(holder.site);
  }
}

std::string PhaseOf(const MemoryRowPod& row) {
  const auto phase = static_cast<MemoryPhase>(row.phase);
  return std::string(
      Name(phase < MemoryPhase::kCount ? phase : MemoryPhase::kBetween));
}

}  // namespace

void ToProto(const MemoryRowPod& row, v1::MemoryStep* out) {
  out->set_step(row.step);
  out->set_device(row.device);
  out->set_complete(row.complete != 0);
  out->set_begin_ns(row.begin_ns);
  if (row.begin.time_ns != 0) Fill(row.begin, out->mutable_begin());
  if (row.backward.time_ns != 0) Fill(row.backward, out->mutable_backward());
  if (row.end.time_ns != 0) Fill(row.end, out->mutable_end());
  Fill(row.peak, out->mutable_peak());
  out->set_peak_phase(PhaseOf(row));
  out->set_most_reserved_bytes(row.most_reserved);
  out->set_allocations(row.allocations);
  out->set_frees(row.frees);
  out->set_out_of_memory(row.out_of_memory);
  AddHolders(row, out);
}

void ToProto(const MemoryRowPod& row, v1::MemoryFailure* out) {
  out->set_step(row.step);
  out->set_device(row.device);
  out->set_phase(PhaseOf(row));
  Fill(row.peak, out->mutable_at());
  out->set_asked_bytes(row.asked);
  out->set_device_free_bytes(row.device_free);
  AddHolders(row, out);
}

}  // namespace invact
