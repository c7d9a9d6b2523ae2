// The runs whose reports are kept as golden files in tests/data.
#ifndef INVACT_TESTS_UNIT_REPORT_SAMPLES_H_
#define INVACT_TESTS_UNIT_REPORT_SAMPLES_H_

#include <string>
#include <vector>

#include "daemon/store/stored_run.h"

namespace invact {

// "llama_invert", "bert_observe", "oom", "declined", "hostile": see samples.cc.
const std::vector<std::string>& SampleNames();
// Of one of these names.
StoredRun SampleRun(const std::string& name);

// Texts that no format may print as they are, one of them no UTF-8.
const std::vector<std::string>& HostileNames();

// The text of tests/data/<run>.report.<format>: json, txt, all.txt, csv, md.
std::string PrintSample(const std::string& name, const std::string& format);

}  // namespace invact

#endif  // INVACT_TESTS_UNIT_REPORT_SAMPLES_H_
