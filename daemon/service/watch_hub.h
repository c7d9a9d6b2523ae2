// WatchRun for any number of callers with one thread: it looks at the store
// after a commit, at most twice a second, and writes to each caller what is
// new of its run.
//
// Notify: any thread. Watch: gRPC's threads. Owned by main; Stop before the
// server ends.
#ifndef INVACT_DAEMON_SERVICE_WATCH_HUB_H_
#define INVACT_DAEMON_SERVICE_WATCH_HUB_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "daemon/service/activity.h"
#include "daemon/store/reader.h"
#include "invact/v1/run.grpc.pb.h"

namespace invact {

class WatchStream;

class WatchHub {
 public:
  WatchHub(Reader* reader, Activity* activity);
  ~WatchHub();

  // Something was committed.
  void Notify();
  // The stream of one caller; `refused` not ok: it ends at once with that.
  grpc::ServerWriteReactor<v1::WatchRunResponse>* Watch(
      const std::string& run_id, const absl::Status& refused);
  // Ends all streams and the thread.
  void Stop();

 private:
  friend class WatchStream;
  void Loop();
  void Look(WatchStream& stream);

  Reader* const reader_;
  Activity* const activity_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool dirty_ = false;
  bool stopping_ = false;
  std::set<std::shared_ptr<WatchStream>> streams_;
  std::thread thread_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_SERVICE_WATCH_HUB_H_
