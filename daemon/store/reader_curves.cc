// ReadSession: device memory over steps, made small.
#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "daemon/store/memory_columns.h"
#include "daemon/store/reader.h"

namespace invact {
namespace {

struct Moment {
  int64_t step, time_ns, bytes;
};

void Add(const Moment& moment, v1::MemoryBucket* bucket) {
  const bool first = bucket->end_ns() == 0;
  if (first || moment.bytes < bucket->min_bytes()) {
    bucket->set_min_bytes(moment.bytes);
  }
  // The first step of several that reach the same.
  if (first || moment.bytes > bucket->max_bytes()) {
    bucket->set_max_bytes(moment.bytes);
    bucket->set_max_step(moment.step);
  }
  if (first || moment.time_ns >= bucket->end_ns()) {
    bucket->set_end_ns(moment.time_ns);
    bucket->set_last_bytes(moment.bytes);
  }
  if (first || moment.time_ns < bucket->begin_ns()) {
    bucket->set_begin_ns(moment.time_ns);
  }
  if (first) bucket->set_first_step(moment.step);
  bucket->set_last_step(moment.step);
}

}  // namespace

absl::StatusOr<std::vector<v1::MemoryCurve>> ReadSession::MemoryCurves(
    int64_t run, const MemoryCurveFilter& filter) {
  const auto* category = std::find(kMomentCategories.begin(),
                                   kMomentCategories.end(), filter.category);
  if (!filter.category.empty() && category == kMomentCategories.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no category of memory is called ", filter.category));
  }
  const int64_t column =
      filter.category.empty() ? 0 : category - kMomentCategories.begin() + 1;
  int64_t first = 0, count = 0;
  {
    Query range = db_->Prepare(
        "SELECT MIN(step), MAX(step) FROM memory_steps "
        "WHERE run = ? AND step >= ? AND step <= ?");
    range.BindAll(run, filter.first_step, filter.last_step);
    if (range.Next()) {
      const auto least = range.OptionalInt(), most = range.OptionalInt();
      if (!least || !most) return std::vector<v1::MemoryCurve>();
      first = *least;
      count = *most - *least + 1;
    }
    if (!range.status().ok()) return range.status();
  }
  const int64_t each = (count + filter.buckets - 1) / filter.buckets;
  std::map<int64_t, std::pair<v1::MemoryCurve, int64_t>> curves;
  // By their place in kMomentCategories, from 1.
  Query query = db_->Prepare(
      "SELECT device, step, time_ns, CASE ?4 "
      "WHEN 1 THEN unknown_bytes WHEN 2 THEN parameter_bytes "
      "WHEN 3 THEN gradient_bytes WHEN 4 THEN optimizer_state_bytes "
      "WHEN 5 THEN activation_bytes WHEN 6 THEN input_bytes "
      "WHEN 7 THEN weight_copy_bytes WHEN 8 THEN temporary_bytes "
      "WHEN 9 THEN other_bytes ELSE unknown_bytes + parameter_bytes + "
      "gradient_bytes + optimizer_state_bytes + activation_bytes + "
      "input_bytes + weight_copy_bytes + temporary_bytes + other_bytes END "
      "FROM memory_moments WHERE run = ?1 AND step >= ?2 AND step <= ?3 "
      "AND moment <> 'oom' AND (?5 IS NULL OR device = ?5) ORDER BY step");
  query.BindAll(run, filter.first_step, filter.last_step, column,
                filter.device);
  while (query.Next()) {
    const int64_t device = query.Int();
    Moment moment = {};
    moment.step = query.Int();
    moment.time_ns = query.Int();
    moment.bytes = query.Int();
    auto& [curve, newest] =
        curves.try_emplace(device, v1::MemoryCurve(), -1).first->second;
    const int64_t place = (moment.step - first) / each;
    if (place != newest) curve.add_buckets();
    newest = place;
    Add(moment, curve.mutable_buckets(curve.buckets_size() - 1));
  }
  if (!query.status().ok()) return query.status();
  std::vector<v1::MemoryCurve> out;
  for (auto& [device, curve] : curves) {
    curve.first.set_device(static_cast<int32_t>(device));
    out.push_back(std::move(curve.first));
  }
  return out;
}

}  // namespace invact
