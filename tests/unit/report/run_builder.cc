#include "tests/unit/report/run_builder.h"

namespace invact {

RunBuilder::RunBuilder() {
  v1::Run& run = stored_.run;
  run.set_id("7f3a90c2b1d4e5f6");
  run.set_name("train_lm.py");
  run.set_job_id(run.id());
  run.set_state("finished");
  run.set_end_reason("exit");
  run.set_exit_code(0);
  run.set_policy("invert");
  run.mutable_started_at()->set_seconds(1'772'446'504);
  run.mutable_started_at()->set_nanos(120'000'000);
  run.mutable_ended_at()->set_seconds(1'772'446'604);
  run.set_host("node7");
  run.set_pid(4121);
  run.set_world_size(1);
  run.set_torch_version("2.11.0");
  run.set_device("NVIDIA H200");
  run.set_invact_version("0.1.0");
  ScopeOf("", false);
}

uint32_t RunBuilder::ScopeOf(const std::string& name, bool block) {
  const auto [at, added] =
      scopes_.try_emplace(name, static_cast<uint32_t>(scopes_.size()));
  if (added) {
    v1::Scope& scope = stored_.scopes.emplace_back();
    scope.set_id(at->second);
    scope.set_name(name);
    scope.set_block(block);
  }
  return at->second;
}

void RunBuilder::Block(const std::string& name, int64_t input_bytes,
                       int64_t forward_ns, int calls) {
  v1::ScopeRow& row = *table_.add_scopes();
  row.set_scope(ScopeOf(name, true));
  row.set_input_bytes(input_bytes * calls);
  row.set_calls(static_cast<uint32_t>(calls));
  row.set_forward_ns(forward_ns * calls);
}

v1::SiteRow& RunBuilder::Row(const std::string& module, const Save& save) {
  v1::Site& site = stored_.sites.emplace_back();
  site.set_id(static_cast<uint32_t>(stored_.sites.size()));
  site.set_scope(ScopeOf(module, false));
  site.set_pack_ordinal(saves_[site.scope()]++);
  site.set_op(save.op);
  site.set_dtype(save.dtype);
  site.set_category(save.category);
  v1::SiteRow& row = *table_.add_rows();
  row.set_site(site.id());
  row.set_baseline_bytes(save.bytes);
  row.set_action("keep");
  v1::StepTotals& totals = *table_.mutable_totals();
  const int64_t bytes = save.bytes;
  if (save.category == "activation") {
    totals.set_activation_bytes(totals.activation_bytes() + bytes);
  } else if (save.category == "input") {
    totals.set_input_bytes(totals.input_bytes() + bytes);
  } else {
    totals.set_weight_copy_bytes(totals.weight_copy_bytes() + bytes);
  }
  totals.set_saved_tensors(totals.saved_tensors() + 1);
  return row;
}

v1::SiteRow& RunBuilder::Keep(const std::string& module, const Save& save) {
  v1::SiteRow& row = Row(module, save);
  row.set_held_bytes(save.bytes);
  return row;
}

v1::SiteRow& RunBuilder::Decline(const std::string& module, const Save& save,
                                 const std::string& reason) {
  v1::SiteRow& row = Keep(module, save);
  row.set_declined(reason);
  return row;
}

void RunBuilder::Shared(const std::string& module, const std::string& op) {
  Keep(module, {op, 0}).set_shared(true);
}

v1::SiteRow& RunBuilder::Invert(const std::string& module, const Save& save) {
  v1::SiteRow& row = Row(module, save);
  row.set_action("invert");
  row.set_side_bytes(save.bytes / 16);
  row.set_held_bytes(row.side_bytes());
  return row;
}

void RunBuilder::Sum() {
  v1::StepTotals& totals = *table_.mutable_totals();
  int64_t baseline = 0, held = 0, side = 0;
  for (const v1::SiteRow& row : table_.rows()) {
    baseline += row.baseline_bytes();
    held += row.held_bytes();
    side += row.side_bytes();
  }
  totals.set_baseline_bytes(baseline);
  totals.set_held_bytes(held);
  totals.set_side_bytes(side);
}

RunBuilder& RunBuilder::Complete(int64_t index) {
  Sum();
  table_.mutable_totals()->set_index(index);
  table_.mutable_totals()->set_complete(true);
  table_.mutable_totals()->set_phase("done");
  stored_.last_step = table_;
  stored_.steps.push_back(table_.totals());
  stored_.run.set_steps(index + 1);
  return *this;
}

RunBuilder& RunBuilder::Live(int64_t index, const std::string& phase) {
  Sum();
  v1::SiteTable& live = stored_.live.emplace(table_);
  live.mutable_totals()->set_index(index);
  live.mutable_totals()->set_complete(false);
  live.mutable_totals()->set_phase(phase);
  return *this;
}

RunBuilder& RunBuilder::AlsoMax() {
  stored_.max_step = stored_.last_step;
  return *this;
}

}  // namespace invact
