#include "plugin/relay/outbox.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "plugin/relay/clock.h"

namespace invact {

namespace {

// Spooled batches that stay in memory for the stream to send.
constexpr int64_t kKeptBytes = 2 << 20;
constexpr int64_t kTryDiskEveryNs = 250 * kMs;

}  // namespace

Room Outbox::room() const {
  const bool disk = spool_->is_open() && unspooled_ == 0;
  const int64_t limit = disk ? limits_.disk_bytes : limits_.memory_bytes;
  const int64_t used = disk ? spool_->bytes() : unspooled_bytes_;
  // The last 8 MiB of a spool are for names and the last tables.
  return {used < limit - limit / 8, used < limit - limit / 32,
          used < limit - limit / 16};
}

void Outbox::Add(v1::Batch* batch) {
  batch->set_seq(++last_);
  v1::StreamRequest request;
  request.mutable_batch()->Swap(batch);
  auto message = std::make_shared<std::string>();
  request.SerializeToString(message.get());
  Held held;
  held.seq = last_;
  held.entries = CountEntries(request.batch());
  held.message = std::move(message);
  const auto bytes = static_cast<int64_t>(held.message->size());
  held_bytes_ += bytes;
  // What follows a batch that is not on disk may not be there either.
  if (unspooled_ > 0 || !ToDisk(held)) {
    ++unspooled_;
    unspooled_bytes_ += bytes;
  }
  held_.push_back(std::move(held));
  Forget();
}

bool Outbox::ToDisk(const Held& held) {
  if (!spool_->is_open()) return false;
  if (spool_->Append(held.seq, *held.message, held.entries)) return true;
  log_->Say("the spool takes no more (" + std::string(std::strerror(errno)) +
            "); going on in memory");
  return false;
}

void Outbox::TryDisk(int64_t now_ns) {
  if (unspooled_ == 0 || !spool_->is_open() || now_ns < next_try_ns_) return;
  next_try_ns_ = now_ns + kTryDiskEveryNs;
  while (unspooled_ > 0) {
    const Held& held = held_[held_.size() - unspooled_];
    if (!ToDisk(held)) return;
    --unspooled_;
    unspooled_bytes_ -= static_cast<int64_t>(held.message->size());
  }
  log_->Say("the spool takes batches again");
  Forget();
}

void Outbox::Forget() {
  while (held_.size() > unspooled_ && held_bytes_ > kKeptBytes) {
    held_bytes_ -= static_cast<int64_t>(held_.front().message->size());
    held_.pop_front();
  }
}

std::shared_ptr<const std::string> Outbox::Message(uint64_t seq) {
  if (seq == replaced_) return Empty(seq);
  if (!held_.empty() && seq >= held_.front().seq) {
    return held_[seq - held_.front().seq].message;
  }
  auto message = std::make_shared<std::string>();
  if (spool_->Read(seq, message.get())) return message;
  if (!lost_any_) {
    log_->Say("batch " + std::to_string(seq) +
              " can't be read back from the spool; an empty one takes its "
              "place, and so on");
  }
  lost_any_ = true;
  return Empty(seq);
}

std::shared_ptr<const std::string> Outbox::Empty(uint64_t seq) {
  v1::StreamRequest request;
  request.mutable_batch()->set_seq(seq);
  request.mutable_batch()->set_wall_time_ns(WallNs());
  request.mutable_batch()->set_monotonic_time_ns(MonoNs());
  return std::make_shared<const std::string>(request.SerializeAsString());
}

void Outbox::Acknowledge(uint64_t seq) {
  acknowledged_ = seq;
  while (!held_.empty() && held_.front().seq <= seq) {
    const auto bytes = static_cast<int64_t>(held_.front().message->size());
    held_bytes_ -= bytes;
    if (held_.size() == unspooled_) {
      --unspooled_;
      unspooled_bytes_ -= bytes;
    }
    held_.pop_front();
  }
  spool_->Acknowledged(seq);
}

void Outbox::Replace(uint64_t seq) {
  v1::StreamRequest request;
  const std::shared_ptr<const std::string> message = Message(seq);
  if (request.ParseFromString(*message)) {
    lost_entries_ += CountEntries(request.batch());
  }
  replaced_ = seq;
  lost_any_ = true;
}

bool Outbox::TakeLosses(uint64_t* entries) {
  if (!lost_any_) return false;
  lost_any_ = false;
  const uint64_t lost = lost_entries_ + spool_->lost_entries();
  *entries = lost - std::exchange(lost_said_, lost);
  return true;
}

}  // namespace invact
