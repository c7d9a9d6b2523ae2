// How messages become JSON, shared by all schemas.
#ifndef INVACT_DAEMON_REPORT_JSON_PARTS_H_
#define INVACT_DAEMON_REPORT_JSON_PARTS_H_

#include <nlohmann/json.hpp>
#include <string>

#include "invact/v1/run.pb.h"

namespace invact {

using Json = nlohmann::ordered_json;

Json RunFields(const v1::Run& run);
Json SavedFields(const v1::Saved& saved);
Json PeakFields(const v1::Peak& peak);
Json TimingFields(const v1::Timing& timing);
Json LayerFields(const v1::Layer& layer);
// The whole report, in the order of the design.
Json ReportFields(const v1::Report& report);

// ASCII with escapes; bytes that are no UTF-8 become U+FFFD.
std::string Dump(const Json& json);      // indented, ends with a newline
std::string DumpLine(const Json& json);  // one line, ends with a newline

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_JSON_PARTS_H_
