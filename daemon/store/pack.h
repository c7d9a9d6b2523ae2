// Bytes made smaller for the database, by zstd. Any thread.
#ifndef INVACT_DAEMON_STORE_PACK_H_
#define INVACT_DAEMON_STORE_PACK_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace invact {

std::string Pack(std::string_view bytes);
// kDataLoss: it is none of Pack's, or more than `most` bytes.
absl::StatusOr<std::string> Unpack(std::string_view packed_untrusted,
                                   size_t most);

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_PACK_H_
