// A comparison for people: one line a policy, all of it measured.
#ifndef INVACT_DAEMON_REPORT_COMPARE_TEXT_H_
#define INVACT_DAEMON_REPORT_COMPARE_TEXT_H_

#include <string>
#include <vector>

#include "daemon/report/text_style.h"
#include "invact/v1/run.pb.h"

namespace invact {

std::string ComparisonToText(const v1::Comparison& comparison,
                             const TextStyle& style);
std::string ComparisonToMarkdown(const v1::Comparison& comparison);

// One line a comparison, newest first; "" where there is none.
std::string ComparisonsToText(const std::vector<v1::Comparison>& comparisons,
                              const TextStyle& style);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_COMPARE_TEXT_H_
