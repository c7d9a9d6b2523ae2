// One run's relay: looks, batches, sends, and brings the run to its end.
//
// Lives in main, one thread. Wakes up every 50 ms, and while records come every
// 20 ms, sooner where a ring fills faster than that.
#ifndef INVACT_PLUGIN_RELAY_RELAY_LOOP_H_
#define INVACT_PLUGIN_RELAY_RELAY_LOOP_H_

#include <atomic>
#include <cstdint>

#include "plugin/relay/batcher.h"
#include "plugin/relay/log.h"
#include "plugin/relay/options.h"
#include "plugin/relay/outbox.h"
#include "plugin/relay/trainer.h"
#include "plugin/relay/uplink.h"
#include "plugin/ring/reader.h"

namespace invact {

// How a run ended, as its end message says. `told`, `status`: what the kernel
// knows.
v1::RunEnd DecideEnd(const Reader& reader, Trainer::Told told, int status,
                     int64_t now_wall_ns);

class RelayLoop {
 public:
  // All must outlive it. `*stops`: how often the relay was asked to stop.
  RelayLoop(const RelayOptions& options, const std::string& hello,
            Reader* reader, Spool* spool, RelayLog* log,
            const std::atomic<int>* stops);

  // Returns when the trainer is gone and all is acknowledged or left in the
  // spool; or when it was asked to stop: at once where that was twice, else
  // once the job had time to end as well.
  void Run();
  // For what went wrong before: goes into the run's report.
  void Warn(const std::string& text) { batcher_.Warn(text); }

 private:
  void Round();
  void End();
  void Deliver();
  // False where no more waiting helps.
  bool WorthWaiting(int64_t began_ns, int64_t now_ns) const;
  Packer::Sink sink();

  const std::atomic<int>* const stops_;
  Reader* const reader_;
  Spool* const spool_;
  Trainer trainer_;
  Batcher batcher_;
  Outbox outbox_;
  Uplink uplink_;
  int64_t tick_ns_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_RELAY_LOOP_H_
