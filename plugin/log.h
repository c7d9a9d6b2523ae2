// The guest's voice: every line goes to stderr, begins with "invact: ", and is
// one write(2). Nothing ever goes to stdout.
//
// The start and end lines come from rank 0 only; trouble is said once a thing,
// from any rank ("invact: rank 5: ..."). Threads: any. Safe at exit.
#ifndef INVACT_PLUGIN_LOG_H_
#define INVACT_PLUGIN_LOG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "plugin/config.h"

namespace invact {

// Once, before anything else is said. `complaints` about the environment wait
// for the first saved tensor, so that only processes that train say them.
void ConfigureLog(const Config& config,
                  const std::vector<std::string>& complaints) noexcept;

// `thing` names what went wrong; the same thing is said once in a process.
void SayTrouble(const std::string& thing, const std::string& text) noexcept;

// Trouble said so far, to be stored with the run.
std::vector<std::string> TroubleSaid() noexcept;

// The complaints about the environment alone, where the job runs plain.
void SayComplaints() noexcept;

// "run 7f3a, policy invert (...)", after the complaints about the environment.
void SayStart(const Config& config, const std::string& run_id) noexcept;

// "run 7f3a saved 3.1 of 7.9 GiB (-39 %, measured); next: ...". Bytes of the
// last complete step, or of the unfinished first one.
void SayEnd(const Config& config, const std::string& run_id,
            int64_t baseline_bytes, int64_t held_bytes, bool complete) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_LOG_H_
