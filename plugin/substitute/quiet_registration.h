// Threads: on the one that registers.
#ifndef INVACT_PLUGIN_SUBSTITUTE_QUIET_REGISTRATION_H_
#define INVACT_PLUGIN_SUBSTITUTE_QUIET_REGISTRATION_H_

#include <c10/util/Exception.h>

namespace invact {

// Torch warns, once in a process, of a kernel registered in another's place:
// not of ours, and the job's own one warning is left to the job.
class QuietRegistration {
 private:
  class Nothing final : public c10::WarningHandler {
    void process(const c10::Warning&) override {}
  };
  Nothing nothing_;
  c10::WarningUtils::WarningHandlerGuard handler_{&nothing_};
  c10::WarningUtils::WarnAlways always_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_QUIET_REGISTRATION_H_
