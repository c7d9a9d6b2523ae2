#include "daemon/report/compare_formats.h"

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"
#include "daemon/report/json_parts.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

Json TextOrNull(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

#define INVACT_OPTIONAL(message, field) \
  ((message).has_##field() ? Json((message).field()) : Json())

Json RoundFields(const v1::ComparedRound& round) {
  Json out;
  out["round"] = round.round();
  out["run_id"] = TextOrNull(round.run_id());
  out["end_reason"] = TextOrNull(round.end_reason());
  out["exit_code"] = INVACT_OPTIONAL(round, exit_code);
  out["signal"] = INVACT_OPTIONAL(round, signal);
  out["step_seconds_median"] = INVACT_OPTIONAL(round, step_seconds_median);
  out["clock"] = TextOrNull(round.clock());
  out["steps"] = round.steps();
  return out;
}

Json PolicyFields(const v1::ComparedPolicy& row) {
  Json out;
  out["policy"] = row.policy();
  out["run_id"] = TextOrNull(row.run_id());
  out["end_reason"] = TextOrNull(row.end_reason());
  out["exit_code"] = INVACT_OPTIONAL(row, exit_code);
  out["signal"] = INVACT_OPTIONAL(row, signal);
  out["steps"] = row.steps();
  // Without a stored step nothing of it is known.
  out["saved"] = row.has_saved() ? SavedFields(row.saved()) : Json();
  out["peak"] = row.has_peak() ? PeakFields(row.peak()) : Json();
  out["timing"] = row.has_timing() ? TimingFields(row.timing()) : Json();
  out["added_fraction"] = INVACT_OPTIONAL(row, added_fraction);
  out["added_fraction_interval"] =
      row.has_added_fraction_low()
          ? Json::array({row.added_fraction_low(), row.added_fraction_high()})
          : Json();
  out["loss_equal"] = INVACT_OPTIONAL(row, loss_equal);
  out["loss_first_step"] = INVACT_OPTIONAL(row, loss_first_step);
  out["loss_unseen"] = TextOrNull(row.loss_unseen());
  out["gradients"] = row.gradients();
  out["gradients_first_step"] = INVACT_OPTIONAL(row, gradients_first_step);
  out["gradients_differing"] = Json::array();
  for (const std::string& name : row.gradients_differing()) {
    out["gradients_differing"].push_back(name);
  }
  out["gradients_differing_count"] = row.gradients_differing_count();
  out["gradients_unseen"] = TextOrNull(row.gradients_unseen());
  out["rounds"] = Json::array();
  for (const v1::ComparedRound& round : row.rounds()) {
    out["rounds"].push_back(RoundFields(round));
  }
  out["notes"] = Json::array();
  for (const std::string& note : row.notes()) out["notes"].push_back(note);
  return out;
}

#undef INVACT_OPTIONAL

Json Fields(const v1::Comparison& comparison) {
  Json out;
  out["schema"] = comparison.schema();
  out["id"] = comparison.id();
  out["name"] = TextOrNull(comparison.name());
  out["created_at"] = UtcTime(comparison.created_at());
  out["rounds"] = comparison.rounds();
  out["reference"] = TextOrNull(comparison.reference());
  out["policies"] = Json::array();
  for (const v1::ComparedPolicy& row : comparison.policies()) {
    out["policies"].push_back(PolicyFields(row));
  }
  return out;
}

}  // namespace

std::string ComparisonToJson(const v1::Comparison& comparison) {
  return Dump(Fields(comparison));
}

std::string ComparisonsToJson(const std::vector<v1::Comparison>& comparisons) {
  Json out;
  out["schema"] = "invact.comparisons/v1";
  out["comparisons"] = Json::array();
  for (const v1::Comparison& one : comparisons) {
    out["comparisons"].push_back(Fields(one));
  }
  return Dump(out);
}

std::string ComparisonToCsv(const v1::Comparison& comparison) {
  std::string out =
      "policy,run_id,end_reason,exit_code,signal,steps,baseline_bytes,"
      "held_bytes,eliminated_bytes,peak_allocated_bytes,peak_reserved_bytes,"
      "step_seconds_median,added_fraction,added_fraction_low,"
      "added_fraction_high,loss_equal,gradients,loss_first_step,"
      "gradients_first_step\n";
  for (const v1::ComparedPolicy& row : comparison.policies()) {
    const auto number = [&out](bool known, auto value) {
      // Enough digits to read a double back.
      out += ',';
      if (known) out += Json(value).dump();
    };
    absl::StrAppend(&out, CsvField(row.policy()), ",", CsvField(row.run_id()),
                    ",", CsvField(row.end_reason()));
    const v1::Saved& saved = row.saved();
    const v1::Peak& peak = row.peak();
    number(row.has_exit_code(), row.exit_code());
    number(row.has_signal(), row.signal());
    number(true, row.steps());
    number(row.has_saved(), saved.baseline_bytes());
    number(row.has_saved(), saved.held_bytes());
    number(row.has_saved(), saved.eliminated_bytes());
    number(peak.has_allocated_bytes(), peak.allocated_bytes());
    number(peak.has_reserved_bytes(), peak.reserved_bytes());
    number(row.timing().has_step_seconds_median(),
           row.timing().step_seconds_median());
    number(row.has_added_fraction(), row.added_fraction());
    number(row.has_added_fraction_low(), row.added_fraction_low());
    number(row.has_added_fraction_high(), row.added_fraction_high());
    number(row.has_loss_equal(), row.loss_equal());
    absl::StrAppend(&out, ",", CsvField(row.gradients()));
    number(row.has_loss_first_step(), row.loss_first_step());
    number(row.has_gradients_first_step(), row.gradients_first_step());
    out += '\n';
  }
  return out;
}

}  // namespace invact
