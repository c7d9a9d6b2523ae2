// Text for a terminal: columns that align, paragraphs, colours.
#ifndef INVACT_DAEMON_REPORT_TABLE_H_
#define INVACT_DAEMON_REPORT_TABLE_H_

#include <string>
#include <vector>

#include "daemon/report/text_style.h"

namespace invact {

enum class Ink { kPlain, kBold, kDim, kGreen, kYellow, kRed };

// Wraps the text in the colour's codes if the style has colours. The text must
// have been escaped.
std::string Paint(const TextStyle& style, Ink ink, const std::string& text);

// Escaped text.
struct Cell {
  std::string text;
  Ink ink = Ink::kPlain;
};

struct Column {
  std::string title;
  bool right = false;  // aligned to the right
  // May be shortened to this many columns when the table is too wide; 0: no.
  int least = 0;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // At most as many cells as columns.
  void Add(std::vector<Cell> cells);
  bool empty() const { return rows_.empty(); }

  // Each line with `indent` spaces before it; a header unless all titles are
  // empty. A column without any text is left out, title and all. No line is
  // longer than the style's width if the columns that may be shortened allow
  // it.
  std::string Print(const TextStyle& style, int indent = 2) const;

 private:
  std::vector<int> Widths(int width, int indent) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// The text in lines of at most `width` columns, broken at spaces but not
// between a number and its unit; lines after the first begin with `indent`
// spaces, the first is taken to begin after as many. Ends with a newline.
std::string Wrap(const std::string& text, int width, int indent);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_TABLE_H_
