#include "plugin/relay/uplink.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "plugin/relay/channel.h"
#include "plugin/relay/clock.h"

namespace invact {

namespace {

constexpr char kMethod[] = "/invact.v1.IngestService/Stream";
constexpr int kStarted = 1, kWritten = 2, kRead = 3, kFinished = 4;

constexpr int64_t kWindowBytes = 4 << 20;
constexpr size_t kWindowBatches = 512;
constexpr int64_t kWelcomeNs = 10 * kSecond;
constexpr int64_t kFirstRetryNs = 50 * kMs;
constexpr int64_t kMostRetryNs = 5 * kSecond;
constexpr int64_t kRefusedRetryNs = 60 * kSecond;
// How often a socket is looked for.
constexpr int64_t kLookNs = 200 * kMs;

void* Tag(int tag) { return reinterpret_cast<void*>(intptr_t{tag}); }

// Trying again soon would end the same.
bool IsRefusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kOutOfRange:
      return true;
    default:
      return false;
  }
}

std::chrono::system_clock::time_point Deadline(int64_t until_ns) {
  return std::chrono::system_clock::now() +
         std::chrono::nanoseconds(std::max<int64_t>(0, until_ns - MonoNs()));
}

}  // namespace

struct Uplink::Call {
  Way way;
  grpc::ClientContext context;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream;
  grpc::ByteBuffer reply;
  grpc::Status status;
  int64_t welcome_by_ns = 0;
  int pending = 0;  // tags that are still to come
  bool writing = false, finishing = false, finished = false, closing = false;
  bool half_closed = false, welcomed = false;
  std::string broken;  // why we ended it ourselves
  uint64_t sent = 0;
  std::deque<std::pair<uint64_t, size_t>> window;  // seq, bytes
  int64_t window_bytes = 0;
};

Uplink::Uplink(const RelayOptions& options, std::string hello, Outbox* outbox,
               RelayLog* log)
    : options_(options),
      hello_(std::move(hello)),
      outbox_(outbox),
      log_(log),
      acknowledged_ns_(MonoNs()) {
  if (!options_.daemon_error.empty()) {
    state_ = State::kRefused;
    log_->Say(options_.daemon_error + "; spooling only");
  }
}

Uplink::~Uplink() {
  if (call_ != nullptr) {
    call_->context.TryCancel();
    const int64_t until = MonoNs() + kSecond;
    while (call_ != nullptr && MonoNs() < until) Wait(until, -1);
  }
  // A call that gRPC does not end has to stay: its tags point into it.
  if (call_ != nullptr) {
    call_.release();
    queue_.release();
  } else if (queue_ != nullptr) {
    queue_->Shutdown();
    void* tag;
    bool ok;
    while (queue_->Next(&tag, &ok)) {
    }
  }
}

bool Uplink::welcomed() const { return call_ != nullptr && call_->welcomed; }

void Uplink::Advance(int64_t now_ns) {
  if (call_ == nullptr) {
    Open(now_ns);
  } else if (!call_->welcomed && now_ns > call_->welcome_by_ns) {
    Break("the daemon does not answer");
  }
  Send();
}

void Uplink::Open(int64_t now_ns) {
  if (!options_.daemon_error.empty()) return;
  if (now_ns < retry_ns_) {
    // Another daemon need not wait for the mistakes of the one before.
    if (!options_.daemon.unix_socket || now_ns < next_look_ns_) return;
    next_look_ns_ = now_ns + kLookNs;
    const std::string now = SocketIdentity(options_);
    if (now.empty() || now == socket_) return;
  }
  next_look_ns_ = now_ns + kLookNs;
  socket_ = SocketIdentity(options_);
  absl::StatusOr<Way> way = OpenWay(options_);
  if (!way.ok()) {
    if (way.status().code() == absl::StatusCode::kNotFound) {
      state_ = State::kAbsent;
      retry_ns_ = now_ns + kLookNs;
    } else {
      End(way.status(), false);
    }
    return;
  }
  if (queue_ == nullptr) queue_ = std::make_unique<grpc::CompletionQueue>();
  call_ = std::make_unique<Call>();
  call_->way = *std::move(way);
  call_->welcome_by_ns = now_ns + kWelcomeNs;
  if (!call_->way.token.empty()) {
    call_->context.AddMetadata("authorization",
                               absl::StrCat("Bearer ", call_->way.token));
  }
  grpc::GenericStub stub(call_->way.channel);
  call_->stream = stub.PrepareCall(&call_->context, kMethod, queue_.get());
  call_->stream->StartCall(Tag(kStarted));
  ++call_->pending;
}

void Uplink::Send() {
  if (call_ == nullptr || !call_->welcomed || call_->writing ||
      call_->finishing || call_->half_closed ||
      call_->sent >= outbox_->last() || call_->window_bytes >= kWindowBytes ||
      call_->window.size() >= kWindowBatches) {
    return;
  }
  const uint64_t seq = ++call_->sent;
  const std::shared_ptr<const std::string> message = outbox_->Message(seq);
  call_->window.emplace_back(seq, message->size());
  call_->window_bytes += static_cast<int64_t>(message->size());
  Write(*message);
}

void Uplink::Write(const std::string& message) {
  const grpc::Slice slice(message);
  call_->stream->Write(grpc::ByteBuffer(&slice, 1), Tag(kWritten));
  call_->writing = true;
  ++call_->pending;
}

void Uplink::HalfClose() {
  if (call_ == nullptr || call_->writing || call_->half_closed ||
      call_->finishing) {
    return;
  }
  call_->half_closed = true;
  call_->stream->WritesDone(Tag(kWritten));
  ++call_->pending;
}

void Uplink::Wait(int64_t until_ns, int descriptor) {
  if (call_ == nullptr) {
    const int64_t left = std::max<int64_t>(0, until_ns - MonoNs());
    pollfd ready = {descriptor, POLLIN, 0};
    poll(&ready, descriptor < 0 ? 0 : 1,
         static_cast<int>((left + kMs - 1) / kMs));
    return;
  }
  void* tag;
  bool ok;
  auto deadline = Deadline(until_ns);
  while (queue_->AsyncNext(&tag, &ok, deadline) ==
         grpc::CompletionQueue::GOT_EVENT) {
    Handle(static_cast<int>(reinterpret_cast<intptr_t>(tag)), ok);
    if (call_ == nullptr) return;
    Send();
    // Takes what else is there, without waiting for more.
    deadline = std::chrono::system_clock::time_point();
  }
}

void Uplink::Handle(int tag, bool ok) {
  Call& call = *call_;
  --call.pending;
  switch (tag) {
    case kStarted:
      if (ok) {
        Write(hello_);
        call.stream->Read(&call.reply, Tag(kRead));
        ++call.pending;
      }
      break;
    case kWritten:
      call.writing = false;
      break;
    case kRead:
      if (ok) {
        TakeReply();
        call.stream->Read(&call.reply, Tag(kRead));
        ++call.pending;
      }
      break;
    case kFinished:
      call.finished = true;
      break;
  }
  // A failed write is followed by a failed read.
  if (!ok && tag != kWritten && !call.finishing) {
    call.finishing = true;
    call.stream->Finish(&call.status, Tag(kFinished));
    ++call.pending;
  }
  if (call.finished && call.pending == 0) {
    const std::unique_ptr<Call> ended = std::move(call_);
    const grpc::Status& said = ended->status;
    if (!ended->broken.empty()) {
      End(absl::UnavailableError(ended->broken), ended->welcomed);
    } else if (said.ok()) {
      End(ended->half_closed ? absl::OkStatus()
                             : absl::UnavailableError("the stream ended"),
          ended->welcomed);
    } else {
      End(absl::Status(static_cast<absl::StatusCode>(said.error_code()),
                       said.error_message()),
          ended->welcomed);
    }
  }
}

void Uplink::TakeReply() {
  Call& call = *call_;
  grpc::Slice slice;
  v1::StreamResponse reply;
  if (!call.reply.DumpToSingleSlice(&slice).ok() ||
      !reply.ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return Break("the daemon sent what is no reply");
  }
  if (reply.has_welcome() && !call.welcomed) {
    TakeWelcome(reply.welcome().last_seq(), reply.welcome().protocol_major(),
                reply.welcome().protocol_minor());
  } else if (reply.has_ack() && call.welcomed) {
    const uint64_t seq = reply.ack().seq();
    if (seq > call.sent) return Break("the daemon acknowledged the unsent");
    while (!call.window.empty() && call.window.front().first <= seq) {
      call.window_bytes -= static_cast<int64_t>(call.window.front().second);
      call.window.pop_front();
    }
    if (seq > outbox_->acknowledged()) outbox_->Acknowledge(seq);
    acknowledged_ns_ = MonoNs();
    failures_ = 0;
  }
}

void Uplink::TakeWelcome(uint64_t last_seq, int major, int minor) {
  if (last_seq > outbox_->last()) {
    return Break("the daemon has batches of this run that nobody made");
  }
  if (last_seq < outbox_->acknowledged()) {
    log_->Say(absl::StrCat("the daemon lost batches ", last_seq + 1, " to ",
                           outbox_->acknowledged(), ", which it had"));
  }
  log_->Say(absl::StrCat("a daemon of protocol ", major, ".", minor,
                         " takes batches"));
  outbox_->Acknowledge(last_seq);
  call_->sent = last_seq;
  call_->welcomed = true;
  acknowledged_ns_ = MonoNs();
  state_ = State::kTrying;
}

void Uplink::Break(const std::string& why) {
  if (call_->broken.empty()) call_->broken = why;
  call_->context.TryCancel();
}

// `status`: why there is no stream now.
void Uplink::End(const absl::Status& status, bool welcomed) {
  const int64_t now = MonoNs();
  if (status.ok()) return;
  state_ = IsRefusal(status) ? State::kRefused : State::kTrying;
  log_->Say(absl::StrCat(
      state_ == State::kRefused ? "refused: " : "no daemon: ",
      absl::string_view(status.message().data(), status.message().size()),
      "; spooling"));
  if (welcomed && status.code() == absl::StatusCode::kInvalidArgument) {
    Suspect();
  }
  retry_ns_ = now + (state_ == State::kRefused
                         ? kRefusedRetryNs
                         : std::min(kMostRetryNs,
                                    kFirstRetryNs << std::min(failures_, 8)));
  ++failures_;
}

// The daemon did not like the batch after the last one that it took. Twice at
// the same: it is the batch, not the moment.
void Uplink::Suspect() {
  const uint64_t next = outbox_->acknowledged() + 1;
  if (next > outbox_->last()) return;
  if (suspect_ == next) {
    log_->Say(absl::StrCat("batch ", next, " is given up: refused twice"));
    outbox_->Replace(next);
  }
  suspect_ = next;
  state_ = State::kTrying;
}

}  // namespace invact
