#include "daemon/report/memory_json.h"

#include "daemon/report/memory_moments.h"
#include "proto/codes.h"

namespace invact {
namespace {

Json OrNull(const std::optional<int64_t>& value) {
  return value ? Json(*value) : Json();
}

Json ByCategory(const v1::MemoryMoment& moment) {
  Json out = Json::object();
  for (const std::string_view name : codes::kMemoryCategoryNames) {
    out[std::string(name)] = CategoryBytes(moment, std::string(name));
  }
  std::map<std::string, int64_t> rest(moment.by_category().begin(),
                                      moment.by_category().end());
  for (const auto& [name, bytes] : rest) {
    if (!out.contains(name)) out[name] = bytes;
  }
  return out;
}

Json MomentFields(const v1::MemoryMoment& moment) {
  Json out;
  out["time_ns"] = moment.time_ns();
  out["bytes"] = LiveBytes(moment);
  out["by_category"] = ByCategory(moment);
  out["awaiting_bytes"] = moment.awaiting_bytes();
  out["requested_bytes"] = LiveBytes(moment) + moment.awaiting_bytes();
  out["rounding_bytes"] = OrNull(RoundingBytes(moment));
  out["allocated_bytes"] =
      moment.has_allocated_bytes() ? Json(moment.allocated_bytes()) : Json();
  out["unused_bytes"] = OrNull(UnusedBytes(moment));
  out["reserved_bytes"] = moment.reserved_bytes();
  return out;
}

Json HolderFields(
    const google::protobuf::RepeatedPtrField<v1::MemoryHolder>& holders) {
  Json out = Json::array();
  for (const v1::MemoryHolder& holder : holders) {
    Json one;
    one["layer"] = holder.has_layer() ? Json(holder.layer()) : Json();
    one["op"] = holder.op().empty() ? Json() : Json(holder.op());
    one["ordinal"] = holder.has_ordinal() ? Json(holder.ordinal()) : Json();
    one["category"] = holder.category();
    one["bytes"] = holder.bytes();
    out.push_back(std::move(one));
  }
  return out;
}

Json FailureFields(const v1::MemoryFailure& failure) {
  Json out;
  out["step_index"] = failure.step();
  out["phase"] = failure.phase();
  out["asked_bytes"] = failure.asked_bytes();
  out["device_free_bytes"] = failure.device_free_bytes();
  out["at"] = MomentFields(failure.at());
  out["holders"] = HolderFields(failure.holders());
  return out;
}

}  // namespace

Json MemoryStepFields(const v1::MemoryStep& step) {
  Json out;
  out["device"] = step.device();
  out["step_index"] = step.step();
  out["complete"] = step.complete();
  out["source"] = "measured";
  out["peak_phase"] = step.peak_phase();
  out["peak"] = MomentFields(step.peak());
  out["most_reserved_bytes"] = step.most_reserved_bytes();
  out["begin"] = step.has_begin() ? MomentFields(step.begin()) : Json();
  out["backward"] =
      step.has_backward() ? MomentFields(step.backward()) : Json();
  out["end"] = step.has_end() ? MomentFields(step.end()) : Json();
  out["allocations"] = step.allocations();
  out["frees"] = step.frees();
  out["out_of_memory"] = step.out_of_memory();
  out["holders"] = HolderFields(step.holders());
  return out;
}

Json MemoryFields(const v1::Memory& memory) {
  if (memory.devices().empty()) return Json();
  Json out;
  out["devices"] = Json::array();
  for (const v1::MemoryDevice& device : memory.devices()) {
    Json one;
    one["device"] = device.device();
    one["highest"] = MemoryStepFields(device.highest());
    one["highest_without_eliminations_bytes"] =
        device.has_highest_without_eliminations_bytes()
            ? Json(device.highest_without_eliminations_bytes())
            : Json();
    one["step"] = device.has_step() ? MemoryStepFields(device.step()) : Json();
    one["out_of_memory"] = device.has_out_of_memory()
                               ? FailureFields(device.out_of_memory())
                               : Json();
    out["devices"].push_back(std::move(one));
  }
  return out;
}

}  // namespace invact
