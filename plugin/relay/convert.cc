#include "plugin/relay/convert.h"

#include <algorithm>
#include <bit>
#include <string_view>
#include <utility>

#include "plugin/relay/clock.h"
#include "proto/codes.h"

namespace invact {

namespace {

const char* PhaseName(uint32_t phase) {
  switch (static_cast<Phase>(phase)) {
    case Phase::kBackward:
      return "backward";
    case Phase::kDone:
      return "done";
    default:
      return "forward";
  }
}

std::string Text(std::string_view name) { return std::string(name); }

// At most 300 KiB encoded.
constexpr int kDigestsAMessage = 8192;

// The tag and the length of a message of so many bytes inside another.
size_t Framed(size_t bytes) { return bytes + 4; }

}  // namespace

void ToProto(const RunView& view, v1::Run* out) {
  out->set_id(view.run_id);
  out->set_name(view.name);
  out->set_job_id(view.job_id);
  out->set_state("running");
  out->set_policy(view.policy);
  out->mutable_started_at()->set_seconds(view.started_wall_ns / kSecond);
  out->mutable_started_at()->set_nanos(
      static_cast<int32_t>(view.started_wall_ns % kSecond));
  out->set_host(view.host);
  out->set_pid(view.pid);
  out->set_rank(view.rank);
  out->set_local_rank(view.local_rank);
  out->set_world_size(view.world_size);
  out->set_restart(view.restart);
  out->set_torch_version(view.torch_version);
  out->set_exact(view.exact);
  out->set_invact_version(view.invact_version);
}

void ToProto(const StepTotalsPod& totals, v1::StepTotals* out) {
  out->set_index(totals.index);
  out->set_complete(totals.complete != 0);
  out->set_phase(PhaseName(totals.phase));
  out->set_baseline_bytes(totals.baseline_bytes);
  out->set_held_bytes(totals.held_bytes);
  out->set_side_bytes(totals.side_bytes);
  out->set_begin_ns(totals.begin_ns);
  out->set_backward_begin_ns(totals.backward_begin_ns);
  out->set_end_ns(totals.end_ns);
  if (totals.allocated_before >= 0) {
    out->set_allocated_before_bytes(totals.allocated_before);
  }
  if (totals.allocated_instant >= 0) {
    out->set_allocated_instant_bytes(totals.allocated_instant);
  }
  if (totals.peak_allocated >= 0) {
    out->set_peak_allocated_bytes(totals.peak_allocated);
  }
  if (totals.peak_reserved >= 0) {
    out->set_peak_reserved_bytes(totals.peak_reserved);
  }
  // Both come from the same moment: known together or not at all.
  if (totals.saved_at_peak >= 0) {
    out->set_saved_at_peak_bytes(totals.saved_at_peak);
    out->set_eliminated_at_peak_bytes(totals.eliminated_at_peak);
  }
  out->set_saved_tensors(totals.saved_tensors);
  if (totals.device_forward_seconds >= 0) {
    out->set_device_forward_seconds(totals.device_forward_seconds);
  }
  if (totals.device_backward_seconds >= 0) {
    out->set_device_backward_seconds(totals.device_backward_seconds);
  }
  if (totals.device_step_seconds >= 0) {
    out->set_device_step_seconds(totals.device_step_seconds);
  }
  const auto category = [&](Category which) {
    return totals.by_category[static_cast<size_t>(which)];
  };
  out->set_activation_bytes(category(Category::kActivation));
  out->set_input_bytes(category(Category::kInput));
  out->set_weight_copy_bytes(category(Category::kWeightCopy));
}

void ToProto(uint32_t number, const ScopeView& view, v1::Scope* out) {
  out->set_id(number);
  out->set_name(view.name);
  out->set_block(view.block);
}

void ToProto(uint32_t number, const SiteView& view, v1::Site* out) {
  out->set_id(number);
  out->set_scope(view.scope);
  out->set_pack_ordinal(view.pack_ordinal);
  out->set_op(view.op);
  out->set_dtype(view.dtype);
  out->set_category(Text(Name(view.category)));
}

void ToProto(const OomView& view, v1::OutOfMemory* out) {
  out->set_phase(PhaseName(static_cast<uint32_t>(view.phase)));
  out->set_step_index(view.step);
  out->set_layer(view.layer);
  out->set_requested_bytes(view.requested_bytes);
  out->set_saved_bytes(view.saved_bytes);
}

void ToProto(const KernelView& view, v1::KernelCalibration* out) {
  out->set_op(view.op);
  out->set_dtype(view.dtype);
  out->set_device(view.device);
  out->set_library(view.library);
  out->set_side_bits(view.side_bits);
  out->set_served(view.reason == Reason::kNone);
  out->set_reason(Text(Name(view.reason)));
  out->set_detail(view.detail);
  if (view.stated_max >= 0) out->set_stated_max(view.stated_max);
  if (view.stated_rms >= 0) out->set_stated_rms(view.stated_rms);
  if (view.floor_max >= 0) out->set_floor_max(view.floor_max);
  if (view.floor_rms >= 0) out->set_floor_rms(view.floor_rms);
  if (view.error_max >= 0) out->set_error_max(view.error_max);
  if (view.error_rms >= 0) out->set_error_rms(view.error_rms);
}

void ToProto(uint32_t number, const ParameterView& view, v1::Parameter* out) {
  out->set_id(number);
  out->set_name(view.name);
  out->set_type(view.type);
}

std::vector<v1::StepDigests> ToProto(std::span<const DigestRecord> records) {
  std::vector<v1::StepDigests> out;
  int entries = 0;
  for (const DigestRecord& record : records) {
    if (out.empty() || out.back().step() != record.step ||
        entries == kDigestsAMessage) {
      out.emplace_back().set_step(record.step);
      entries = 0;
    }
    ++entries;
    v1::StepDigests& step = out.back();
    const auto kind = static_cast<DigestKind>(record.kind);
    if (kind == DigestKind::kStep) {
      step.set_total(
          static_cast<uint32_t>(std::min<uint64_t>(record.value, UINT32_MAX)));
    } else if (record.unseen != 0) {
      v1::UnseenDigest* unseen = step.add_unseen();
      unseen->set_loss(kind == DigestKind::kLoss);
      unseen->set_id(record.subject);
      unseen->set_reason(Text(Name(static_cast<NoDigest>(record.unseen))));
    } else if (kind == DigestKind::kLoss) {
      step.add_roots(record.subject);
      step.add_losses(std::bit_cast<double>(record.value));
    } else if (kind == DigestKind::kGradient) {
      step.add_parameters(record.subject);
      step.add_gradients(record.value);
    }
  }
  return out;
}

void ToProto(const TableView& table, const std::vector<ScopeSums>& scopes,
             v1::SiteTable* out) {
  ToProto(table.totals, out->mutable_totals());
  for (const auto& [number, row] : table.rows) {
    v1::SiteRow* to = out->add_rows();
    to->set_site(number);
    to->set_baseline_bytes(row.baseline_bytes);
    to->set_held_bytes(row.held_bytes);
    to->set_side_bytes(row.side_bytes);
    to->set_action(Text(Name(static_cast<Action>(row.action))));
    to->set_declined(Text(Name(static_cast<Reason>(row.declined))));
    to->set_shared(row.shared != 0);
  }
  for (const ScopeSums& sums : scopes) {
    v1::ScopeRow* to = out->add_scopes();
    to->set_scope(sums.scope);
    to->set_input_bytes(sums.input_bytes);
    to->set_calls(sums.calls);
    to->set_forward_ns(sums.forward_ns);
  }
}

void FitTable(size_t bytes, v1::SiteTable* table) {
  size_t now = table->ByteSizeLong();
  if (now <= bytes) return;
  auto* scopes = table->mutable_scopes();
  while (now > bytes && scopes->size() > table->rows_size() / 8) {
    now -= Framed(scopes->rbegin()->ByteSizeLong()) - 2;
    scopes->RemoveLast();
  }
  if (now <= bytes) return;
  auto* rows = table->mutable_rows();
  std::sort(rows->begin(), rows->end(),
            [](const v1::SiteRow& a, const v1::SiteRow& b) {
              return std::max(a.baseline_bytes(), a.held_bytes()) >
                     std::max(b.baseline_bytes(), b.held_bytes());
            });
  v1::SiteRow other;
  other.set_site(kOtherSite);
  other.set_action(Text(Name(Action::kKeep)));
  // Room for the row itself, at its largest.
  now += 64;
  const auto fold = [&](const v1::SiteRow& row) {
    other.set_baseline_bytes(other.baseline_bytes() + row.baseline_bytes());
    other.set_held_bytes(other.held_bytes() + row.held_bytes());
    other.set_side_bytes(other.side_bytes() + row.side_bytes());
  };
  while (now > bytes && !rows->empty()) {
    now -= Framed(rows->rbegin()->ByteSizeLong()) - 2;
    fold(*rows->rbegin());
    rows->RemoveLast();
  }
  for (int i = 0; i < rows->size(); ++i) {
    if (rows->Get(i).site() != kOtherSite) continue;
    fold(rows->Get(i));
    rows->DeleteSubrange(i, 1);
    break;
  }
  *rows->Add() = other;
}

}  // namespace invact
