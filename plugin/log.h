// The guest's voice: every line goes to stderr, begins with "invact: ", and is
// one write(2). Nothing ever goes to stdout.
//
// The start and end lines come from rank 0 only; trouble is said once a thing,
// from any rank ("invact: rank 5: ..."). Nothing is said before the first saved
// tensor: what is known earlier waits, and a process that saves nothing (a
// launcher, a worker) never says it. Threads: any. Safe at exit.
#ifndef INVACT_PLUGIN_LOG_H_
#define INVACT_PLUGIN_LOG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "plugin/config.h"

namespace invact {

// Once, before anything else is said. `write_line` takes a line to the job's
// stderr (plugin_api.h). `complaints` about the environment come from rank 0.
void ConfigureLog(const Config& config,
                  const std::vector<std::string>& complaints,
                  void (*write_line)(const char*, unsigned long)) noexcept;

// `thing` names what went wrong; the same thing is said once in a process.
void SayTrouble(const std::string& thing, const std::string& text) noexcept;

// Any other line, at once, without "invact: " in front.
void SayLine(const std::string& text) noexcept;

// Trouble said so far, without the first `from`, to be stored with the run.
std::vector<std::string> TroubleSaid(size_t from) noexcept;

// All that waits. At the first saved tensor: trouble is said at once from now
// on.
void SayWhatWaits() noexcept;

// "run 7f3a, policy invert (...)", after all that waits.
void SayStart(const Config& config, const std::string& run_id) noexcept;

// "run 7f3a saved 3.1 of 7.9 GiB (-39 %, measured); next: ...". Bytes of the
// last complete step, or of the unfinished first one.
void SayEnd(const Config& config, const std::string& run_id,
            int64_t baseline_bytes, int64_t held_bytes, bool complete) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_LOG_H_
