// The gate: nothing from a stream or a spool reaches the store before one of
// these has seen it. Pure functions, to be called from bytes alone.
//
// kFailedPrecondition: a protocol that this daemon does not speak;
// kResourceExhausted: larger than the limits; kInvalidArgument: anything else,
// with the name of the field.
#ifndef INVACT_DAEMON_INGEST_VALIDATE_H_
#define INVACT_DAEMON_INGEST_VALIDATE_H_

#include <cstddef>

#include "absl/status/status.h"
#include "invact/v1/ingest.pb.h"

namespace invact {

inline constexpr int kProtocolMajor = 1;
inline constexpr int kProtocolMinor = 4;
inline constexpr size_t kMaxBatchBytes = 1 << 20;
inline constexpr size_t kMaxRecords = 16384;

absl::Status ValidateHello(const v1::Hello& hello_untrusted);
absl::Status ValidateBatch(const v1::Batch& batch_untrusted);

}  // namespace invact

#endif  // INVACT_DAEMON_INGEST_VALIDATE_H_
