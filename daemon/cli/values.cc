#include "daemon/cli/values.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "daemon/options.h"

namespace invact::cli {
namespace {

constexpr size_t kSlip = 2;  // letters that a hand gets wrong

size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = std::exchange(
          row[j], std::min({row[j] + 1, row[j - 1] + 1, substitute}));
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Nearest(const std::string& word,
                    const std::vector<std::string>& known) {
  return *std::min_element(
      known.begin(), known.end(), [&word](const auto& a, const auto& b) {
        return EditDistance(word, a) < EditDistance(word, b);
      });
}

absl::Status CheckPolicy(const std::string& policy) {
  static const std::vector<std::string>& known = *new std::vector<std::string>{
      "observe", "invert", "rebuild", "checkpoint", "auto", "none"};
  const std::vector<std::string> parts =
      absl::StrSplit(policy, absl::ByAnyChar(",+ "), absl::SkipEmpty());
  const auto unknown =
      std::find_if(parts.begin(), parts.end(), [](const std::string& part) {
        return std::find(known.begin(), known.end(), part) == known.end();
      });
  if (parts.empty() || unknown != parts.end()) {
    const std::string word = parts.empty() ? policy : *unknown;
    const std::string nearest = Nearest(word, known);
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown policy \"", word, "\"",
        word == policy ? "" : absl::StrCat(" in \"", policy, "\""), "; ",
        EditDistance(word, nearest) <= kSlip
            ? absl::StrCat("did you mean ", nearest, "? ")
            : "",
        "There are: ", absl::StrJoin(known, ", ")));
  }
  if (parts.size() == 1 && parts[0] == policy) return absl::OkStatus();
  if (std::set<std::string>(parts.begin(), parts.end()).size() == 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", policy, "\" is no policy; give --policy ", parts[0]));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "a job runs under one policy, and \"", policy,
      "\" names several; auto rebuilds and inverts; to measure each: invact "
      "compare --policies ",
      absl::StrJoin(parts, ","), " -- COMMAND"));
}

absl::Status CheckBits(bool exact, const std::string& bits) {
  if (!exact || bits != "mantissa") return absl::OkStatus();
  return absl::InvalidArgumentError(
      "INVACT_BITS=mantissa changes outputs, which --exact and INVACT_EXACT=1 "
      "rule out; unset one of the two");
}

absl::StatusOr<double> ParsePercent(const std::string& option,
                                    const std::string& text) {
  double value = 0;
  absl::string_view number = text;
  absl::ConsumeSuffix(&number, "%");
  if (!absl::SimpleAtod(number, &value) || !std::isfinite(value)) {
    return absl::InvalidArgumentError(absl::StrCat(
        option, " \"", text, "\" is no percentage; write 20 or 20%"));
  }
  return value;
}

absl::StatusOr<int64_t> ParseSize(const std::string& option,
                                  const std::string& text) {
  absl::StatusOr<int64_t> bytes = ParseBytes(text);
  if (bytes.ok()) return bytes;
  return absl::InvalidArgumentError(
      absl::StrCat(option, " ", bytes.status().message()));
}

}  // namespace invact::cli
