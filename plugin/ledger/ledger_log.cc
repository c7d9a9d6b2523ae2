#include "plugin/ledger/ledger_log.h"

#include <cinttypes>

namespace invact {

namespace {

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
    : file_(path.empty() ? stderr : std::fopen(path.c_str(), "we")),
      owned_(!path.empty()),
      prefix_(path.empty() ? "invact: " : "") {}

LedgerLog::~LedgerLog() {
  if (owned_ && file_ != nullptr) std::fclose(file_);
}

void LedgerLog::Pack(int64_t now_ns, uint64_t id, uint64_t storage,
                     int64_t bytes, uint32_t site, std::string_view scope,
                     uint32_t ordinal, std::string_view kind,
                     std::string_view category) {
  std::fprintf(file_,
               "%s{\"e\":\"pack\",\"t\":%" PRId64 ",\"id\":%" PRIu64
               ",\"storage\":\"%" PRIx64 "\",\"bytes\":%" PRId64
               ",\"site\":%u,\"scope\":\"%s\",\"ordinal\":%u,\"kind\":\"%.*s\","
               "\"category\":\"%.*s\"}\n",
               prefix_, now_ns, id, storage, bytes, site,
               Escaped(scope).c_str(), ordinal, static_cast<int>(kind.size()),
               kind.data(), static_cast<int>(category.size()), category.data());
}

void LedgerLog::Drop(uint64_t id) {
  std::fprintf(file_, "%s{\"e\":\"drop\",\"id\":%" PRIu64 "}\n", prefix_, id);
}

void LedgerLog::Resize(uint64_t storage, int64_t bytes) {
  std::fprintf(file_,
               "%s{\"e\":\"resize\",\"storage\":\"%" PRIx64
               "\",\"bytes\":%" PRId64 "}\n",
               prefix_, storage, bytes);
}

void LedgerLog::Instant(int64_t step, int64_t baseline, int64_t held,
                        int64_t side) {
  std::fprintf(file_,
               "%s{\"e\":\"instant\",\"step\":%" PRId64 ",\"baseline\":%" PRId64
               ",\"held\":%" PRId64 ",\"side\":%" PRId64 "}\n",
               prefix_, step, baseline, held, side);
}

void LedgerLog::End(int64_t step, bool complete) {
  std::fprintf(file_,
               "%s{\"e\":\"end\",\"step\":%" PRId64 ",\"complete\":%s}\n",
               prefix_, step, complete ? "true" : "false");
  std::fflush(file_);
}

void LedgerLog::Flush() { std::fflush(file_); }

}  // namespace invact
