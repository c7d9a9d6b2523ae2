// Figures that several formats derive from a report. Internal to this folder.
#ifndef INVACT_DAEMON_REPORT_REPORT_FACTS_H_
#define INVACT_DAEMON_REPORT_REPORT_FACTS_H_

#include <optional>
#include <string>
#include <vector>

#include "invact/v1/run.pb.h"

namespace invact {

// The first 8 digits of a run's id: what commands in texts name.
std::string ShortId(const v1::Run& run);
// "finished (exit 0)", "crashed (signal 9)", "running".
std::string StateText(const v1::Run& run);

// What PyTorch alone would have needed at the peak, modelled: the measured
// peak and what was eliminated then.
std::optional<int64_t> PlainPeak(const v1::Peak& peak);
// Change of the peak against it; negative: less memory.
std::optional<double> PeakChange(const v1::Peak& peak);

// One line of the report's details.
struct Fact {
  std::string name;
  std::string value;
  std::string source;  // measured | modelled, empty: not known
};
// Escaped; what is not known is said to be so.
std::vector<Fact> DetailFacts(const v1::Report& report);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_REPORT_FACTS_H_
