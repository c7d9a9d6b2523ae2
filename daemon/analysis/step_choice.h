// Which step of a run a report is about.
#ifndef INVACT_DAEMON_ANALYSIS_STEP_CHOICE_H_
#define INVACT_DAEMON_ANALYSIS_STEP_CHOICE_H_

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace invact {

struct StepChoice {
  enum class Kind {
    kLast,   // the last complete step, else the one under way
    kMax,    // the complete step with the largest baseline
    kIndex,  // the step of that index
  };
  Kind kind = Kind::kLast;
  int64_t index = 0;
};

// "last" or "" (the default), "max", or a step's index (0, 1, ...).
// kInvalidArgument says what else was written.
absl::StatusOr<StepChoice> ParseStepChoice(std::string_view text_untrusted);

}  // namespace invact

#endif  // INVACT_DAEMON_ANALYSIS_STEP_CHOICE_H_
