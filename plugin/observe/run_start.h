// The two moments when a run becomes visible: its first saved tensor, and the
// end of its process.
#ifndef INVACT_PLUGIN_OBSERVE_RUN_START_H_
#define INVACT_PLUGIN_OBSERVE_RUN_START_H_

#include <cstdint>
#include <memory>
#include <string>

#include "plugin/config.h"
#include "plugin/ledger/ledger_log.h"
#include "plugin/ring/ring_layout.h"

namespace invact {

// Beside the folder that libinvact.so lies in.
std::string RelayPath(const std::string& lib_dir);

struct RunFacts {
  const Config& config;
  const std::string& lib_dir;
  const std::string& torch_version;
  bool python;
};

// Creates the shared memory, starts the relay, says the start line. Without a
// relay (no memfd, no process to be had) the run is still counted for the end
// line. nullptr when there is not even memory.
SharedRun* StartRun(const RunFacts& facts) noexcept;

// nullptr when not asked for, or when the file can't be written (said).
std::unique_ptr<LedgerLog> OpenLedgerLog(const Config& config) noexcept;

// Marks the run as finished and says the end line. At exit: calls no torch.
void FinishRun(SharedRun* shared, const Config& config, int64_t steps,
               int status) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_RUN_START_H_
