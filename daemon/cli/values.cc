#include "daemon/cli/values.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "daemon/options.h"

namespace invact::cli {
namespace {

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
  if (std::find(known.begin(), known.end(), policy) != known.end()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown policy \"", policy, "\"; did you mean ", Nearest(policy, known),
      "? There are: ", absl::StrJoin(known, ", ")));
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
