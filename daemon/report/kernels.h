// What the calibrations of a run's kernels found out: text and JSON.
#ifndef INVACT_DAEMON_REPORT_KERNELS_H_
#define INVACT_DAEMON_REPORT_KERNELS_H_

#include <string>

#include "daemon/report/json_parts.h"
#include "daemon/report/text_style.h"
#include "daemon/store/stored_run.h"
#include "invact/v1/run.pb.h"

namespace invact {

// Why a run has none, and what to do about it.
std::string WhyNoKernels(const v1::Run& run, const StoredKernels& stored);

// What to do about a kernel that is not served; empty where it is.
std::string NextForKernel(const v1::KernelCalibration& kernel);

Json KernelFields(const v1::KernelCalibration& kernel);
// Schema invact.kernels/v1.
std::string KernelsToJson(const v1::ListKernelsResponse& kernels);

// One line a kernel, then what is wrong with those that are not served.
std::string KernelsToText(const v1::ListKernelsResponse& kernels,
                          const TextStyle& style);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_KERNELS_H_
