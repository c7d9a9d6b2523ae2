// What the user sees: data on stdout, all else on stderr.
//
// One object, owned by main, used by the main thread alone. A reader that goes
// away (`invact report | head`) is no error: what follows is dropped.
#ifndef INVACT_DAEMON_CLI_OUTPUT_H_
#define INVACT_DAEMON_CLI_OUTPUT_H_

#include <string>

#include "absl/status/status.h"
#include "daemon/cli/options.h"
#include "daemon/report/text_style.h"

namespace invact::cli {

class Output {
 public:
  explicit Output(const Environment& environment);

  // Writes at once. False: nobody reads any more, or the disk is full.
  bool Data(const std::string& text);
  // "invact: TEXT" on stderr, one line.
  void Note(const std::string& text);
  // What takes time, on stderr where that is a terminal; "" removes it.
  void Progress(const std::string& text);
  // Replaces the line that the last Redraw wrote; on a terminal only.
  bool Redraw(const std::string& line);

  bool terminal() const { return terminal_; }
  // Colours where stdout is a terminal that has them and NO_COLOR is not set.
  TextStyle style() const { return style_; }
  // Not ok: data was lost for another reason than a reader that went away.
  const absl::Status& status() const { return status_; }

 private:
  bool terminal_ = false;
  bool closed_ = false;
  bool progress_ = false;  // a line of Progress is there
  TextStyle style_;
  absl::Status status_;
};

}  // namespace invact::cli

#endif  // INVACT_DAEMON_CLI_OUTPUT_H_
