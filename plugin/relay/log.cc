#include "plugin/relay/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "plugin/relay/clock.h"
#include "plugin/ring/reader.h"
#include "proto/spool_format.h"

namespace invact {

namespace {

constexpr size_t kMostLine = 1000;
constexpr size_t kMostWaiting = 4000;

std::string Timestamp() {
  const int64_t now = WallNs();
  const time_t seconds = static_cast<time_t>(now / kSecond);
  tm parts;
  gmtime_r(&seconds, &parts);
  char day[32], text[48];
  strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof(text), "%s.%03dZ ", day,
                static_cast<int>(now % kSecond / kMs));
  return text;
}

}  // namespace

RelayLog::~RelayLog() {
  if (file_ >= 0) close(file_);
}

void RelayLog::Open(int run_dir) {
  file_ = openat(run_dir, std::string(kSpoolLogName).c_str(),
                 O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file_ < 0) return;
  struct stat info;
  if (fstat(file_, &info) == 0) bytes_ = static_cast<size_t>(info.st_size);
  if (!waiting_.empty()) Write(waiting_);
  waiting_.clear();
}

void RelayLog::Say(std::string_view text) {
  std::string clean = CleanText(text, kMostLine);
  std::replace_if(
      clean.begin(), clean.end(),
      [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  if (clean == last_) return;
  last_ = clean;
  const std::string line = Timestamp() + clean + "\n";
  if (file_ >= 0) {
    Write(line);
  } else if (waiting_.size() + line.size() <= kMostWaiting) {
    waiting_ += line;
  }
}

void RelayLog::Write(std::string_view line) {
  if (bytes_ + line.size() > kMostBytes) {
    if (ftruncate(file_, 0) != 0) return;
    bytes_ = 0;
  }
  // A full disk loses the line, nothing else.
  const ssize_t written = write(file_, line.data(), line.size());
  if (written > 0) bytes_ += static_cast<size_t>(written);
}

}  // namespace invact
