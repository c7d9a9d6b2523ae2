// The thread for what nobody asks for: every two seconds it adopts spools and
// marks lost runs.
//
// Owned by main. Stop before the writer stops.
#ifndef INVACT_DAEMON_INGEST_HOUSEKEEPER_H_
#define INVACT_DAEMON_INGEST_HOUSEKEEPER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daemon/ingest/adopt_spools.h"
#include "daemon/ingest/live_streams.h"
#include "daemon/ingest/writer.h"
#include "daemon/store/reader.h"

namespace invact {

class Housekeeper {
 public:
  // All must outlive it. lease: as for MarkLostRuns.
  Housekeeper(std::vector<std::string> spool_folders, Reader* reader,
              Writer* writer, LiveStreams* live, std::chrono::seconds lease);
  ~Housekeeper();  // as Stop

  // Adopts what lies there before anybody is answered, for at most `limit`;
  // the thread goes on with the rest.
  void AdoptFirst(absl::Duration limit);
  void Start();
  void Stop();

  int64_t adopted() const { return adopter_.adopted(); }

 private:
  void Loop();

  Reader* const reader_;
  Writer* const writer_;
  LiveStreams* const live_;
  const std::chrono::seconds lease_;
  std::atomic<bool> stopping_{false};
  SpoolAdopter adopter_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_INGEST_HOUSEKEEPER_H_
