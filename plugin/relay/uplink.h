// The stream to the daemon: Hello, Welcome, batches, acknowledgements; and
// when to try again.
//
// Owned and used by the relay's one thread, which also drives gRPC: nothing
// happens outside Wait. One stream at a time; what a broken one had sent is
// sent again from the last acknowledged batch.
#ifndef INVACT_PLUGIN_RELAY_UPLINK_H_
#define INVACT_PLUGIN_RELAY_UPLINK_H_

#include <grpcpp/completion_queue.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "plugin/relay/log.h"
#include "plugin/relay/options.h"
#include "plugin/relay/outbox.h"

namespace invact {

class Uplink {
 public:
  // All must outlive it. hello: the encoded first message.
  Uplink(const RelayOptions& options, std::string hello, Outbox* outbox,
         RelayLog* log);
  ~Uplink();
  Uplink(const Uplink&) = delete;
  Uplink& operator=(const Uplink&) = delete;

  // Opens a stream where none is and one is due; sends what the window allows.
  void Advance(int64_t now_ns);
  // Serves the stream until then, or until `descriptor` (-1: none) is readable
  // where there is no stream. Returns early after an event.
  void Wait(int64_t until_ns, int descriptor);
  // Forgets how long to wait before the next attempt.
  void Hurry() { retry_ns_ = 0; }
  // Says that no more comes; the daemon ends the stream.
  void HalfClose();

  bool has_stream() const { return call_ != nullptr; }
  bool welcomed() const;
  // The last attempt found no socket, or a daemon that refuses this relay.
  bool absent() const { return state_ == State::kAbsent; }
  bool refused() const { return state_ == State::kRefused; }
  // When the daemon last acknowledged anything, or the relay began.
  int64_t acknowledged_ns() const { return acknowledged_ns_; }

 private:
  enum class State { kTrying, kAbsent, kRefused };
  struct Call;

  void Open(int64_t now_ns);
  void Send();
  void Write(const std::string& message);
  void Handle(int tag, bool ok);
  void TakeReply();
  void TakeWelcome(uint64_t last_seq, int major, int minor);
  // `welcomed`: the stream had got that far.
  void End(const absl::Status& status, bool welcomed);
  void Suspect();
  void Break(const std::string& why);

  const RelayOptions& options_;
  const std::string hello_;
  Outbox* const outbox_;
  RelayLog* const log_;
  std::unique_ptr<grpc::CompletionQueue> queue_;  // from the first attempt on
  std::unique_ptr<Call> call_;
  State state_ = State::kTrying;
  int failures_ = 0;
  int64_t retry_ns_ = 0;
  int64_t next_look_ns_ = 0;
  std::string socket_;  // its identity at the last attempt
  int64_t acknowledged_ns_;
  uint64_t suspect_ = 0;  // a batch after which the daemon ended the stream
};

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_UPLINK_H_
