#include "daemon/report/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "daemon/report/escape.h"

namespace invact {
namespace {

constexpr int kGap = 2;

const char* CodeOf(Ink ink) {
  switch (ink) {
    case Ink::kPlain:
      return "";
    case Ink::kBold:
      return "\x1b[1m";
    case Ink::kDim:
      return "\x1b[2m";
    case Ink::kGreen:
      return "\x1b[32m";
    case Ink::kYellow:
      return "\x1b[33m";
    case Ink::kRed:
      return "\x1b[31m";
  }
  return "";
}

// What follows a number: "MiB,", "%)".
bool IsUnit(absl::string_view word) {
  static constexpr absl::string_view kUnits[] = {
      "B", "KiB", "MiB", "GiB", "TiB", "%", "us", "ms", "s", "min"};
  while (!word.empty() && word.find_last_of(".,;:)") == word.size() - 1) {
    word.remove_suffix(1);
  }
  return std::find(std::begin(kUnits), std::end(kUnits), word) !=
         std::end(kUnits);
}

}  // namespace

std::string Paint(const TextStyle& style, Ink ink, const std::string& text) {
  if (!style.colour || ink == Ink::kPlain || text.empty()) return text;
  return absl::StrCat(CodeOf(ink), text, "\x1b[0m");
}

void Table::Add(std::vector<Cell> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<int> Table::Widths(int width, int indent) const {
  const size_t n = columns_.size();
  std::vector<int> widths(n);
  int total = indent - kGap;
  for (size_t i = 0; i < n; ++i) {
    for (const auto& row : rows_) {
      widths[i] = std::max(widths[i], DisplayWidth(row[i].text));
    }
    if (widths[i] == 0) continue;
    widths[i] = std::max(widths[i], DisplayWidth(columns_[i].title));
    total += widths[i] + kGap;
  }
  // The widest column that may still give way gives way first.
  for (int over = total - width; over > 0; --over) {
    size_t widest = n;
    for (size_t i = 0; i < n; ++i) {
      const int least =
          std::max(columns_[i].least, DisplayWidth(columns_[i].title));
      if (columns_[i].least > 0 && widths[i] > least &&
          (widest == n || widths[i] > widths[widest])) {
        widest = i;
      }
    }
    if (widest == n) break;
    --widths[widest];
  }
  return widths;
}

std::string Table::Print(const TextStyle& style, int indent) const {
  const std::vector<int> widths = Widths(TextWidth(style), indent);
  std::string out;
  const auto line = [&](const std::vector<Cell>& cells) {
    absl::StrAppend(&out, std::string(indent, ' '));
    int spaces = 0;  // before the next text: no line ends with spaces
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (widths[i] == 0) continue;
      const std::string text = columns_[i].least > 0
                                   ? Shorten(cells[i].text, widths[i])
                                   : cells[i].text;
      const int rest = widths[i] - DisplayWidth(text);
      if (columns_[i].right) spaces += rest;
      if (!text.empty()) {
        absl::StrAppend(&out, std::string(spaces, ' '),
                        Paint(style, cells[i].ink, text));
        spaces = 0;
      }
      spaces += (columns_[i].right ? 0 : rest) + kGap;
    }
    out += '\n';
  };
  const bool titles =
      std::any_of(columns_.begin(), columns_.end(),
                  [](const Column& column) { return !column.title.empty(); });
  if (titles) {
    std::vector<Cell> cells;
    for (const Column& column : columns_) {
      cells.push_back({column.title, Ink::kDim});
    }
    line(cells);
  }
  for (const auto& row : rows_) line(row);
  return out;
}

std::string Wrap(const std::string& text, int width, int indent) {
  std::string out;
  int used = indent;
  std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  for (size_t i = 0; i < words.size(); ++i) {
    std::string piece(words[i]);
    while (i + 1 < words.size() && IsUnit(words[i + 1])) {
      absl::StrAppend(&piece, " ", words[++i]);
    }
    const int columns = DisplayWidth(piece);
    if (used > indent && used + 1 + columns > width) {
      absl::StrAppend(&out, "\n", std::string(indent, ' '));
      used = indent;
    } else if (!out.empty()) {
      out += ' ';
      ++used;
    }
    out += piece;
    used += columns;
  }
  return out + "\n";
}

}  // namespace invact
