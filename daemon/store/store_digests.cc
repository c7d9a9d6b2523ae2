// Store and ReadSession: digests of losses and gradients.
#include "daemon/store/reader.h"
#include "daemon/store/store.h"

namespace invact {

absl::Status Store::AppendDigests(int64_t run, const v1::Batch& batch) {
  for (const v1::Parameter& parameter : batch.parameters()) {
    absl::Status status =
        db_->Prepare("INSERT OR REPLACE INTO parameters VALUES (?, ?, ?, ?)")
            .BindAll(run, int64_t{parameter.id()}, parameter.name(),
                     parameter.type())
            .Run();
    if (!status.ok()) return status;
  }
  for (const v1::StepDigests& digests : batch.digests()) {
    const std::string message = digests.SerializeAsString();
    absl::Status status =
        db_->Prepare(
               "INSERT INTO digests (run, step, message) VALUES (?, ?, ?)")
            .BindAll(run, int64_t{digests.step()}, Blob{message})
            .Run();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredDigests> ReadSession::Digests(int64_t run) {
  StoredDigests out;
  Query parameters = db_->Prepare(
      "SELECT id, name, type FROM parameters WHERE run = ? ORDER BY id");
  parameters.Bind(run);
  while (parameters.Next()) {
    v1::Parameter& parameter = out.parameters.emplace_back();
    parameter.set_id(static_cast<uint32_t>(parameters.Int()));
    parameter.set_name(parameters.Text());
    parameter.set_type(parameters.Text());
  }
  if (!parameters.status().ok()) return parameters.status();
  size_t bytes = 0;
  Query digests = db_->Prepare(
      "SELECT message FROM digests WHERE run = ? ORDER BY step, pk");
  digests.Bind(run);
  while (digests.Next()) {
    const std::string message = digests.Text();
    bytes += message.size();
    if (bytes > kMaxDigestBytes) {
      out.cut = true;
      break;
    }
    if (!out.digests.emplace_back().ParseFromString(message)) {
      return absl::DataLossError("stored digests can't be read");
    }
  }
  if (!digests.status().ok()) return digests.status();
  Query steps = db_->Prepare(
      "SELECT step FROM steps WHERE run = ? AND complete ORDER BY step");
  steps.Bind(run);
  while (steps.Next()) out.steps.push_back(steps.Int());
  if (!steps.status().ok()) return steps.status();
  return out;
}

}  // namespace invact
