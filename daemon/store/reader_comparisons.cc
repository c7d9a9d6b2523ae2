// ReadSession: comparisons.
#include <algorithm>

#include "daemon/store/reader.h"

namespace invact {
namespace {

absl::StatusOr<std::vector<ComparisonRow>> ReadRows(Query& query) {
  std::vector<ComparisonRow> out;
  while (query.Next()) {
    ComparisonRow& row = out.emplace_back();
    row.pk = query.Int();
    if (!row.comparison.ParseFromString(query.Text())) {
      return absl::DataLossError("a stored comparison can't be read");
    }
  }
  if (!query.status().ok()) return query.status();
  return out;
}

bool IsHex(const std::string& text) {
  return text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

absl::StatusOr<std::vector<v1::Comparison>> ReadSession::MatchComparisons(
    const std::string& selector) {
  absl::StatusOr<std::vector<ComparisonRow>> rows =
      std::vector<ComparisonRow>();
  if (selector == "@last") {
    rows = ListComparisons(0, 1);
  } else if (!selector.empty() && IsHex(selector)) {
    // Between the prefix and its successor: ids are hex digits, below 'g'.
    Query query = db_->Prepare(
        "SELECT pk, message FROM comparisons WHERE id >= ?1 AND "
        "id < ?1 || 'g' ORDER BY pk DESC");
    query.Bind(std::string_view(selector));
    rows = ReadRows(query);
  }
  if (!rows.ok()) return rows.status();
  std::vector<v1::Comparison> out;
  for (ComparisonRow& row : *rows) out.push_back(std::move(row.comparison));
  return out;
}

absl::StatusOr<std::vector<ComparisonRow>> ReadSession::ListComparisons(
    int64_t before, int64_t limit) {
  Query query = db_->Prepare(
      "SELECT pk, message FROM comparisons WHERE ?1 = 0 OR pk < ?1 "
      "ORDER BY pk DESC LIMIT ?2");
  query.BindAll(before, limit);
  return ReadRows(query);
}

}  // namespace invact
