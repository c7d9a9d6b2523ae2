#include "daemon/report/escape.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace invact {
namespace {

struct CodePoint {
  uint32_t value = 0;
  size_t length = 0;  // bytes; 0: no UTF-8 here
};

// Strict: no overlong forms, surrogates or values above U+10FFFF.
CodePoint Decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  size_t length = 0;
  uint32_t value = 0, least = 0;
  if ((lead & 0xe0) == 0xc0) {
    length = 2, value = lead & 0x1f, least = 0x80;
  } else if ((lead & 0xf0) == 0xe0) {
    length = 3, value = lead & 0x0f, least = 0x800;
  } else if ((lead & 0xf8) == 0xf0) {
    length = 4, value = lead & 0x07, least = 0x10000;
  }
  if (length == 0 || text.size() < length) return {};
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3f);
  }
  if (value < least || value > 0x10ffff || (value & 0xfffff800) == 0xd800) {
    return {};
  }
  return {value, length};
}

struct Range {
  uint32_t first, last;
};

bool In(uint32_t value, const Range* ranges, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (value >= ranges[i].first && value <= ranges[i].last) return true;
  }
  return false;
}

// Nothing to see, or changes how the rest of the line is shown.
constexpr Range kHidden[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},
    {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
    {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff}};
constexpr Range kCombining[] = {
    {0x300, 0x36f}, {0x1ab0, 0x1aff}, {0x20d0, 0x20ff}, {0xfe20, 0xfe2f}};
constexpr Range kWide[] = {
    {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},  {0xac00, 0xd7a3},
    {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},  {0xffe0, 0xffe6},
    {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

int WidthOf(uint32_t value) {
  if (In(value, kCombining, std::size(kCombining))) return 0;
  return In(value, kWide, std::size(kWide)) ? 2 : 1;
}

void AppendEscape(uint32_t value, std::string* out) {
  if (value == '\n') {
    *out += "\\n";
  } else if (value == '\t') {
    *out += "\\t";
  } else if (value == '\r') {
    *out += "\\r";
  } else if (value < 0x80) {
    absl::StrAppendFormat(out, "\\x%02x", value);
  } else {
    absl::StrAppendFormat(out, "\\u{%x}", value);
  }
}

}  // namespace

std::string EscapeLine(std::string_view text_untrusted) {
  std::string_view text = text_untrusted;
  std::string out;
  while (!text.empty()) {
    const CodePoint point = Decode(text);
    if (point.length == 0) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<uint8_t>(text[0]));
      text.remove_prefix(1);
      continue;
    }
    if (In(point.value, kHidden, std::size(kHidden))) {
      AppendEscape(point.value, &out);
    } else {
      out += text.substr(0, point.length);
    }
    text.remove_prefix(point.length);
  }
  return out;
}

int DisplayWidth(std::string_view line) {
  int width = 0;
  while (!line.empty()) {
    const CodePoint point = Decode(line);
    width += point.length == 0 ? 1 : WidthOf(point.value);
    line.remove_prefix(point.length == 0 ? 1 : point.length);
  }
  return width;
}

std::string Shorten(std::string_view line, int width) {
  if (DisplayWidth(line) <= width) return std::string(line);
  // The end of a module path says more than its beginning.
  const int head = (width - 2) / 3, tail = width - 2 - head;
  std::vector<std::string_view> points;
  while (!line.empty()) {
    const CodePoint point = Decode(line);
    const size_t length = point.length == 0 ? 1 : point.length;
    points.push_back(line.substr(0, length));
    line.remove_prefix(length);
  }
  std::string front, back;
  size_t begin = 0, end = points.size();
  for (int used = 0; begin < end; ++begin) {
    used += DisplayWidth(points[begin]);
    if (used > head) break;
    front += points[begin];
  }
  for (int used = 0; end > begin; --end) {
    used += DisplayWidth(points[end - 1]);
    if (used > tail) break;
  }
  // A mark without its letter would stick to the dots.
  while (end < points.size() && DisplayWidth(points[end]) == 0) ++end;
  for (; end < points.size(); ++end) back += points[end];
  return absl::StrCat(front, "..", back);
}

std::string CsvField(std::string_view text_untrusted) {
  std::string text = EscapeLine(text_untrusted);
  if (!text.empty() &&
      std::string_view("=+-@").find(text[0]) != std::string_view::npos) {
    text.insert(0, "'");
  }
  if (text.find_first_of("\",") == std::string::npos &&
      !text.starts_with(' ') && !text.ends_with(' ')) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

std::string MarkdownText(std::string_view text_untrusted) {
  std::string out;
  for (const char c : EscapeLine(text_untrusted)) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '@' || c == '#') {
      // Would notify people, link issues.
      absl::StrAppend(&out, "&#", static_cast<int>(c), ";");
    } else {
      if (std::string_view("\\`*_{}[]()|~!$").find(c) !=
          std::string_view::npos) {
        out += '\\';
      }
      out += c;
    }
  }
  return out;
}

}  // namespace invact
