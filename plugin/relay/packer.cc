#include "plugin/relay/packer.h"

#include <utility>

#include "plugin/relay/convert.h"

namespace invact {

v1::Batch* Packer::Fit(size_t bytes) {
  bytes += 6;  // tag and length
  if (bytes_ > 0 && bytes_ + bytes > kBatchBytes) Finish(false);
  bytes_ += bytes;
  return &batch_;
}

void Packer::Add(v1::Scope scope) {
  *Fit(scope.ByteSizeLong())->add_scopes() = std::move(scope);
}

void Packer::Add(v1::Site site) {
  *Fit(site.ByteSizeLong())->add_sites() = std::move(site);
}

void Packer::Add(v1::StepTotals step) {
  *Fit(step.ByteSizeLong())->add_steps() = std::move(step);
}

void Packer::AddRecords(std::string records) {
  if (records.empty()) return;
  if (!batch_.records().empty()) Finish(false);
  v1::Batch* batch = Fit(records.size() + 6);
  batch->set_records(std::move(records));
  batch->set_record_bytes(sizeof(Record));
}

void Packer::AddMemoryRecords(std::string records, uint64_t before) {
  if (records.empty()) return;
  if (!batch_.memory_records().empty()) Finish(false);
  v1::Batch* batch = Fit(records.size() + 24);
  batch->set_memory_records(std::move(records));
  batch->set_memory_record_bytes(sizeof(MemoryRecord));
  batch->set_memory_before(before);
}

void Packer::Add(Table which, v1::SiteTable table) {
  FitTable(kBatchBytes - 16, &table);
  v1::Batch* batch = Fit(table.ByteSizeLong());
  switch (which) {
    case Table::kLast:
      *batch->mutable_last_step() = std::move(table);
      break;
    case Table::kMax:
      *batch->mutable_max_step() = std::move(table);
      break;
    case Table::kLive:
      *batch->mutable_live() = std::move(table);
      break;
  }
}

void Packer::Add(v1::Parameter parameter) {
  *Fit(parameter.ByteSizeLong())->add_parameters() = std::move(parameter);
}

void Packer::Add(v1::StepDigests digests) {
  *Fit(digests.ByteSizeLong())->add_digests() = std::move(digests);
}

void Packer::Add(const MemoryRowPod& row) {
  if (static_cast<MemoryRowKind>(row.kind) == MemoryRowKind::kOutOfMemory) {
    v1::MemoryFailure failure;
    ToProto(row, &failure);
    *Fit(failure.ByteSizeLong())->add_memory_failures() = std::move(failure);
  } else {
    v1::MemoryStep step;
    ToProto(row, &step);
    *Fit(step.ByteSizeLong())->add_memory_steps() = std::move(step);
  }
}

void Packer::Add(v1::RunUpdate update) {
  *Fit(update.ByteSizeLong())->mutable_update() = std::move(update);
}

void Packer::Add(const v1::OutOfMemory& oom) {
  *Fit(oom.ByteSizeLong())->mutable_out_of_memory() = oom;
}

void Packer::Add(const v1::RunEnd& end) {
  *Fit(end.ByteSizeLong())->mutable_end() = end;
}

void Packer::Finish(bool always) {
  if (bytes_ > 0 || always) sink_(&batch_);
  batch_.Clear();
  bytes_ = 0;
}

}  // namespace invact
