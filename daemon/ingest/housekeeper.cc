#include "daemon/ingest/housekeeper.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/ingest/lost_runs.h"
#include "daemon/log.h"

namespace invact {
namespace {

constexpr std::chrono::seconds kEvery(2);

}  // namespace

Housekeeper::Housekeeper(std::vector<std::string> spool_folders, Reader* reader,
                         Writer* writer, LiveStreams* live,
                         std::chrono::seconds lease)
    : reader_(reader),
      writer_(writer),
      live_(live),
      lease_(lease),
      adopter_(std::move(spool_folders), writer, live,
               [this] { return stopping_.load(); }) {}

Housekeeper::~Housekeeper() { Stop(); }

void Housekeeper::AdoptFirst(absl::Duration limit) {
  adopter_.Pass(absl::Now() + limit);
}

void Housekeeper::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Housekeeper::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Housekeeper::Loop() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kEvery, [this] { return stopping_.load(); })) {
    lock.unlock();
    adopter_.Pass(absl::InfiniteFuture());
    if (!stopping_) {
      const absl::Status status = MarkLostRuns(
          *reader_, *writer_, *live_,
          [this](const std::string& run) { return adopter_.HeldByRelay(run); },
          lease_, LiveStreams::Clock::now());
      if (!status.ok()) {
        LogDebug(absl::StrCat("lost runs: ", status.message()));
      }
    }
    lock.lock();
  }
}

}  // namespace invact
