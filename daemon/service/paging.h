// Pages of long answers. Pure functions of what a caller sent.
#ifndef INVACT_DAEMON_SERVICE_PAGING_H_
#define INVACT_DAEMON_SERVICE_PAGING_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace invact {

// 0 means 100; at most 1000.
absl::StatusOr<int64_t> PageSize(int32_t asked_untrusted);

// Where a page begins: "<letter>:<first>[:<second>]". What the letter and the
// numbers mean is each call's own.
struct PageToken {
  char letter = 0;
  int64_t first = 0;
  int64_t second = 0;
};
absl::StatusOr<PageToken> ReadToken(const std::string& token_untrusted);

}  // namespace invact

#endif  // INVACT_DAEMON_SERVICE_PAGING_H_
