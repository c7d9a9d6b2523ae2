// How long the steps of a run took.
#ifndef INVACT_DAEMON_ANALYSIS_TIMING_H_
#define INVACT_DAEMON_ANALYSIS_TIMING_H_

#include <optional>
#include <vector>

#include "invact/v1/run.pb.h"

namespace invact {

// Medians over the complete steps. Where the device's own times are known of
// some steps, those count and the host's do not: a host that only launches
// kernels is done long before the device is.
v1::Timing MedianTimes(const std::vector<v1::StepTotals>& steps);

// The middle value, or the mean of the two in the middle; nullopt of none.
std::optional<double> Median(std::vector<double> values);

}  // namespace invact

#endif  // INVACT_DAEMON_ANALYSIS_TIMING_H_
