#include "daemon/report/json_parts.h"

#include <cmath>
#include <string_view>

#include "daemon/report/memory_json.h"
#include "daemon/report/units.h"
#include "proto/codes.h"

namespace invact {
namespace {

// In a message an empty text says that nothing is known.
Json TextOrNull(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}
Json Number(double value) {
  return std::isfinite(value) ? Json(value) : Json();
}

#define INVACT_OPTIONAL(message, field) \
  ((message).has_##field() ? Json((message).field()) : Json())
#define INVACT_OPTIONAL_NUMBER(message, field) \
  ((message).has_##field() ? Number((message).field()) : Json())

// Names in the order of the table, then those of newer plugins.
template <size_t N>
Json ByName(const google::protobuf::Map<std::string, int64_t>& map,
            const std::string_view (&known)[N]) {
  Json out = Json::object();
  for (const std::string_view name : known) {
    const auto found = map.find(std::string(name));
    if (found != map.end()) out[found->first] = found->second;
  }
  // A map's own order differs from run to run.
  std::map<std::string, int64_t> rest(map.begin(), map.end());
  for (const auto& [name, bytes] : rest) {
    if (!out.contains(name)) out[name] = bytes;
  }
  return out;
}

Json CheckpointFields(const v1::Checkpoint& checkpoint) {
  Json out;
  out["held_bytes"] = INVACT_OPTIONAL(checkpoint, held_bytes);
  out["recompute_peak_bytes"] =
      INVACT_OPTIONAL(checkpoint, recompute_peak_bytes);
  out["extra_time_fraction"] =
      INVACT_OPTIONAL_NUMBER(checkpoint, extra_time_fraction);
  out["source"] = TextOrNull(checkpoint.source());
  out["blocks"] = TextOrNull(checkpoint.blocks());
  return out;
}

Json DeclineFields(const v1::Decline& decline) {
  Json out;
  out["reason"] = decline.reason();
  out["sites"] = decline.sites();
  out["bytes"] = decline.bytes();
  out["hint"] = TextOrNull(decline.hint());
  return out;
}

Json OutOfMemoryFields(const v1::OutOfMemory& oom) {
  Json out;
  out["phase"] = TextOrNull(oom.phase());
  out["step_index"] = oom.step_index();
  out["layer"] = oom.layer();
  out["requested_bytes"] = oom.requested_bytes();
  out["saved_bytes"] = oom.saved_bytes();
  return out;
}

}  // namespace

Json SavedFields(const v1::Saved& saved) {
  Json out;
  out["baseline_bytes"] = saved.baseline_bytes();
  out["held_bytes"] = saved.held_bytes();
  out["side_bytes"] = saved.side_bytes();
  out["eliminated_bytes"] = saved.eliminated_bytes();
  out["eliminated_fraction"] =
      INVACT_OPTIONAL_NUMBER(saved, eliminated_fraction);
  out["by_action"] = saved.by_action().empty()
                         ? Json()
                         : ByName(saved.by_action(), codes::kActionNames);
  out["by_category"] = ByName(saved.by_category(), codes::kCategoryNames);
  return out;
}

Json PeakFields(const v1::Peak& peak) {
  Json out;
  out["allocated_bytes"] = INVACT_OPTIONAL(peak, allocated_bytes);
  out["reserved_bytes"] = INVACT_OPTIONAL(peak, reserved_bytes);
  out["saved_at_peak_bytes"] = INVACT_OPTIONAL(peak, saved_at_peak_bytes);
  out["eliminated_at_peak_bytes"] =
      INVACT_OPTIONAL(peak, eliminated_at_peak_bytes);
  return out;
}

Json TimingFields(const v1::Timing& timing) {
  Json out;
  out["step_seconds_median"] =
      INVACT_OPTIONAL_NUMBER(timing, step_seconds_median);
  out["forward_seconds_median"] =
      INVACT_OPTIONAL_NUMBER(timing, forward_seconds_median);
  out["backward_seconds_median"] =
      INVACT_OPTIONAL_NUMBER(timing, backward_seconds_median);
  out["clock"] = TextOrNull(timing.clock());
  out["steps"] = timing.steps();
  return out;
}

Json RunFields(const v1::Run& run) {
  Json out;
  out["id"] = run.id();
  out["name"] = TextOrNull(run.name());
  out["job_id"] = TextOrNull(run.job_id());
  out["state"] = TextOrNull(run.state());
  out["end_reason"] = TextOrNull(run.end_reason());
  out["exit_code"] = INVACT_OPTIONAL(run, exit_code);
  out["signal"] = INVACT_OPTIONAL(run, signal);
  out["policy"] = TextOrNull(run.policy());
  out["started_at"] =
      run.has_started_at() ? Json(UtcTime(run.started_at())) : Json();
  out["ended_at"] = run.has_ended_at() ? Json(UtcTime(run.ended_at())) : Json();
  out["host"] = TextOrNull(run.host());
  out["pid"] = run.pid();
  out["rank"] = run.rank();
  out["local_rank"] = run.local_rank();
  out["world_size"] = run.world_size();
  out["restart"] = run.restart();
  out["torch_version"] = TextOrNull(run.torch_version());
  out["device"] = TextOrNull(run.device());
  out["steps"] = run.steps();
  out["exact"] = run.exact();
  out["invact_version"] = TextOrNull(run.invact_version());
  return out;
}

Json LayerFields(const v1::Layer& layer) {
  Json out;
  out["name"] = layer.name();  // "" is the outermost module
  out["op"] = TextOrNull(layer.op());
  out["ordinal"] = layer.ordinal();
  out["dtype"] = TextOrNull(layer.dtype());
  out["baseline_bytes"] = layer.baseline_bytes();
  out["held_bytes"] = layer.held_bytes();
  out["side_bytes"] = layer.side_bytes();
  out["eliminated_bytes"] = layer.eliminated_bytes();
  out["action"] = layer.action();
  out["declined"] = TextOrNull(layer.declined());
  out["category"] = TextOrNull(layer.category());
  out["shared"] = layer.shared();
  return out;
}

Json ReportFields(const v1::Report& report) {
  Json out;
  out["schema"] = report.schema();
  out["invact_version"] = report.invact_version();
  out["run"] = RunFields(report.run());
  out["step"]["index"] = report.step().index();
  out["step"]["complete"] = report.step().complete();
  out["step"]["phase"] = TextOrNull(report.step().phase());
  out["saved"] = SavedFields(report.saved());
  out["max"]["step_index"] = INVACT_OPTIONAL(report.max(), step_index);
  out["max"]["baseline_bytes"] = INVACT_OPTIONAL(report.max(), baseline_bytes);
  out["max"]["held_bytes"] = INVACT_OPTIONAL(report.max(), held_bytes);
  out["peak"] = PeakFields(report.peak());
  out["checkpoint"] = CheckpointFields(report.checkpoint());
  // Where no rows are stored of the step, there is nothing to be known.
  const bool rows = !report.saved().by_action().empty();
  out["layers"] = rows ? Json::array() : Json();
  for (const v1::Layer& layer : report.layers()) {
    out["layers"].push_back(LayerFields(layer));
  }
  out["declines"] = rows ? Json::array() : Json();
  for (const v1::Decline& decline : report.declines()) {
    out["declines"].push_back(DeclineFields(decline));
  }
  out["warnings"] = Json::array();
  for (const std::string& warning : report.warnings()) {
    out["warnings"].push_back(warning);
  }
  out["timing"] = TimingFields(report.timing());
  out["losses"]["events_dropped"] = report.losses().events_dropped();
  const v1::Reconciliation& sums = report.reconciliation();
  out["reconciliation"]["allocator_delta_bytes"] =
      INVACT_OPTIONAL(sums, allocator_delta_bytes);
  out["reconciliation"]["ledger_bytes"] = INVACT_OPTIONAL(sums, ledger_bytes);
  out["reconciliation"]["unexplained_bytes"] =
      INVACT_OPTIONAL(sums, unexplained_bytes);
  out["out_of_memory"] = report.has_out_of_memory()
                             ? OutOfMemoryFields(report.out_of_memory())
                             : Json();
  out["memory"] = MemoryFields(report.memory());
  return out;
}

#undef INVACT_OPTIONAL
#undef INVACT_OPTIONAL_NUMBER

std::string Dump(const Json& json) {
  return json.dump(2, ' ', /*ensure_ascii=*/true,
                   Json::error_handler_t::replace) +
         "\n";
}

std::string DumpLine(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/true,
                   Json::error_handler_t::replace) +
         "\n";
}

}  // namespace invact
