// Texts that come from the job (module paths, names, warnings) may hold
// anything. These functions make them harmless where they are printed.
#ifndef INVACT_DAEMON_REPORT_ESCAPE_H_
#define INVACT_DAEMON_REPORT_ESCAPE_H_

#include <string>
#include <string_view>

namespace invact {

// One line of text: control characters (C0, DEL, C1), line and paragraph
// separators, invisible and direction-changing characters come as \n, \t, \xHH
// or \u{HEX}, bytes that are no UTF-8 as \xHH. Everything else stays.
std::string EscapeLine(std::string_view text_untrusted);

// Columns that an escaped line takes in a terminal.
int DisplayWidth(std::string_view line);

// At most `width` columns: the middle is replaced by "..". width >= 4.
std::string Shorten(std::string_view line, int width);

// A field of a CSV line, quoted where need be.
std::string CsvField(std::string_view text_untrusted);

// Text inside a Markdown paragraph or table cell.
std::string MarkdownText(std::string_view text_untrusted);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_ESCAPE_H_
