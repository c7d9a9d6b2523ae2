#include "daemon/report/timeline.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"
#include "daemon/report/json_parts.h"
#include "daemon/report/table.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

constexpr double kMostBar = 24;

// What the curves are of, in words.
std::string Subject(const v1::QueryTimelineRequest& request) {
  std::string out = request.category() == "reserved" ? "reserved memory"
                    : request.category().empty()     ? "memory"
                                                     : request.category();
  if (request.no_layer()) out += " of no layer";
  if (request.has_layer()) {
    absl::StrAppend(&out, " of ",
                    request.layer().empty() ? "the outermost module"
                                            : EscapeLine(request.layer()));
  }
  if (request.has_ordinal()) {
    absl::StrAppend(&out, ", call site ", request.ordinal());
  }
  return out;
}

std::string StepsOf(const v1::MemoryBucket& bucket) {
  return bucket.first_step() == bucket.last_step()
             ? absl::StrCat(bucket.first_step())
             : absl::StrCat(bucket.first_step(), "-", bucket.last_step());
}

void AddCurve(const v1::MemoryCurve& curve, const std::string& subject,
              const TextStyle& style, std::string* out) {
  int64_t least = curve.buckets(0).min_bytes(), most = least, events = 0;
  int64_t step = 0, lost = 0;
  bool gap = false;
  for (const v1::MemoryBucket& bucket : curve.buckets()) {
    least = std::min(least, bucket.min_bytes());
    if (bucket.max_bytes() > most || events == 0) {
      most = bucket.max_bytes();
      step = bucket.max_step();
    }
    events += bucket.events();
    lost += bucket.lost();
    gap |= bucket.gap();
  }
  absl::StrAppend(out, "Device ", curve.device(), ", ", subject,
                  " alive after each of ", Count(events, "change", "changes"),
                  " (measured): ", Bytes(least), " to ", Bytes(most),
                  ", the most in step ", step, "\n");
  Table table({{"steps", true},
               {"since begin", true},
               {"least", true},
               {"most", true},
               {"at its end", true},
               {"changes", true},
               {"", false},
               {"", false}});
  const int64_t begin = curve.buckets(0).begin_ns();
  for (const v1::MemoryBucket& bucket : curve.buckets()) {
    const double share =
        most > 0 ? std::max(0.0, static_cast<double>(bucket.max_bytes()) /
                                     static_cast<double>(most))
                 : 0;
    table.Add({{StepsOf(bucket)},
               {Seconds(static_cast<double>(bucket.begin_ns() - begin) * 1e-9)},
               {BytesInColumn(bucket.min_bytes())},
               {BytesInColumn(bucket.max_bytes()),
                bucket.max_bytes() == most ? Ink::kBold : Ink::kPlain},
               {BytesInColumn(bucket.last_bytes())},
               {absl::StrCat(bucket.events())},
               {std::string(static_cast<size_t>(share * kMostBar), '#')},
               {bucket.gap() ? "gap" : "", Ink::kYellow}});
  }
  absl::StrAppend(out, table.Print(style));
  if (!gap) return;
  absl::StrAppend(
      out,
      Wrap(absl::StrCat(
               "  Where it says gap, changes were lost (",
               lost > 0 ? Count(lost, "one known", "known")
                        : "how many is not "
                          "known",
               "): bytes there may be off until all levels were told again."),
           TextWidth(style), 2));
}

}  // namespace

std::string TimelineToJson(const std::string& run,
                           const v1::QueryTimelineRequest& request,
                           const v1::QueryTimelineResponse& answer) {
  Json out;
  out["schema"] = "invact.timeline/v1";
  out["run_id"] = run;
  out["category"] =
      request.category().empty() ? Json() : Json(request.category());
  out["layer"] = request.has_layer() ? Json(request.layer()) : Json();
  out["no_layer"] = request.no_layer();
  out["ordinal"] = request.has_ordinal() ? Json(request.ordinal()) : Json();
  out["devices"] = Json::array();
  for (const v1::MemoryCurve& curve : answer.curves()) {
    Json& device = out["devices"].emplace_back();
    device["device"] = curve.device();
    device["buckets"] = Json::array();
    for (const v1::MemoryBucket& bucket : curve.buckets()) {
      Json& one = device["buckets"].emplace_back();
      one["first_step"] = bucket.first_step();
      one["last_step"] = bucket.last_step();
      one["begin_ns"] = bucket.begin_ns();
      one["end_ns"] = bucket.end_ns();
      one["min_bytes"] = bucket.min_bytes();
      one["max_bytes"] = bucket.max_bytes();
      one["last_bytes"] = bucket.last_bytes();
      one["max_step"] = bucket.max_step();
      one["changes"] = bucket.events();
      one["gap"] = bucket.gap();
      one["lost"] = bucket.lost();
    }
  }
  return Dump(out);
}

std::string TimelineToText(const v1::QueryTimelineRequest& request,
                           const v1::QueryTimelineResponse& answer,
                           const TextStyle& style) {
  std::string out;
  for (const v1::MemoryCurve& curve : answer.curves()) {
    if (curve.buckets().empty()) continue;
    if (!out.empty()) out += "\n";
    AddCurve(curve, Subject(request), style, &out);
  }
  return out;
}

}  // namespace invact
