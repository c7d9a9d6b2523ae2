#include "plugin/ledger/ledger_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>

#include "plugin/log.h"

namespace invact {

namespace {

constexpr size_t kBufferBytes = 64 << 10;

std::string Escaped(std::string_view text) {
  std::string out;
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      char code[8];
      std::snprintf(code, sizeof(code), "\\u%04x", c);
      out += code;
    } else {
      out += static_cast<char>(c);
    }
  }
  return out;
}

}  // namespace

LedgerLog::LedgerLog(const std::string& path)
    : to_stderr_(path.empty()),
      file_(path.empty()
                ? -1
                : open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                       0666)) {}

LedgerLog::~LedgerLog() {
  Flush();
  if (file_ >= 0) close(file_);
}

void LedgerLog::Line(const char* format, ...) {
  va_list first, second;
  va_start(first, format);
  va_copy(second, first);
  const int size = std::vsnprintf(nullptr, 0, format, first);
  std::string line(static_cast<size_t>(size < 0 ? 0 : size) + 1, '\n');
  std::vsnprintf(line.data(), line.size(), format, second);
  va_end(second);
  va_end(first);
  line.back() = '\n';
  if (to_stderr_) {
    SayLine(line);
    return;
  }
  waiting_ += line;
  if (waiting_.size() >= kBufferBytes) Flush();
}

void LedgerLog::Pack(int64_t now_ns, uint64_t id, uint64_t storage,
                     int64_t bytes, uint32_t site, std::string_view scope,
                     uint32_t ordinal, std::string_view kind,
                     std::string_view category) {
  Line("{\"e\":\"pack\",\"t\":%" PRId64 ",\"id\":%" PRIu64
       ",\"storage\":\"%" PRIx64 "\",\"bytes\":%" PRId64
       ",\"site\":%u,\"scope\":\"%s\",\"ordinal\":%u,\"kind\":\"%.*s\","
       "\"category\":\"%.*s\"}",
       now_ns, id, storage, bytes, site, Escaped(scope).c_str(), ordinal,
       static_cast<int>(kind.size()), kind.data(),
       static_cast<int>(category.size()), category.data());
}

void LedgerLog::Drop(uint64_t id) {
  Line("{\"e\":\"drop\",\"id\":%" PRIu64 "}", id);
}

void LedgerLog::Resize(uint64_t storage, int64_t bytes) {
  Line("{\"e\":\"resize\",\"storage\":\"%" PRIx64 "\",\"bytes\":%" PRId64 "}",
       storage, bytes);
}

void LedgerLog::Instant(int64_t step, int64_t baseline, int64_t held,
                        int64_t side) {
  Line("{\"e\":\"instant\",\"step\":%" PRId64 ",\"baseline\":%" PRId64
       ",\"held\":%" PRId64 ",\"side\":%" PRId64 "}",
       step, baseline, held, side);
}

void LedgerLog::End(int64_t step, bool complete) {
  Line("{\"e\":\"end\",\"step\":%" PRId64 ",\"complete\":%s}", step,
       complete ? "true" : "false");
  Flush();
}

void LedgerLog::Flush() {
  size_t written = 0;
  while (written < waiting_.size()) {
    const ssize_t n =
        write(file_, waiting_.data() + written, waiting_.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // a full disk: these lines are lost
    written += static_cast<size_t>(n);
  }
  waiting_.clear();
}

}  // namespace invact
