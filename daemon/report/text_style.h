// How text for people may look. The caller decides: it knows the terminal,
// NO_COLOR and the flags; nothing here reads the environment.
#ifndef INVACT_DAEMON_REPORT_TEXT_STYLE_H_
#define INVACT_DAEMON_REPORT_TEXT_STYLE_H_

namespace invact {

struct TextStyle {
  bool colour = false;  // ANSI colours
  int width = 100;      // columns; fewer than 80 are treated as 80
  // Each call site on a line of its own, nothing folded or left out.
  bool all = false;
};

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_TEXT_STYLE_H_
