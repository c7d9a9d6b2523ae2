#include "tests/unit/report/samples.h"

#include <cstdio>
#include <cstdlib>

#include "daemon/report/build_report.h"
#include "daemon/report/diff.h"
#include "daemon/report/report_csv.h"
#include "daemon/report/report_json.h"
#include "daemon/report/report_markdown.h"
#include "daemon/report/report_text.h"
#include "tests/unit/report/models.h"

namespace invact {
using std::string_literals::operator""s;
namespace {

// 32 layers, everything known.
StoredRun LlamaInvert() {
  RunBuilder builder = LlamaRun(32, true);
  v1::StepTotals& totals = builder.totals();
  builder.Sum();
  const int64_t eliminated = totals.baseline_bytes() - totals.held_bytes();
  totals.set_allocated_before_bytes(20 * kGiB);
  totals.set_allocated_instant_bytes(20 * kGiB + totals.held_bytes() +
                                     13 * kMiB);
  totals.set_peak_allocated_bytes(20 * kGiB + totals.held_bytes() + kGiB);
  totals.set_peak_reserved_bytes(70 * kGiB);
  totals.set_saved_at_peak_bytes(totals.held_bytes());
  totals.set_eliminated_at_peak_bytes(eliminated);
  totals.set_device_forward_seconds(0.110);
  totals.set_device_backward_seconds(0.221);
  totals.set_device_step_seconds(0.331);
  for (int64_t i = 0; i < 5; ++i) builder.Complete(i);
  return builder.AlsoMax().Take();
}

// On a CPU, nothing changed.
StoredRun BertObserve() {
  RunBuilder builder = BertRun(false);
  builder.run().set_device("cpu");
  builder.run().set_exact(true);
  builder.totals().clear_device_step_seconds();
  builder.totals().clear_device_forward_seconds();
  builder.totals().clear_device_backward_seconds();
  return builder.Complete(0).AlsoMax().Take();
}

// Rank 5 of a job of 8 ran out of memory in its first forward.
StoredRun OutOfMemoryRun() {
  RunBuilder builder = LlamaRun(17, true);
  v1::Run& run = builder.run();
  run.set_job_id("slurm-4711.0");
  run.set_state("crashed");
  run.set_end_reason("oom");
  run.set_exit_code(1);
  run.set_rank(5);
  run.set_local_rank(5);
  run.set_world_size(8);
  builder.totals().set_backward_begin_ns(0);
  builder.totals().set_end_ns(0);
  builder.Live(0, "forward");
  StoredRun stored = builder.Take();
  v1::OutOfMemory& oom = stored.out_of_memory.emplace();
  oom.set_phase("forward");
  oom.set_step_index(0);
  oom.set_layer("model.layers.17.mlp");
  oom.set_requested_bytes(512 * kMiB);
  oom.set_saved_bytes(stored.live->totals().held_bytes());
  stored.losses.set_events_dropped(1234);
  stored.warnings.push_back(
      "no CUPTI: allocations of other libraries are not "
      "seen");
  return stored;
}

// Every substitution was refused.
StoredRun DeclinedRun() {
  RunBuilder builder;
  for (int i = 0; i < 3; ++i) {
    const std::string layer = "blocks." + std::to_string(i);
    builder.Block(layer, 4 * kMiB, 2 * kMs);
    builder.Keep(layer + ".up", {"AddmmBackward0", 4 * kMiB, "float32"});
    builder.Decline(layer + ".act", {"GeluBackward0", 16 * kMiB, "float32"},
                    "OUTPUT_NOT_SAVED");
    builder.Decline(layer + ".gate", {"SiluBackward0", 2 * kMiB, "float64"},
                    "DTYPE_UNSUPPORTED");
    builder.Keep(layer + ".down", {"AddmmBackward0", 16 * kMiB, "float32"});
  }
  builder.totals().set_begin_ns(kMs);
  builder.totals().set_backward_begin_ns(11 * kMs);
  builder.totals().set_end_ns(31 * kMs);
  return builder.Complete(0).Complete(1).AlsoMax().Take();
}

// Names that try to break out of whatever they are printed in.
StoredRun HostileRun() {
  RunBuilder builder;
  v1::Run& run = builder.run();
  run.set_name("x\x1b[2J\x1b]0;owned\a");
  run.set_host("ho\r\nst");
  run.set_device("<img src=x>");
  run.set_policy("inv|ert");
  for (const std::string& name : HostileNames()) {
    builder.Keep(name, {name, 4 * kKiB, name});
    builder.Invert(name, {"=cmd()", 8 * kKiB});
    builder.Decline(name, {"a,b\"c", 2 * kKiB}, name);
  }
  StoredRun stored = builder.Complete(0).AlsoMax().Take();
  stored.warnings = HostileNames();
  return stored;
}

}  // namespace

const std::vector<std::string>& HostileNames() {
  static const auto* names = new std::vector<std::string>{
      "quote\"apostrophe'comma,semicolon;",
      "line\nfeed\r\nreturn\ttab",
      "\x1b[31mred\x1b[0m\x1b]8;;http://evil\a",
      "c1 \xc2\x9b"
      "31m csi",
      "not utf-8: \xff\xfe\xc3(\xe2\x82",
      "overlong \xc0\xaf surrogate \xed\xa0\x80",
      "override \xe2\x80\xae gnp.exe zero\xe2\x80\x8bwidth",
      "| pipe `code` *bold* [link](http://x) <b>&amp;</b> #1 @all",
      "=HYPERLINK(\"http://x\")",
      "-1+1",
      "nul \0 inside"s,
      "wide \xe6\xa8\xa1\xe5\x9e\x8b.\xe5\xb1\x82 e\xcc\x81",
      std::string(600, 'w') + ".end",
      " spaces ",
  };
  return *names;
}

const std::vector<std::string>& SampleNames() {
  static const auto* names = new std::vector<std::string>{
      "llama_invert", "bert_observe", "oom", "declined", "hostile"};
  return *names;
}

StoredRun SampleRun(const std::string& name) {
  if (name == "llama_invert") return LlamaInvert();
  if (name == "bert_observe") return BertObserve();
  if (name == "oom") return OutOfMemoryRun();
  if (name == "declined") return DeclinedRun();
  if (name == "hostile") return HostileRun();
  std::fprintf(stderr, "no sample run %s\n", name.c_str());
  std::abort();
}

std::string PrintSample(const std::string& name, const std::string& format) {
  auto report = BuildReport(SampleRun(name), StepChoice{});
  if (!report.ok()) return report.status().ToString();
  report->set_invact_version("0.1.0");  // whatever this build's is
  TextStyle style;
  if (format == "json") return ReportToJson(*report);
  if (format == "csv") return ReportToCsv(*report);
  if (format == "md") return ReportToMarkdown(*report);
  style.all = format == "all.txt";
  style.colour = format == "colour";
  return ReportToText(*report, style);
}

}  // namespace invact
