#include "daemon/report/check.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"
#include "daemon/report/json_parts.h"
#include "daemon/report/report_facts.h"
#include "daemon/report/table.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

CheckVerdict AtMost(const std::string& name, const std::string& what,
                    std::optional<int64_t> bytes, int64_t limit,
                    const std::string& limit_text) {
  CheckVerdict verdict;
  verdict.name = name;
  verdict.unit = "bytes";
  verdict.limit = static_cast<double>(limit);
  if (!bytes) {
    verdict.detail =
        absl::StrCat(what, " is not known of this run, limit ", limit_text);
    return verdict;
  }
  verdict.passed = *bytes <= limit;
  verdict.measured = static_cast<double>(*bytes);
  verdict.detail = absl::StrCat(what, " ", Bytes(*bytes), " (", *bytes,
                                " B, measured), at most ", limit_text);
  return verdict;
}

std::string Limit(int64_t bytes) {
  return absl::StrCat(Bytes(bytes), " (", bytes, " B)");
}

std::optional<int64_t> PeakOf(const v1::Report& report) {
  if (!report.peak().has_allocated_bytes()) return std::nullopt;
  return report.peak().allocated_bytes();
}

// What was saved before a step broke off keeps any limit.
CheckVerdict NotCompleted(const v1::Step& step) {
  CheckVerdict verdict;
  verdict.name = "complete step";
  verdict.unit = "steps";
  verdict.detail = absl::StrCat("step ", step.index(),
                                " was not completed and no other one was: its "
                                "figures are lower than a whole step's");
  return verdict;
}

CheckVerdict MinEliminated(const v1::Report& report, double least) {
  CheckVerdict verdict;
  verdict.name = "min-eliminated";
  verdict.unit = "percent";
  verdict.limit = least;
  const std::string limit = absl::StrCat("at least ", least, " %");
  if (!report.saved().has_eliminated_fraction()) {
    verdict.detail = "nothing was saved for backward, " + limit;
    return verdict;
  }
  verdict.measured = report.saved().eliminated_fraction() * 100;
  verdict.passed = *verdict.measured >= least;
  verdict.detail =
      absl::StrCat("eliminated ", Percent(*verdict.measured / 100), " (",
                   report.saved().eliminated_bytes(), " of ",
                   report.saved().baseline_bytes(), " B, measured), ", limit);
  return verdict;
}

CheckVerdict AgainstBaseline(const std::string& name, const std::string& what,
                             std::optional<int64_t> bytes, int64_t baseline,
                             const CheckLimits& limits) {
  const auto limit = static_cast<int64_t>(std::floor(
      static_cast<double>(baseline) * (1 + limits.tolerance_pct / 100)));
  return AtMost(
      name, what, bytes, limit,
      absl::StrCat(Limit(limit), " = run ", ShortId(limits.baseline->run()),
                   "'s ", Bytes(baseline), " + ", limits.tolerance_pct, " %"));
}

}  // namespace

std::vector<CheckVerdict> CheckReport(const v1::Report& report,
                                      const CheckLimits& limits) {
  std::vector<CheckVerdict> verdicts;
  const bool asked = limits.max_saved || limits.max_peak ||
                     limits.min_eliminated_pct || limits.baseline != nullptr;
  if (asked && !report.step().complete()) {
    verdicts.push_back(NotCompleted(report.step()));
  }
  const int64_t held = report.saved().held_bytes();
  if (limits.max_saved) {
    verdicts.push_back(AtMost("max-saved", "saved", held, *limits.max_saved,
                              Limit(*limits.max_saved)));
  }
  if (limits.max_peak) {
    verdicts.push_back(AtMost("max-peak", "peak memory", PeakOf(report),
                              *limits.max_peak, Limit(*limits.max_peak)));
  }
  if (limits.min_eliminated_pct) {
    verdicts.push_back(MinEliminated(report, *limits.min_eliminated_pct));
  }
  if (limits.baseline != nullptr) {
    verdicts.push_back(AgainstBaseline("baseline saved", "saved", held,
                                       limits.baseline->saved().held_bytes(),
                                       limits));
    if (const auto peak = PeakOf(*limits.baseline)) {
      verdicts.push_back(AgainstBaseline("baseline peak", "peak memory",
                                         PeakOf(report), *peak, limits));
    }
  }
  return verdicts;
}

bool AllPassed(const std::vector<CheckVerdict>& verdicts) {
  return std::all_of(verdicts.begin(), verdicts.end(),
                     [](const CheckVerdict& v) { return v.passed; });
}

std::string CheckToText(const std::vector<CheckVerdict>& verdicts,
                        const TextStyle& style) {
  std::string out;
  for (const CheckVerdict& verdict : verdicts) {
    absl::StrAppend(&out,
                    verdict.passed ? Paint(style, Ink::kGreen, "ok  ")
                                   : Paint(style, Ink::kRed, "FAIL"),
                    "  ", verdict.name, ": ", verdict.detail, "\n");
  }
  return out;
}

std::string CheckToJson(const v1::Report& report,
                        const std::vector<CheckVerdict>& verdicts) {
  const auto number = [](const CheckVerdict& verdict,
                         const std::optional<double>& value) {
    if (!value) return Json();
    return verdict.unit == "bytes" ? Json(static_cast<int64_t>(*value))
                                   : Json(*value);
  };
  Json out;
  out["schema"] = "invact.check/v1";
  out["run"] = RunFields(report.run());
  out["passed"] = AllPassed(verdicts);
  out["checks"] = Json::array();
  for (const CheckVerdict& verdict : verdicts) {
    Json one;
    one["name"] = verdict.name;
    one["passed"] = verdict.passed;
    one["measured"] = number(verdict, verdict.measured);
    one["limit"] = number(verdict, verdict.limit);
    one["unit"] = verdict.unit;
    one["detail"] = verdict.detail;
    out["checks"].push_back(std::move(one));
  }
  return Dump(out);
}

}  // namespace invact
