// relay.log: what a relay had to say, beside its spool. Nobody waits for it,
// so it is short: at most kMostBytes, then it begins anew; what repeats the
// line before is said once. No secret, no path of the job, no value of its
// environment goes in.
//
// Owned and used by the relay's one thread.
#ifndef INVACT_PLUGIN_RELAY_LOG_H_
#define INVACT_PLUGIN_RELAY_LOG_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace invact {

class RelayLog {
 public:
  static constexpr size_t kMostBytes = 64 << 10;

  RelayLog() = default;
  ~RelayLog();
  RelayLog(const RelayLog&) = delete;
  RelayLog& operator=(const RelayLog&) = delete;

  // Opens kSpoolLogName in the folder and writes what was said before.
  void Open(int run_dir);
  // `text` may hold what a peer sent: it is cleaned and cut.
  void Say(std::string_view text);

 private:
  void Write(std::string_view line);

  int file_ = -1;
  size_t bytes_ = 0;
  std::string waiting_;  // until Open
  std::string last_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_LOG_H_
