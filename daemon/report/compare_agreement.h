// What a comparison says of losses and gradients.
#ifndef INVACT_DAEMON_REPORT_COMPARE_AGREEMENT_H_
#define INVACT_DAEMON_REPORT_COMPARE_AGREEMENT_H_

#include <vector>

#include "daemon/report/build_comparison.h"

namespace invact {

// Fills them in for all rows of `out`, which are those of `policies` in the
// same order. Rounds are compared with the reference's of the same number, the
// reference's own with its first one. Only rounds that ended well are.
void AddAgreement(const std::vector<PolicyFacts>& policies,
                  v1::Comparison* out);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_COMPARE_AGREEMENT_H_
