// Why substitutions were refused, one entry a reason.
#ifndef INVACT_DAEMON_ANALYSIS_DECLINES_H_
#define INVACT_DAEMON_ANALYSIS_DECLINES_H_

#include <string>
#include <vector>

#include "invact/v1/run.pb.h"

namespace invact {

// Largest baseline first; then more sites; then by name.
std::vector<v1::Decline> GroupDeclines(const std::vector<v1::Layer>& layers);

// What the user can do about a reason; a reason of a newer plugin gets a text
// that says so.
std::string HintFor(const std::string& reason);

}  // namespace invact

#endif  // INVACT_DAEMON_ANALYSIS_DECLINES_H_
