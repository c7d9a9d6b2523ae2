#include "daemon/store/memory_columns.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace invact {
namespace {

// In the order of the columns.
constexpr std::array<std::string_view, 9> kCategories = {
    "unknown",         "parameter",  "gradient",
    "optimizer_state", "activation", "input",
    "weight_copy",     "temporary",  "other"};

}  // namespace

void BindMoment(Query& query, const v1::MemoryMoment& moment) {
  std::array<int64_t, kCategories.size()> bytes = {};
  for (const auto& [name, value] : moment.by_category()) {
    const auto* at = std::find(kCategories.begin(), kCategories.end(), name);
    bytes[at == kCategories.end() ? 0 : at - kCategories.begin()] += value;
  }
  query.Bind(moment.time_ns());
  for (const int64_t value : bytes) query.Bind(value);
  query.BindAll(moment.awaiting_bytes(), moment.reserved_bytes());
  const auto optional = [&](bool known, int64_t value) {
    known ? query.Bind(value) : query.BindNull();
  };
  optional(moment.has_allocated_bytes(), moment.allocated_bytes());
  optional(moment.has_requested_bytes(), moment.requested_bytes());
  optional(moment.has_torch_reserved_bytes(), moment.torch_reserved_bytes());
}

v1::MemoryMoment ReadMoment(Query& query) {
  v1::MemoryMoment moment;
  moment.set_time_ns(query.Int());
  for (const std::string_view name : kCategories) {
    const int64_t bytes = query.Int();
    if (bytes != 0) (*moment.mutable_by_category())[std::string(name)] = bytes;
  }
  moment.set_awaiting_bytes(query.Int());
  moment.set_reserved_bytes(query.Int());
  if (auto v = query.OptionalInt()) moment.set_allocated_bytes(*v);
  if (auto v = query.OptionalInt()) moment.set_requested_bytes(*v);
  if (auto v = query.OptionalInt()) moment.set_torch_reserved_bytes(*v);
  return moment;
}

}  // namespace invact
