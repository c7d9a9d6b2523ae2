// Store: the account of device memory.
#include <string_view>
#include <utility>

#include "daemon/store/memory_columns.h"
#include "daemon/store/store.h"

namespace invact {
namespace {

// Steps whose holders are kept, besides the one with the highest peak.
constexpr int64_t kStepsWithHolders = 1000;

int64_t SumOf(const v1::MemoryMoment& moment) {
  int64_t sum = 0;
  for (const auto& [category, bytes] : moment.by_category()) sum += bytes;
  return sum;
}

}  // namespace

absl::Status Store::AppendMemory(int64_t run, const v1::Batch& batch) {
  for (const v1::MemoryStep& step : batch.memory_steps()) {
    absl::Status status = AppendMemoryStep(run, step);
    if (!status.ok()) return status;
  }
  for (const v1::MemoryFailure& failure : batch.memory_failures()) {
    absl::Status status =
        db_->Prepare(
               "INSERT OR REPLACE INTO memory_failures (run, device, step, "
               "phase, asked_bytes, device_free_bytes) "
               "VALUES (?, ?, ?, ?, ?, ?)")
            .BindAll(run, int64_t{failure.device()}, failure.step(),
                     failure.phase(), failure.asked_bytes(),
                     failure.device_free_bytes())
            .Run();
    if (status.ok()) {
      status = WriteMoment({run, failure.step(), failure.device(), "oom"},
                           failure.at());
    }
    if (status.ok()) {
      status = WriteHolders({run, failure.step(), failure.device(), "oom"},
                            failure.holders());
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Store::AppendMemoryStep(int64_t run, const v1::MemoryStep& step) {
  const int64_t device = step.device();
  absl::Status status =
      db_->Prepare(
             "INSERT OR REPLACE INTO memory_steps (run, step, device, "
             "complete, begin_ns, peak_bytes, peak_phase, "
             "most_reserved_bytes, allocations, frees, out_of_memory) "
             "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
          .BindAll(run, step.step(), device, int64_t{step.complete()},
                   step.begin_ns(), SumOf(step.peak()), step.peak_phase(),
                   step.most_reserved_bytes(), step.allocations(), step.frees(),
                   step.out_of_memory())
          .Run();
  const std::pair<std::string_view, const v1::MemoryMoment*> moments[] = {
      {"begin", step.has_begin() ? &step.begin() : nullptr},
      {"backward", step.has_backward() ? &step.backward() : nullptr},
      {"end", step.has_end() ? &step.end() : nullptr},
      {"peak", &step.peak()}};
  for (const auto& [name, moment] : moments) {
    if (status.ok() && moment != nullptr) {
      status = WriteMoment({run, step.step(), device, name}, *moment);
    }
  }
  // A row without holders is of a step under way: they follow.
  if (!status.ok() || step.holders().empty()) return status;
  status = WriteHolders({run, step.step(), device, "peak"}, step.holders());
  if (!status.ok()) return status;
  return db_
      ->Prepare(
          "DELETE FROM memory_holders WHERE run = ?1 AND device = ?2 "
          "AND moment = 'peak' AND step < ?3 AND step <> (SELECT step FROM "
          "memory_steps WHERE run = ?1 AND device = ?2 "
          "ORDER BY peak_bytes DESC LIMIT 1)")
      .BindAll(run, device, step.step() - kStepsWithHolders)
      .Run();
}

absl::Status Store::WriteMoment(const MomentKey& at,
                                const v1::MemoryMoment& moment) {
  Query query = db_->Prepare(
      "INSERT OR REPLACE INTO memory_moments (run, step, device, moment, "
      "" INVACT_MOMENT_COLUMNS ") VALUES (?, ?, ?, ?, " INVACT_MOMENT_PLACES
      ")");
  query.BindAll(at.run, at.step, at.device, at.moment);
  BindMoment(query, moment);
  return query.Run();
}

absl::Status Store::WriteHolders(
    const MomentKey& at,
    const google::protobuf::RepeatedPtrField<v1::MemoryHolder>& holders) {
  absl::Status status =
      db_->Prepare(
             "DELETE FROM memory_holders WHERE run = ? AND device = ? "
             "AND moment = ? AND step = ?")
          .BindAll(at.run, at.device, at.moment, at.step)
          .Run();
  int64_t n = 0;
  for (const v1::MemoryHolder& holder : holders) {
    if (!status.ok()) break;
    std::optional<int64_t> scope, site;
    if (holder.has_scope()) scope = holder.scope();
    if (holder.has_site()) site = holder.site();
    status = db_->Prepare(
                    "INSERT INTO memory_holders (run, device, moment, step, "
                    "n, scope, site, category, bytes) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
                 .BindAll(at.run, at.device, at.moment, at.step, n++, scope,
                          site, holder.category(), holder.bytes())
                 .Run();
  }
  return status;
}

}  // namespace invact
