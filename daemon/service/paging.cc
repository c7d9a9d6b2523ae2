#include "daemon/service/paging.h"

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "daemon/service/rpc_status.h"

namespace invact {
namespace {

constexpr int64_t kDefaultPage = 100;
constexpr int64_t kLargestPage = 1000;

}  // namespace

absl::StatusOr<int64_t> PageSize(int32_t asked_untrusted) {
  if (asked_untrusted < 0) {
    return WithNext(absl::InvalidArgumentError("page_size is negative"),
                    "leave it out, or give 1 to 1000");
  }
  return asked_untrusted == 0
             ? kDefaultPage
             : std::min<int64_t>(asked_untrusted, kLargestPage);
}

absl::StatusOr<PageToken> ReadToken(const std::string& token_untrusted) {
  const std::vector<std::string> parts = absl::StrSplit(token_untrusted, ':');
  PageToken token;
  if (parts.size() < 2 || parts.size() > 3 || parts[0].size() != 1 ||
      !absl::SimpleAtoi(parts[1], &token.first) ||
      (parts.size() == 3 && !absl::SimpleAtoi(parts[2], &token.second)) ||
      token.first < 0 || token.second < 0) {
    return WithNext(
        absl::InvalidArgumentError("page_token is none of this daemon"),
        "pass next_page_token of the page before, unchanged");
  }
  token.letter = parts[0][0];
  return token;
}

}  // namespace invact
