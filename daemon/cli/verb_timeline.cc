// invact timeline: device memory over the steps of a run, change by change.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/cli/choose.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/timeline.h"

namespace invact::cli {
namespace {

constexpr int kTextBuckets = 24;
constexpr int kJsonBuckets = 1000;
constexpr int kMostBuckets = 10'000;

struct TimelineFlags {
  Selection selection;
  std::optional<int> device, ordinal, buckets;
  std::optional<std::string> layer;
  std::string category, steps;
  bool no_layer = false;
};

// "7", "7-9", "7-" or nothing.
absl::Status ParseSteps(const std::string& text,
                        v1::QueryTimelineRequest* request) {
  if (text.empty()) return absl::OkStatus();
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(text, absl::MaxSplits('-', 1));
  int64_t first = 0, last = 0;
  bool ok = absl::SimpleAtoi(parts.first, &first) && first >= 0;
  if (text.find('-') == std::string::npos) {
    last = first;
  } else if (parts.second.empty()) {
    last = INT64_MAX;
  } else {
    ok = ok && absl::SimpleAtoi(parts.second, &last);
  }
  if (!ok || last < first) {
    return absl::InvalidArgumentError(
        absl::StrCat("--steps ", text, " is none of N, N-M, N-"));
  }
  request->set_first_step(first);
  request->set_until_step(last);
  return absl::OkStatus();
}

absl::StatusOr<int> Timeline(Shell& shell, const TimelineFlags& flags) {
  v1::QueryTimelineRequest request;
  absl::Status status = ParseSteps(flags.steps, &request);
  if (!status.ok()) return status;
  absl::StatusOr<v1::Report> report = FetchReport(shell, flags.selection);
  if (!report.ok()) return report.status();
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  request.set_run(report->run().id());
  request.set_changes(true);
  request.set_category(flags.category);
  request.set_curve_buckets(
      flags.buckets.value_or(shell.json ? kJsonBuckets : kTextBuckets));
  if (flags.device) request.set_device(*flags.device);
  request.set_no_layer(flags.no_layer);
  if (flags.layer) request.set_layer(*flags.layer);
  if (flags.ordinal) {
    request.set_ordinal(static_cast<uint32_t>(*flags.ordinal));
  }
  auto answer = (*daemon)->Call(&Client::Stub::QueryTimeline, request);
  if (!answer.ok()) return answer.status();
  if (answer->curves().empty()) {
    shell.output.Note(
        "no change of device memory is stored here; a job on a CUDA device "
        "tells of them with INVACT_EVENTS=store");
  }
  shell.output.Data(
      shell.json ? TimelineToJson(report->run().id(), request, *answer)
                 : TimelineToText(request, *answer, shell.output.style()));
  return kOk;
}

}  // namespace

void AddTimeline(CLI::App& app, Shell& shell) {
  CLI::App* verb = app.add_subcommand(
      "timeline", "Device memory over a run, change by change");
  auto flags = std::make_shared<TimelineFlags>();
  AddSelection(verb, &flags->selection);
  verb->add_option("--steps", flags->steps, "N, N-M or N- (default: all)")
      ->type_name("S");
  verb->add_option("--category", flags->category,
                   "activation, parameter, ..., reserved (default: all)")
      ->type_name("C");
  verb->add_option("--layer", flags->layer, "What this module has")
      ->type_name("L");
  verb->add_flag("--no-layer", flags->no_layer, "What no module has");
  verb->add_option("--ordinal", flags->ordinal,
                   "With --layer: its call site of that number")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""))
      ->type_name("N");
  verb->add_option("--device", flags->device, "That device alone")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""))
      ->type_name("N");
  verb->add_option("--buckets", flags->buckets,
                   "At most so many parts (text 24, JSON 1000)")
      ->check(CLI::Range(1, kMostBuckets).description(""))
      ->type_name("N");
  verb->callback([&shell, flags] {
    shell.action = [&shell, flags] { return Timeline(shell, *flags); };
  });
}

}  // namespace invact::cli
