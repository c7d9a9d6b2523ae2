// ReadSession: the account of device memory.
#include <optional>

#include "daemon/store/memory_columns.h"
#include "daemon/store/reader.h"

#define INVACT_MEMORY_STEP_COLUMNS                                      \
  "step, device, complete, begin_ns, peak_phase, most_reserved_bytes, " \
  "allocations, frees, out_of_memory"

namespace invact {
namespace {

v1::MemoryStep ReadMemoryStep(Query& query) {
  v1::MemoryStep step;
  step.set_step(query.Int());
  step.set_device(static_cast<int32_t>(query.Int()));
  step.set_complete(query.Int() != 0);
  step.set_begin_ns(query.Int());
  step.set_peak_phase(query.Text());
  step.set_most_reserved_bytes(query.Int());
  step.set_allocations(query.Int());
  step.set_frees(query.Int());
  step.set_out_of_memory(query.Int());
  return step;
}

}  // namespace

absl::Status ReadSession::FillMoments(int64_t run, v1::MemoryStep* step) {
  Query query = db_->Prepare("SELECT moment, " INVACT_MOMENT_COLUMNS
                             " FROM memory_moments WHERE run = ? AND step = ? "
                             "AND device = ? AND moment <> 'oom'");
  query.BindAll(run, step->step(), int64_t{step->device()});
  while (query.Next()) {
    const std::string name = query.Text();
    v1::MemoryMoment moment = ReadMoment(query);
    (name == "begin"      ? step->mutable_begin()
     : name == "backward" ? step->mutable_backward()
     : name == "end"      ? step->mutable_end()
                          : step->mutable_peak())
        ->Swap(&moment);
  }
  return query.status();
}

absl::Status ReadSession::FillHolders(
    int64_t run, int64_t step, int64_t device, std::string_view moment,
    google::protobuf::RepeatedPtrField<v1::MemoryHolder>* out) {
  Query query = db_->Prepare(
      "SELECT h.category, h.bytes, c.name IS NOT NULL, c.name, s.op, "
      "s.pack_ordinal FROM memory_holders AS h "
      "LEFT JOIN sites AS s ON s.run = h.run AND s.id = h.site "
      "LEFT JOIN scopes AS c ON c.run = h.run "
      "AND c.id = COALESCE(h.scope, s.scope) "
      "WHERE h.run = ? AND h.device = ? AND h.moment = ? AND h.step = ? "
      "ORDER BY h.n");
  query.BindAll(run, device, moment, step);
  while (query.Next()) {
    v1::MemoryHolder& holder = *out->Add();
    holder.set_category(query.Text());
    holder.set_bytes(query.Int());
    const bool named = query.Int() != 0;
    const std::string layer = query.Text();
    if (named) holder.set_layer(layer);
    holder.set_op(query.Text());
    if (const auto ordinal = query.OptionalInt()) {
      holder.set_ordinal(static_cast<int32_t>(*ordinal));
    }
  }
  return query.status();
}

absl::StatusOr<std::vector<v1::MemoryStep>> ReadSession::MemorySteps(
    int64_t run, int64_t first, int64_t last) {
  std::vector<v1::MemoryStep> steps;
  Query query = db_->Prepare(
      "SELECT " INVACT_MEMORY_STEP_COLUMNS
      " FROM memory_steps WHERE run = ? AND step >= ? AND step <= ? "
      "ORDER BY step, device");
  query.BindAll(run, first, last);
  while (query.Next()) steps.push_back(ReadMemoryStep(query));
  if (!query.status().ok()) return query.status();
  for (v1::MemoryStep& step : steps) {
    absl::Status status = FillMoments(run, &step);
    if (status.ok()) {
      status = FillHolders(run, step.step(), step.device(), "peak",
                           step.mutable_holders());
    }
    if (!status.ok()) return status;
  }
  return steps;
}

absl::StatusOr<StoredMemory> ReadSession::Memory(int64_t run, int64_t step) {
  StoredMemory out;
  absl::StatusOr<std::vector<v1::MemoryStep>> of_step =
      MemorySteps(run, step, step);
  if (!of_step.ok()) return of_step.status();
  out.of_step = *std::move(of_step);
  // The highest peak of each device, the first one where several are.
  std::vector<std::pair<int64_t, int64_t>> highest;
  Query query = db_->Prepare(
      "SELECT device, MIN(step) FROM memory_steps AS s WHERE run = ?1 AND "
      "peak_bytes = (SELECT MAX(peak_bytes) FROM memory_steps "
      "WHERE run = ?1 AND device = s.device) GROUP BY device ORDER BY device");
  query.Bind(run);
  while (query.Next()) {
    const int64_t device = query.Int();
    highest.emplace_back(device, query.Int());
  }
  if (!query.status().ok()) return query.status();
  for (const auto& [device, at] : highest) {
    absl::StatusOr<std::vector<v1::MemoryStep>> steps =
        MemorySteps(run, at, at);
    if (!steps.ok()) return steps.status();
    for (v1::MemoryStep& one : *steps) {
      if (one.device() == device) out.highest.push_back(std::move(one));
    }
  }
  Query failures = db_->Prepare(
      "SELECT f.step, f.device, phase, asked_bytes, device_free_bytes, "
      "" INVACT_MOMENT_COLUMNS
      " FROM memory_failures AS f JOIN memory_moments AS m "
      "ON m.run = f.run AND m.step = f.step AND m.device = f.device "
      "AND m.moment = 'oom' WHERE f.run = ? ORDER BY f.device");
  failures.Bind(run);
  while (failures.Next()) {
    v1::MemoryFailure& failure = out.failures.emplace_back();
    failure.set_step(failures.Int());
    failure.set_device(static_cast<int32_t>(failures.Int()));
    failure.set_phase(failures.Text());
    failure.set_asked_bytes(failures.Int());
    failure.set_device_free_bytes(failures.Int());
    *failure.mutable_at() = ReadMoment(failures);
  }
  if (!failures.status().ok()) return failures.status();
  for (v1::MemoryFailure& failure : out.failures) {
    const absl::Status status =
        FillHolders(run, failure.step(), failure.device(), "oom",
                    failure.mutable_holders());
    if (!status.ok()) return status;
  }
  return out;
}

}  // namespace invact
