// Everything the store knows of one run, as the analysis reads it. A plain
// value: whoever gets one owns it, no thread or database behind it.
#ifndef INVACT_DAEMON_STORE_STORED_RUN_H_
#define INVACT_DAEMON_STORE_STORED_RUN_H_

#include <optional>
#include <string>
#include <vector>

#include "invact/v1/ingest.pb.h"
#include "invact/v1/run.pb.h"

namespace invact {

struct StoredRun {
  v1::Run run;
  std::vector<v1::Scope> scopes;
  std::vector<v1::Site> sites;
  // Newest complete step, step with the largest baseline, step under way.
  std::optional<v1::SiteTable> last_step;
  std::optional<v1::SiteTable> max_step;
  std::optional<v1::SiteTable> live;
  std::vector<v1::StepTotals> steps;  // by index, complete ones first seen
  v1::Losses losses;
  std::vector<std::string> warnings;
  std::optional<v1::OutOfMemory> out_of_memory;
};

// What a run told of its losses and gradients.
struct StoredDigests {
  std::vector<v1::Parameter> parameters;
  std::vector<v1::StepDigests> digests;  // by step
  std::vector<int64_t> steps;            // the complete ones, ascending
  bool cut = false;  // there are more than are read at a time
};

// The accounts of device memory, by device. Empty: the run's memory was not
// followed, or nothing happened on a device.
struct StoredMemory {
  std::vector<v1::MemoryStep> of_step;  // the one that was asked for
  std::vector<v1::MemoryStep> highest;  // the step with the highest peak
  std::vector<v1::MemoryFailure> failures;
};

struct StoredKernels {
  // The run's relay tells of kernels: none means that none was calibrated.
  bool told = false;
  bool inverted = false;  // a call site of a stored step was
  std::vector<v1::KernelCalibration> kernels;  // by op, dtype and device
};

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_STORED_RUN_H_
