#include "plugin/relay/relay_loop.h"

#include <sys/wait.h>

#include <algorithm>

#include "plugin/relay/clock.h"

namespace invact {

namespace {

constexpr int64_t kIdleTickNs = 50 * kMs;
// While records come: a burst of 400,000 a second and thread fits.
constexpr int64_t kBusyTickNs = 20 * kMs;
constexpr int64_t kLeastTickNs = 2 * kMs;
// A ring should be at most this full when the relay looks at it.
constexpr int64_t kWantedFill = kRingRecords / 4;

// A batch system that takes a node back asks job and relay to stop, and kills
// what is left after some 30 s: the job may use them for a last checkpoint.
constexpr int64_t kStopNs = 60 * kSecond;
// Until the job's parent waited for it: only then its status is told.
constexpr int64_t kStatusNs = 300 * kMs;
// Without any acknowledgement.
constexpr int64_t kStuckNs = 10 * kSecond;
// What is on no disk has only a daemon that is started just now.
constexpr int64_t kHomelessNs = 3 * kSecond;
// For a daemon that is just being started again.
constexpr int64_t kRestartNs = kSecond;
constexpr int64_t kMostDeliverNs = 60 * kSecond;
constexpr int64_t kGoodbyeNs = kSecond;

}  // namespace

v1::RunEnd DecideEnd(const Reader& reader, Trainer::Told told, int status,
                     int64_t now_wall_ns) {
  v1::RunEnd end;
  OomView oom;
  const bool out_of_memory = reader.Oom(&oom);
  if (reader.finished()) {
    const int code = reader.exit_code() & 0xff;
    // Seen and survived is no reason.
    const bool killed_it = out_of_memory && code != 0;
    end.set_state(killed_it ? "crashed" : "finished");
    end.set_end_reason(killed_it ? "oom" : "exit");
    end.set_exit_code(code);
    end.set_ended_wall_ns(reader.ended_wall_ns());
    return end;
  }
  // Its exit handlers did not run. Where the kernel does not tell why, a
  // signal is by far the likeliest.
  const bool known = told == Trainer::Told::kNow;
  const bool exited = known && WIFEXITED(status);
  end.set_state("crashed");
  end.set_end_reason(out_of_memory ? "oom" : exited ? "exit" : "signal");
  if (exited) end.set_exit_code(WEXITSTATUS(status));
  if (known && WIFSIGNALED(status)) end.set_signal(WTERMSIG(status));
  end.set_ended_wall_ns(now_wall_ns);
  return end;
}

RelayLoop::RelayLoop(const RelayOptions& options, const std::string& hello,
                     Reader* reader, Spool* spool, RelayLog* log,
                     const std::atomic<int>* stops)
    : stops_(stops),
      reader_(reader),
      spool_(spool),
      trainer_(options.trainer, options.trainer_started),
      batcher_(reader),
      outbox_(spool, log),
      uplink_(options, hello, &outbox_, log),
      tick_ns_(kBusyTickNs) {}

Packer::Sink RelayLoop::sink() {
  return [this](v1::Batch* batch) { outbox_.Add(batch); };
}

void RelayLoop::Run() {
  int64_t stop_ns = 0;
  while (!trainer_.gone()) {
    Round();
    const int stops = stops_->load();
    if (stops > 0 && stop_ns == 0) stop_ns = MonoNs() + kStopNs;
    if (stops > 1 || (stops > 0 && MonoNs() > stop_ns)) return;
    uplink_.Wait(MonoNs() + tick_ns_, trainer_.descriptor());
  }
  End();
  Deliver();
}

void RelayLoop::Round() {
  const int64_t now = MonoNs();
  uint64_t lost = 0;
  if (outbox_.TakeLosses(&lost)) {
    batcher_.AddLost(lost);
    batcher_.SayAgain();
  }
  const auto fill = static_cast<int64_t>(reader_->FullestRing());
  batcher_.Look(
      now, uplink_.acknowledged_ns(), [this] { return outbox_.room(); },
      sink());
  if (fill == 0 || !outbox_.room().events) {
    tick_ns_ = kIdleTickNs;
  } else {
    tick_ns_ =
        std::clamp(tick_ns_ * kWantedFill / fill, kLeastTickNs, kBusyTickNs);
  }
  outbox_.TryDisk(now);
  uplink_.Advance(now);
}

void RelayLoop::End() {
  const int64_t ended_wall = WallNs();
  const int64_t until = MonoNs() + kStatusNs;
  int status = 0;
  Trainer::Told told = trainer_.AskStatus(&status);
  while (told == Trainer::Told::kLater && !reader_->finished() &&
         MonoNs() < until) {
    uplink_.Advance(MonoNs());
    uplink_.Wait(std::min(until, MonoNs() + 5 * kMs), -1);
    told = trainer_.AskStatus(&status);
  }
  batcher_.Last(
      DecideEnd(*reader_, told, status, ended_wall),
      [this] { return outbox_.room(); }, sink());
}

void RelayLoop::Deliver() {
  const int64_t began = MonoNs();
  uplink_.Hurry();
  while (true) {
    const int64_t now = MonoNs();
    uint64_t lost = 0;
    if (outbox_.TakeLosses(&lost)) {
      batcher_.AddLost(lost);
      batcher_.Amend(sink());
    }
    outbox_.TryDisk(now);
    uplink_.Advance(now);
    if (outbox_.all_acknowledged() || !WorthWaiting(began, now)) break;
    uplink_.Wait(now + 20 * kMs, -1);
  }
  if (!outbox_.all_acknowledged()) return;
  const int64_t until = MonoNs() + kGoodbyeNs;
  while (uplink_.has_stream() && MonoNs() < until) {
    uplink_.HalfClose();
    uplink_.Wait(until, -1);
  }
  spool_->Remove();
}

bool RelayLoop::WorthWaiting(int64_t began_ns, int64_t now_ns) const {
  const int64_t heard = std::max(began_ns, uplink_.acknowledged_ns());
  if (now_ns - began_ns > kMostDeliverNs || now_ns - heard > kStuckNs) {
    return false;
  }
  if (uplink_.has_stream()) return true;
  if (!outbox_.all_spooled()) return now_ns - heard < kHomelessNs;
  if (uplink_.absent() || uplink_.refused()) return false;
  return now_ns - heard < kRestartNs;
}

}  // namespace invact
