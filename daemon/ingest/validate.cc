#include "daemon/ingest/validate.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "daemon/store/event_record.h"
#include "proto/codes.h"
#include "proto/memory_record.h"

namespace invact {
namespace {

constexpr size_t kNameBytes = 256;
constexpr size_t kPathBytes = 4096;
constexpr size_t kMaxRows = 32768;
constexpr size_t kMaxKernels = 256;  // of one message
constexpr int64_t kMaxBytes = int64_t{1} << 56;
constexpr int64_t kMaxWallNs = int64_t{1} << 62;
constexpr int64_t kMaxDevice = 127;
constexpr int64_t kMaxStep = int64_t{1} << 48;
constexpr uint64_t kMaxSeq = uint64_t{1} << 62;

// Collects the first thing that is wrong, so that checks read as a list.
class Checker {
 public:
  bool ok() const { return status_.ok(); }
  absl::Status status() const { return status_; }

  void Fail(absl::string_view field, absl::string_view why) {
    if (ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat(field, ": ", why));
    }
  }
  // proto3 strings were checked for UTF-8 by the parser of a `string` field;
  // NUL is legal there and ends a C string early, so it is refused.
  void Text(absl::string_view field, absl::string_view text, size_t limit) {
    if (text.size() > limit) {
      Fail(field, absl::StrCat(text.size(), " bytes, at most ", limit));
    } else if (text.find('\0') != absl::string_view::npos) {
      Fail(field, "contains a NUL byte");
    }
  }
  void Range(absl::string_view field, int64_t value, int64_t low,
             int64_t high) {
    if (value < low || value > high) {
      Fail(field, absl::StrCat(value, " is outside ", low, "..", high));
    }
  }
  void Bytes(absl::string_view field, int64_t value) {
    Range(field, value, 0, kMaxBytes);
  }
  void Count(absl::string_view field, size_t count, size_t limit) {
    if (count > limit) {
      Fail(field, absl::StrCat(count, " entries, at most ", limit));
    }
  }
  void OneOf(absl::string_view field, absl::string_view value,
             std::initializer_list<absl::string_view> choices) {
    if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
      Fail(field, absl::StrCat("\"", value.substr(0, 40), "\" is not one of ",
                               absl::StrJoin(choices, ", ")));
    }
  }
  void Seconds(absl::string_view field, double value) {
    if (!std::isfinite(value) || value < 0 || value > 1e9) {
      Fail(field, "is no time in seconds");
    }
  }

 private:
  absl::Status status_;
};

void CheckTotals(Checker& check, const v1::StepTotals& totals) {
  check.Range("step.index", totals.index(), 0, kMaxStep);
  check.OneOf("step.phase", totals.phase(), {"forward", "backward", "done"});
  check.Bytes("step.baseline_bytes", totals.baseline_bytes());
  check.Bytes("step.held_bytes", totals.held_bytes());
  check.Bytes("step.side_bytes", totals.side_bytes());
  check.Range("step.begin_ns", totals.begin_ns(), 0, kMaxWallNs);
  check.Range("step.backward_begin_ns", totals.backward_begin_ns(), 0,
              kMaxWallNs);
  check.Range("step.end_ns", totals.end_ns(), 0, kMaxWallNs);
  check.Bytes("step.allocated_before_bytes", totals.allocated_before_bytes());
  check.Bytes("step.allocated_instant_bytes", totals.allocated_instant_bytes());
  check.Bytes("step.peak_allocated_bytes", totals.peak_allocated_bytes());
  check.Bytes("step.peak_reserved_bytes", totals.peak_reserved_bytes());
  check.Bytes("step.saved_at_peak_bytes", totals.saved_at_peak_bytes());
  // More may be held than without substitutions, for a moment.
  check.Range("step.eliminated_at_peak_bytes",
              totals.eliminated_at_peak_bytes(), -kMaxBytes, kMaxBytes);
  check.Bytes("step.saved_tensors", totals.saved_tensors());
  check.Bytes("step.activation_bytes", totals.activation_bytes());
  check.Bytes("step.input_bytes", totals.input_bytes());
  check.Bytes("step.weight_copy_bytes", totals.weight_copy_bytes());
  check.Seconds("step.device_forward_seconds", totals.device_forward_seconds());
  check.Seconds("step.device_backward_seconds",
                totals.device_backward_seconds());
  check.Seconds("step.device_step_seconds", totals.device_step_seconds());
}

void CheckTable(Checker& check, const v1::SiteTable& table) {
  check.Count("table.rows", table.rows_size(), kMaxRows);
  check.Count("table.scopes", table.scopes_size(), kMaxRows);
  CheckTotals(check, table.totals());
  for (const v1::SiteRow& row : table.rows()) {
    if (!check.ok()) return;
    check.Bytes("row.baseline_bytes", row.baseline_bytes());
    check.Bytes("row.held_bytes", row.held_bytes());
    check.Bytes("row.side_bytes", row.side_bytes());
    check.Text("row.action", row.action(), 64);
    check.Text("row.declined", row.declined(), 64);
  }
  for (const v1::ScopeRow& row : table.scopes()) {
    if (!check.ok()) return;
    check.Bytes("scope_row.input_bytes", row.input_bytes());
    check.Range("scope_row.forward_ns", row.forward_ns(), 0, kMaxWallNs);
  }
}

void CheckKernels(
    Checker& check,
    const google::protobuf::RepeatedPtrField<v1::KernelCalibration>& kernels) {
  check.Count("kernels", kernels.size(), kMaxKernels);
  for (const v1::KernelCalibration& kernel : kernels) {
    if (!check.ok()) return;
    check.Text("kernel.op", kernel.op(), kNameBytes);
    check.Text("kernel.dtype", kernel.dtype(), 64);
    check.Text("kernel.device", kernel.device(), kNameBytes);
    check.Text("kernel.library", kernel.library(), kPathBytes);
    check.Text("kernel.reason", kernel.reason(), kNameBytes);
    check.Text("kernel.detail", kernel.detail(), kPathBytes);
    check.Range("kernel.side_bits", kernel.side_bits(), 0, 1024);
    // Ours sends what is not finite as not known; a reader can't mend it.
    for (double error :
         {kernel.stated_max(), kernel.stated_rms(), kernel.floor_max(),
          kernel.floor_rms(), kernel.error_max(), kernel.error_rms()}) {
      if (!std::isfinite(error) || error < 0) {
        check.Fail("kernel", "an error is negative or not finite");
      }
    }
  }
}

void CheckDigests(Checker& check, const v1::Batch& batch) {
  check.Count("parameters", batch.parameters_size(), kMaxRows);
  for (const v1::Parameter& parameter : batch.parameters()) {
    if (!check.ok()) return;
    check.Text("parameter.name", parameter.name(), kPathBytes);
    check.Text("parameter.type", parameter.type(), kNameBytes);
  }
  for (const v1::StepDigests& digests : batch.digests()) {
    if (!check.ok()) return;
    check.Range("digests.step", digests.step(), 0, kMaxStep);
    if (digests.parameters_size() != digests.gradients_size()) {
      check.Fail("digests", "another number of parameters than of gradients");
    }
    if (digests.roots_size() != digests.losses_size()) {
      check.Fail("digests", "another number of roots than of losses");
    }
    for (const v1::UnseenDigest& unseen : digests.unseen()) {
      check.Text("digests.unseen.reason", unseen.reason(), 64);
    }
  }
}

void CheckMoment(Checker& check, const v1::MemoryMoment& moment) {
  check.Range("memory.time_ns", moment.time_ns(), 0, kMaxWallNs);
  check.Count("memory.by_category", moment.by_category_size(), 64);
  for (const auto& [category, bytes] : moment.by_category()) {
    check.Text("memory.category", category, 64);
    check.Bytes("memory.by_category", bytes);
  }
  check.Bytes("memory.awaiting_bytes", moment.awaiting_bytes());
  check.Bytes("memory.reserved_bytes", moment.reserved_bytes());
  check.Bytes("memory.allocated_bytes", moment.allocated_bytes());
  check.Bytes("memory.requested_bytes", moment.requested_bytes());
  check.Bytes("memory.torch_reserved_bytes", moment.torch_reserved_bytes());
}

template <typename Message>
void CheckMemoryPlace(Checker& check, const Message& message,
                      absl::string_view phase) {
  check.Range("memory.step", message.step(), -1, kMaxStep);
  check.Range("memory.device", message.device(), 0, kMaxDevice);
  check.OneOf("memory.phase", phase,
              {"between", "forward", "backward", "optimizer"});
  check.Count("memory.holders", message.holders_size(), 64);
  for (const v1::MemoryHolder& holder : message.holders()) {
    check.Text("memory.holder.category", holder.category(), 64);
    check.Bytes("memory.holder.bytes", holder.bytes());
  }
}

void CheckMemory(Checker& check, const v1::Batch& batch) {
  for (const v1::MemoryStep& step : batch.memory_steps()) {
    if (!check.ok()) return;
    CheckMemoryPlace(check, step, step.peak_phase());
    check.Range("memory.begin_ns", step.begin_ns(), 0, kMaxWallNs);
    for (const v1::MemoryMoment* moment :
         {&step.begin(), &step.backward(), &step.end(), &step.peak()}) {
      CheckMoment(check, *moment);
    }
    check.Bytes("memory.most_reserved_bytes", step.most_reserved_bytes());
    check.Bytes("memory.allocations", step.allocations());
    check.Bytes("memory.frees", step.frees());
    check.Bytes("memory.out_of_memory", step.out_of_memory());
  }
  for (const v1::MemoryFailure& failure : batch.memory_failures()) {
    if (!check.ok()) return;
    CheckMemoryPlace(check, failure, failure.phase());
    CheckMoment(check, failure.at());
    check.Bytes("memory.asked_bytes", failure.asked_bytes());
    check.Bytes("memory.device_free_bytes", failure.device_free_bytes());
  }
}

void CheckPlace(Checker& check, absl::string_view field, uint32_t number) {
  if (number != kNoMemoryPlace) {
    check.Range(field, number, 0, kMostMemoryPlaces - 1);
  }
}

void CheckMemoryRecord(Checker& check, const MemoryRecord& record) {
  const bool gap = record.kind == static_cast<uint8_t>(EventKind::kGap);
  check.Range("memory_record.time_ns",
              static_cast<int64_t>(std::min(record.time_ns, kMaxSeq)), 0,
              kMaxWallNs - 1);
  check.Range("memory_record.bytes", record.bytes, gap ? 0 : -kMaxBytes,
              kMaxBytes);
  CheckPlace(check, "memory_record.scope", record.scope);
  CheckPlace(check, "memory_record.site", record.site);
  if (record.category != kReservedBytes) {
    check.Range("memory_record.category", record.category, 0,
                kMostMemoryCategories - 1);
  }
  check.Range("memory_record.device", record.device, gap ? -1 : 0, kMaxDevice);
  check.Range("memory_record.more", record.more, 0, 1);
}

void CheckMemoryRecords(Checker& check, const v1::Batch& batch) {
  if (batch.memory_before() > kMaxSeq) {
    check.Fail("memory_before", "is larger than any count");
  }
  const std::string& records = batch.memory_records();
  if (records.empty()) return;
  const size_t each = batch.memory_record_bytes();
  if (each < sizeof(MemoryRecord) || each > kMaxRecordBytes) {
    check.Fail("memory_record_bytes",
               absl::StrCat(each, " is outside ", sizeof(MemoryRecord), "..",
                            kMaxRecordBytes));
  } else if (records.size() % each != 0) {
    check.Fail("memory_records", "ends inside a record");
  } else {
    check.Count("memory_records", records.size() / each, kMostMemoryRecords);
  }
  for (size_t at = 0; check.ok() && at < records.size(); at += each) {
    MemoryRecord record;
    std::memcpy(&record, records.data() + at, sizeof(record));
    CheckMemoryRecord(check, record);
  }
}

bool IsRunId(absl::string_view id) {
  return id.size() == 16 && std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

absl::Status ValidateHello(const v1::Hello& hello_untrusted) {
  const v1::Hello& hello = hello_untrusted;
  if (hello.protocol_major() != kProtocolMajor) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the relay speaks protocol ", hello.protocol_major(), ".",
        hello.protocol_minor(), ", the daemon ", kProtocolMajor, ".",
        kProtocolMinor, ": the ",
        hello.protocol_major() < kProtocolMajor ? "relay" : "daemon",
        " is older; install the same invact on both sides"));
  }
  Checker check;
  check.Range("protocol_minor", hello.protocol_minor(), 0, 1 << 20);
  const v1::Run& run = hello.run();
  if (!IsRunId(run.id())) check.Fail("run.id", "is not 16 hex digits");
  if (hello.run_secret().size() < 16 || hello.run_secret().size() > 64) {
    check.Fail("run_secret", "is not 16 to 64 bytes");
  }
  check.Text("run.name", run.name(), kNameBytes);
  check.Text("run.job_id", run.job_id(), kNameBytes);
  check.Text("run.policy", run.policy(), 64);
  check.Text("run.host", run.host(), kNameBytes);
  check.Text("run.torch_version", run.torch_version(), 64);
  check.Text("run.device", run.device(), kNameBytes);
  check.Text("run.invact_version", run.invact_version(), 64);
  check.Range("run.pid", run.pid(), 1, INT32_MAX);
  check.Range("run.rank", run.rank(), 0, 1 << 24);
  check.Range("run.local_rank", run.local_rank(), 0, 1 << 24);
  check.Range("run.world_size", run.world_size(), 0, 1 << 24);
  check.Range("run.restart", run.restart(), 0, 1 << 24);
  check.Range("run.started_at.seconds", run.started_at().seconds(), 0,
              kMaxWallNs / 1'000'000'000);
  check.Range("run.started_at.nanos", run.started_at().nanos(), 0, 999'999'999);
  CheckKernels(check, hello.kernels());
  return check.status();
}

absl::Status ValidateBatch(const v1::Batch& batch_untrusted) {
  const v1::Batch& batch = batch_untrusted;
  const size_t size = batch.ByteSizeLong();
  if (size > kMaxBatchBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a batch of ", size, " bytes, at most ", kMaxBatchBytes));
  }
  Checker check;
  if (batch.seq() < 1 || batch.seq() > kMaxSeq) {
    check.Fail("seq", "starts at 1");
  }
  check.Range("wall_time_ns", batch.wall_time_ns(), 0, kMaxWallNs);
  check.Range("monotonic_time_ns", batch.monotonic_time_ns(), 0, kMaxWallNs);

  if (!batch.records().empty()) {
    const size_t each = batch.record_bytes();
    if (each < kMinRecordBytes || each > kMaxRecordBytes) {
      check.Fail("record_bytes",
                 absl::StrCat(each, " is outside ", kMinRecordBytes, "..",
                              kMaxRecordBytes));
    } else if (batch.records().size() % each != 0) {
      check.Fail("records", "ends inside a record");
    } else {
      check.Count("records", batch.records().size() / each, kMaxRecords);
    }
  }
  check.Count("scopes", batch.scopes_size(), kMaxRows);
  for (const v1::Scope& scope : batch.scopes()) {
    if (!check.ok()) break;
    check.Text("scope.name", scope.name(), kPathBytes);
  }
  check.Count("sites", batch.sites_size(), kMaxRows);
  for (const v1::Site& site : batch.sites()) {
    if (!check.ok()) break;
    check.Text("site.op", site.op(), kNameBytes);
    check.Text("site.dtype", site.dtype(), 64);
    check.Text("site.category", site.category(), 64);
  }
  check.Count("steps", batch.steps_size(), kMaxRows);
  for (const v1::StepTotals& step : batch.steps()) {
    if (!check.ok()) break;
    CheckTotals(check, step);
  }
  CheckDigests(check, batch);
  CheckMemory(check, batch);
  CheckMemoryRecords(check, batch);
  if (batch.has_last_step()) CheckTable(check, batch.last_step());
  if (batch.has_max_step()) CheckTable(check, batch.max_step());
  if (batch.has_live()) CheckTable(check, batch.live());
  check.Range("losses.events_dropped", batch.losses().events_dropped(), 0,
              kMaxWallNs);
  check.Text("update.device", batch.update().device(), kNameBytes);
  check.Text("update.policy", batch.update().policy(), 64);
  check.Count("update.warnings", batch.update().warnings_size(), 64);
  for (const std::string& text : batch.update().warnings()) {
    if (!check.ok()) break;
    check.Text("update.warnings", text, kPathBytes);
  }
  CheckKernels(check, batch.update().kernels());
  if (batch.has_end()) {
    check.OneOf("end.state", batch.end().state(), {"finished", "crashed"});
    check.OneOf("end.end_reason", batch.end().end_reason(),
                {"exit", "signal", "oom", "lost"});
    check.Range("end.exit_code", batch.end().exit_code(), INT32_MIN, INT32_MAX);
    check.Range("end.signal", batch.end().signal(), 0, 255);
    check.Range("end.ended_wall_ns", batch.end().ended_wall_ns(), 0,
                kMaxWallNs);
  }
  if (batch.has_out_of_memory()) {
    const v1::OutOfMemory& oom = batch.out_of_memory();
    check.OneOf("out_of_memory.phase", oom.phase(),
                {"forward", "backward", "done"});
    check.Range("out_of_memory.step_index", oom.step_index(), 0, kMaxStep);
    check.Text("out_of_memory.layer", oom.layer(), kPathBytes);
    check.Bytes("out_of_memory.requested_bytes", oom.requested_bytes());
    check.Bytes("out_of_memory.saved_bytes", oom.saved_bytes());
  }
  return check.status();
}

}  // namespace invact
