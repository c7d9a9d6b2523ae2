// INVACT_LOG=ledger[:FILE]: every claim and drop as one JSON line, so that
// anybody can add the bytes up again without our code (docs/accounting.md
// gives the fields). For debugging: it costs a formatted line a save.
//
// Threads: externally locked (by the Recorder). Lines that can't be written are
// lost.
#ifndef INVACT_PLUGIN_LEDGER_LEDGER_LOG_H_
#define INVACT_PLUGIN_LEDGER_LEDGER_LOG_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace invact {

class LedgerLog {
 public:
  // An empty path logs to stderr, each line behind "invact: ". ok() is false
  // when the file can't be opened.
  explicit LedgerLog(const std::string& path);
  ~LedgerLog();
  LedgerLog(const LedgerLog&) = delete;
  LedgerLog& operator=(const LedgerLog&) = delete;
  bool ok() const { return to_stderr_ || file_ >= 0; }

  // kind: baseline, held, both or side.
  void Pack(int64_t now_ns, uint64_t id, uint64_t storage, int64_t bytes,
            uint32_t site, std::string_view scope, uint32_t ordinal,
            std::string_view kind, std::string_view category);
  void Drop(uint64_t id);
  void Resize(uint64_t storage, int64_t bytes);
  void Instant(int64_t step, int64_t baseline, int64_t held, int64_t side);
  void End(int64_t step, bool complete);
  void Flush();

 private:
  __attribute__((format(printf, 2, 3))) void Line(const char* format, ...);

  bool to_stderr_;
  int file_;
  // Our own, not stdio's: a forked child that leaves by exit() writes out what
  // stdio holds, so the parent's lines would be there twice.
  std::string waiting_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_LEDGER_LEDGER_LOG_H_
