// A comparison for programs.
#ifndef INVACT_DAEMON_REPORT_COMPARE_FORMATS_H_
#define INVACT_DAEMON_REPORT_COMPARE_FORMATS_H_

#include <string>
#include <vector>

#include "invact/v1/run.pb.h"

namespace invact {

// Schema invact.compare/v1.
std::string ComparisonToJson(const v1::Comparison& comparison);
// Schema invact.comparisons/v1.
std::string ComparisonsToJson(const std::vector<v1::Comparison>& comparisons);
// One line a policy; empty: not known.
std::string ComparisonToCsv(const v1::Comparison& comparison);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_COMPARE_FORMATS_H_
