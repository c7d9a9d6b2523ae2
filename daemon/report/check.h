// `invact check`: does a report keep limits? For CI: each limit gives one
// verdict with its measured value.
#ifndef INVACT_DAEMON_REPORT_CHECK_H_
#define INVACT_DAEMON_REPORT_CHECK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/report/text_style.h"
#include "invact/v1/run.pb.h"

namespace invact {

struct CheckLimits {
  std::optional<int64_t> max_saved;          // of saved.held_bytes
  std::optional<int64_t> max_peak;           // of peak.allocated_bytes
  std::optional<double> min_eliminated_pct;  // of saved.eliminated_fraction
  // Held bytes and, where both runs know it, the peak may exceed the
  // baseline's by that many per cent.
  const v1::Report* baseline = nullptr;
  double tolerance_pct = 0;
};

struct CheckVerdict {
  std::string name;  // the option: "max-saved", "baseline saved", ...
  bool passed = false;
  std::string detail;  // "saved 3.1 GiB (measured), at most 4.0 GiB"
  // nullopt: the run does not know it, which fails.
  std::optional<double> measured;
  std::optional<double> limit;
  std::string unit;  // "bytes", "percent" or "steps"
};

// Empty where no limit is set. A report of a step that was not completed fails
// by a verdict of its own.
std::vector<CheckVerdict> CheckReport(const v1::Report& report,
                                      const CheckLimits& limits);
bool AllPassed(const std::vector<CheckVerdict>& verdicts);

// One line a verdict: "ok    max-saved: ..." or "FAIL  ...".
std::string CheckToText(const std::vector<CheckVerdict>& verdicts,
                        const TextStyle& style);
// Schema invact.check/v1: {"schema", "run", "passed",
// "checks": [{"name", "passed", "measured", "limit", "unit", "detail"}]}.
std::string CheckToJson(const v1::Report& report,
                        const std::vector<CheckVerdict>& verdicts);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_CHECK_H_
