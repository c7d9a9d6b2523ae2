#include "daemon/store/memory_columns.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace invact {
void BindMoment(Query& query, const v1::MemoryMoment& moment) {
  std::array<int64_t, kMomentCategories.size()> bytes = {};
  for (const auto& [name, value] : moment.by_category()) {
    const auto* at =
        std::find(kMomentCategories.begin(), kMomentCategories.end(), name);
    bytes[at == kMomentCategories.end() ? 0 : at - kMomentCategories.begin()] +=
        value;
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
  for (const std::string_view name : kMomentCategories) {
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
