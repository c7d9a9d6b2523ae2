// The columns of memory_moments, and the way between a row and the message.
// Change all four places together.
#ifndef INVACT_DAEMON_STORE_MEMORY_COLUMNS_H_
#define INVACT_DAEMON_STORE_MEMORY_COLUMNS_H_

#include <array>
#include <string_view>

#include "daemon/store/database.h"
#include "invact/v1/run.pb.h"

#define INVACT_MOMENT_COLUMNS                                         \
  "time_ns, unknown_bytes, parameter_bytes, gradient_bytes, "         \
  "optimizer_state_bytes, activation_bytes, input_bytes, "            \
  "weight_copy_bytes, temporary_bytes, other_bytes, awaiting_bytes, " \
  "reserved_bytes, torch_allocated_bytes, torch_requested_bytes, "    \
  "torch_reserved_bytes"

#define INVACT_MOMENT_PLACES "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"

namespace invact {

// In the order of their columns.
inline constexpr std::array<std::string_view, 9> kMomentCategories = {
    "unknown",         "parameter",  "gradient",
    "optimizer_state", "activation", "input",
    "weight_copy",     "temporary",  "other"};

// Binds INVACT_MOMENT_PLACES. A category without a column (a newer plugin's)
// is counted as unknown.
void BindMoment(Query& query, const v1::MemoryMoment& moment);
// Reads INVACT_MOMENT_COLUMNS.
v1::MemoryMoment ReadMoment(Query& query);

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_MEMORY_COLUMNS_H_
