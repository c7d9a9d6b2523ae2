// Random runs: whatever is stored, a report adds up to the byte and every
// format of it can be read back. The sums are made here, from the JSON and the
// CSV, by code that knows nothing of the analysis.
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "daemon/report/build_report.h"
#include "daemon/report/diff.h"
#include "daemon/report/report_csv.h"
#include "daemon/report/report_json.h"
#include "daemon/report/report_markdown.h"
#include "daemon/report/report_text.h"
#include "tests/unit/report/samples.h"

namespace invact {
namespace {

class RandomRun {
 public:
  explicit RandomRun(uint32_t seed) : random_(seed) {}

  StoredRun Make() {
    StoredRun run;
    run.run.set_id("0123456789abcdef");
    run.run.set_state("finished");
    const int64_t scopes = Below(12) + 1;
    for (int64_t i = 0; i < scopes; ++i) {
      v1::Scope& scope = run.scopes.emplace_back();
      scope.set_id(static_cast<uint32_t>(i));
      scope.set_name(Name(i));
      scope.set_block(Below(2) == 0);
    }
    const int64_t sites = Below(60);
    for (int64_t i = 0; i < sites; ++i) {
      v1::Site& site = run.sites.emplace_back();
      site.set_id(static_cast<uint32_t>(i));
      // Some come before their scope is known.
      site.set_scope(static_cast<uint32_t>(Below(scopes + 1)));
      site.set_pack_ordinal(static_cast<uint32_t>(i));
      site.set_op(Below(5) == 0 ? "" : Text());
      site.set_dtype("float32");
      site.set_category(kCategories[Below(3)]);
    }
    run.last_step = Table(run, 3);
    run.steps.push_back(run.last_step->totals());
    return run;
  }

 private:
  static constexpr const char* kCategories[] = {"activation", "input",
                                                "weight_copy"};
  int64_t Below(int64_t n) {
    return std::uniform_int_distribution<int64_t>(0, n - 1)(random_);
  }
  std::string Text() {
    const auto& names = HostileNames();
    return names[Below(static_cast<int64_t>(names.size()))];
  }
  std::string Name(int64_t i) {
    switch (Below(4)) {
      case 0:
        return i == 0 ? "" : Text() + std::to_string(i);
      case 1:
        return "layers." + std::to_string(i) + ".mlp";
      case 2:
        return "layers." + std::to_string(i);
      default:
        return std::to_string(i);
    }
  }

  v1::SiteTable Table(const StoredRun& run, int64_t index) {
    v1::SiteTable table;
    v1::StepTotals& totals = *table.mutable_totals();
    int64_t baseline = 0, held = 0, side = 0, categories[3] = {};
    for (const v1::Site& site : run.sites) {
      if (Below(5) == 0) continue;  // not touched in this step
      v1::SiteRow& row = *table.add_rows();
      row.set_site(site.id());
      row.set_baseline_bytes(Below(3) == 0 ? 0 : Below(int64_t{1} << 40));
      row.set_side_bytes(Below(4) == 0 ? Below(1 << 20) : 0);
      row.set_held_bytes(row.side_bytes() + (Below(2) == 0
                                                 ? row.baseline_bytes()
                                                 : Below(int64_t{1} << 40)));
      const char* actions[] = {"keep", "invert", "bits", "offload"};
      row.set_action(actions[Below(4)]);
      if (Below(4) == 0) row.set_declined(Text());
      row.set_shared(Below(6) == 0);
      baseline += row.baseline_bytes();
      held += row.held_bytes();
      side += row.side_bytes();
      for (int i = 0; i < 3; ++i) {
        if (site.category() == kCategories[i]) {
          categories[i] += row.baseline_bytes();
        }
      }
    }
    for (const v1::Scope& scope : run.scopes) {
      if (!scope.block()) continue;
      v1::ScopeRow& row = *table.add_scopes();
      row.set_scope(scope.id());
      row.set_input_bytes(Below(1 << 30));
      row.set_calls(static_cast<uint32_t>(Below(3)));
      row.set_forward_ns(Below(1 << 20));
    }
    totals.set_index(index);
    totals.set_complete(true);
    totals.set_phase("done");
    totals.set_baseline_bytes(baseline);
    totals.set_held_bytes(held);
    totals.set_side_bytes(side);
    totals.set_activation_bytes(categories[0]);
    totals.set_input_bytes(categories[1]);
    totals.set_weight_copy_bytes(categories[2]);
    totals.set_begin_ns(1 + Below(1000));
    totals.set_backward_begin_ns(2000 + Below(1000));
    totals.set_end_ns(4000 + Below(1000));
    return table;
  }

  std::mt19937 random_;
};

// Splits one line of our CSV at commas outside of quotes.
std::vector<std::string> SplitCsv(const std::string& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') quoted = !quoted;
    if (c == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  EXPECT_FALSE(quoted) << line;
  return cells;
}

// No control character but the line ends, no line of a table too wide.
void ExpectHarmless(const std::string& text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    ASSERT_TRUE(byte >= 0x20 || c == '\n') << "control character in output";
    ASSERT_NE(byte, 0x7f);
  }
}

class ReportProperty : public testing::TestWithParam<uint32_t> {};

TEST_P(ReportProperty, AddsUpToTheByteInEveryFormat) {
  const StoredRun run = RandomRun(GetParam()).Make();

  const auto report = BuildReport(run, StepChoice{});

  ASSERT_TRUE(report.ok()) << report.status();
  const auto json = nlohmann::json::parse(ReportToJson(*report));
  const auto& saved = json["saved"];
  std::map<std::string, int64_t> sums;
  std::map<std::string, int64_t> by_action;
  for (const auto& layer : json["layers"]) {
    for (const char* key :
         {"baseline_bytes", "held_bytes", "side_bytes", "eliminated_bytes"}) {
      sums[key] += layer[key].get<int64_t>();
    }
    by_action[layer["action"]] += layer["eliminated_bytes"].get<int64_t>();
  }
  int64_t rows = 0;
  for (const v1::SiteRow& row : run.last_step->rows()) {
    rows += row.baseline_bytes();
  }
  EXPECT_EQ(saved["baseline_bytes"].get<int64_t>(), rows);
  for (const auto& [key, sum] : sums) {
    EXPECT_EQ(saved[key].get<int64_t>(), sum) << key;
  }
  int64_t eliminated = 0;
  for (const auto& [action, bytes] : saved["by_action"].items()) {
    EXPECT_EQ(bytes.get<int64_t>(), by_action[action]) << action;
    eliminated += bytes.get<int64_t>();
  }
  EXPECT_EQ(eliminated, saved["eliminated_bytes"].get<int64_t>());
  EXPECT_EQ(eliminated, saved["baseline_bytes"].get<int64_t>() -
                            saved["held_bytes"].get<int64_t>());
  int64_t categories = 0;
  for (const auto& [name, bytes] : saved["by_category"].items()) {
    categories += bytes.get<int64_t>();
  }
  EXPECT_EQ(categories, rows);

  std::istringstream csv(ReportToCsv(*report));
  std::string line;
  std::getline(csv, line);
  const size_t columns = SplitCsv(line).size();
  int64_t csv_baseline = 0, csv_rows = 0;
  for (; std::getline(csv, line); ++csv_rows) {
    const std::vector<std::string> cells = SplitCsv(line);
    ASSERT_EQ(cells.size(), columns) << line;
    csv_baseline += std::stoll(cells[5]);
  }
  EXPECT_EQ(csv_rows, run.last_step->rows_size());
  EXPECT_EQ(csv_baseline, rows);
}

TEST_P(ReportProperty, PrintsNothingHarmful) {
  StoredRun run = RandomRun(GetParam()).Make();
  run.warnings = HostileNames();
  const auto report = BuildReport(run, StepChoice{});
  ASSERT_TRUE(report.ok()) << report.status();
  TextStyle style;

  ExpectHarmless(ReportToText(*report, style));
  ExpectHarmless(ReportToMarkdown(*report));
  ExpectHarmless(ReportToCsv(*report));
  ExpectHarmless(ReportToJson(*report));
  v1::Report other = *report;
  other.clear_layers();
  ExpectHarmless(DiffToText({*report, other}, style));
  EXPECT_TRUE(nlohmann::json::accept(DiffToJson({*report, other, *report})));
  style.all = true;
  ExpectHarmless(ReportToText(*report, style));
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReportProperty,
                         testing::Range(uint32_t{0}, uint32_t{100}));

}  // namespace
}  // namespace invact
