#include "daemon/cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"

namespace invact::cli {
namespace {

int TerminalWidth(const Environment& environment) {
  if (environment.columns > 0) return environment.columns;
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return 100;
}

}  // namespace

Output::Output(const Environment& environment)
    : terminal_(isatty(STDOUT_FILENO) == 1) {
  if (!terminal_) return;
  style_.width = TerminalWidth(environment);
  style_.colour = !environment.no_color && !environment.term.empty() &&
                  environment.term != "dumb";
}

bool Output::Data(const std::string& text) {
  size_t done = 0;
  while (!closed_ && done < text.size()) {
    const ssize_t n =
        write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (n >= 0) {
      done += n;
    } else if (errno != EINTR) {
      closed_ = true;
      if (errno != EPIPE) {
        status_ = absl::ResourceExhaustedError(
            absl::StrCat("cannot write to standard output: ", strerror(errno)));
      }
    }
  }
  return !closed_;
}

void Output::Note(const std::string& text) {
  const std::string line = absl::StrCat("invact: ", EscapeLine(text), "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void Output::Progress(const std::string& text) {
  if (isatty(STDERR_FILENO) != 1 || (text.empty() && !progress_)) return;
  progress_ = !text.empty();
  std::fprintf(stderr, "\r\033[K%s%s", progress_ ? "invact: " : "",
               text.c_str());
  std::fflush(stderr);
}

bool Output::Redraw(const std::string& line) {
  const std::string shown = line.substr(0, style_.width - 1);
  return Data(absl::StrCat("\r\033[K", shown));
}

}  // namespace invact::cli
