// Store: comparisons.
#include "daemon/store/store.h"

namespace invact {
namespace {

template <typename T>
std::optional<T> If(bool known, T value) {
  return known ? std::optional<T>(value) : std::nullopt;
}

}  // namespace

absl::Status Store::AddComparison(const v1::Comparison& comparison) {
  const std::string message = comparison.SerializeAsString();
  int64_t pk = 0;
  {
    Query query = db_->Prepare(
        "INSERT INTO comparisons (id, name, created_ns, rounds, reference, "
        "message) VALUES (?, ?, ?, ?, ?, ?) RETURNING pk");
    query.BindAll(comparison.id(), comparison.name(),
                  comparison.created_at().seconds() * 1'000'000'000 +
                      comparison.created_at().nanos(),
                  int64_t{comparison.rounds()}, comparison.reference(),
                  Blob{message});
    if (query.Next()) pk = query.Int();
    if (absl::Status status = query.Run(); !status.ok()) return status;
  }
  for (int n = 0; n < comparison.policies_size(); ++n) {
    const v1::ComparedPolicy& row = comparison.policies(n);
    const auto bytes = [](bool known, int64_t value) {
      return If(known, value);
    };
    absl::Status status =
        db_->Prepare(
               "INSERT INTO comparison_policies VALUES "
               "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .BindAll(
                pk, int64_t{n}, row.policy(), row.run_id(), row.end_reason(),
                bytes(row.has_saved(), row.saved().baseline_bytes()),
                bytes(row.has_saved(), row.saved().held_bytes()),
                bytes(row.peak().has_allocated_bytes(),
                      row.peak().allocated_bytes()),
                bytes(row.peak().has_reserved_bytes(),
                      row.peak().reserved_bytes()),
                If(row.timing().has_step_seconds_median(),
                   row.timing().step_seconds_median()),
                If(row.has_added_fraction(), row.added_fraction()),
                If(row.has_added_fraction_low(), row.added_fraction_low()),
                If(row.has_added_fraction_high(), row.added_fraction_high()),
                If(row.has_loss_equal(), int64_t{row.loss_equal()}),
                row.gradients(),
                If(row.has_loss_first_step(), int64_t{row.loss_first_step()}),
                If(row.has_gradients_first_step(),
                   int64_t{row.gradients_first_step()}))
            .Run();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Store::DeleteAllComparisons() {
  absl::Status status = db_->Prepare("DELETE FROM comparison_policies").Run();
  if (status.ok()) status = db_->Prepare("DELETE FROM comparisons").Run();
  return status;
}

}  // namespace invact
