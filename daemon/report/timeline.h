// Curves of single changes of device memory: text and JSON.
#ifndef INVACT_DAEMON_REPORT_TIMELINE_H_
#define INVACT_DAEMON_REPORT_TIMELINE_H_

#include <string>

#include "daemon/report/text_style.h"
#include "invact/v1/run.pb.h"

namespace invact {

// Schema invact.timeline/v1. run: the id of the run that the answer is of.
std::string TimelineToJson(const std::string& run,
                           const v1::QueryTimelineRequest& request,
                           const v1::QueryTimelineResponse& answer);

// A line a bucket, with a bar as long as the most that was alive in it.
std::string TimelineToText(const v1::QueryTimelineRequest& request,
                           const v1::QueryTimelineResponse& answer,
                           const TextStyle& style);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_TIMELINE_H_
