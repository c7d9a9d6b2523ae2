// How text for people may look. The caller decides: it knows the terminal,
// NO_COLOR and the flags; nothing here reads the environment.
#ifndef INVACT_DAEMON_REPORT_TEXT_STYLE_H_
#define INVACT_DAEMON_REPORT_TEXT_STYLE_H_

#include <algorithm>

namespace invact {

struct TextStyle {
  bool colour = false;  // ANSI colours
  int width = 100;      // columns; fewer than 90 are treated as 90
  // Each call site on a line of its own, nothing folded, left out or shortened.
  bool all = false;
};

inline int TextWidth(const TextStyle& style) {
  return std::max(style.width, 90);
}

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_TEXT_STYLE_H_
