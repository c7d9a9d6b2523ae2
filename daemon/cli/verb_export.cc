// invact export: all that is stored of a run, for other programs.
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/cli/choose.h"
#include "daemon/cli/step_json.h"
#include "daemon/cli/verbs.h"
#include "daemon/report/kernels.h"
#include "daemon/report/memory_json.h"
#include "daemon/report/memory_moments.h"
#include "proto/codes.h"

namespace invact::cli {
namespace {

constexpr int kPage = 1000;

struct ExportFlags {
  Selection selection;
  std::string format = "json";
};

Json EventFields(const v1::Event& event) {
  Json out;
  out["time_ns"] = event.time_ns();
  out["kind"] = event.kind();
  out["source"] = event.source();
  out["address"] = event.address();
  out["bytes"] = event.bytes();
  out["step"] = event.step();
  out["layer"] = event.layer();
  out["op"] = event.op();
  out["device"] = event.device();
  out["stream"] = event.stream();
  return out;
}

// What a page has: totals of steps, these with the steps' memory, or events.
enum class Part { kSteps, kMemory, kEvents };

// Writes each page before it asks for the next: a run may have more events
// than fit in memory. `each` gives false where nobody reads any more.
absl::Status ForEachPage(
    Client& client, const std::string& run, Part part,
    const std::function<bool(const v1::QueryTimelineResponse&)>& each) {
  v1::QueryTimelineRequest request;
  request.set_run(run);
  request.set_page_size(kPage);
  request.set_events(part == Part::kEvents);
  request.set_memory(part == Part::kMemory);
  do {
    auto page = client.Call(&Client::Stub::QueryTimeline, request);
    if (!page.ok()) return page.status();
    if (!each(*page)) return absl::OkStatus();
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

// A JSON array, one element a line.
class Array {
 public:
  explicit Array(Output* output) : output_(output) {}
  bool Add(const Json& element) {
    std::string line = DumpLine(element);
    line.pop_back();
    const bool reads = output_->Data((first_ ? "\n    " : ",\n    ") + line);
    first_ = false;
    return reads;
  }

 private:
  Output* const output_;
  bool first_ = true;
};

absl::Status ExportJson(Shell& shell, Client& client,
                        const v1::Report& report) {
  v1::ListKernelsRequest request;
  request.set_run(report.run().id());
  auto stored = client.Call(&Client::Stub::ListKernels, request);
  if (!stored.ok()) return stored.status();
  Output& output = shell.output;
  std::string head = DumpLine(ReportFields(report));
  head.pop_back();
  output.Data(absl::StrCat("{\n  \"schema\": \"invact.export/v1\",\n",
                           "  \"report\": ", head, ",\n  \"kernels\": ["));
  Array kernels(&output);
  for (const v1::KernelCalibration& kernel : stored->kernels()) {
    if (!kernels.Add(KernelFields(kernel))) return absl::OkStatus();
  }
  output.Data("\n  ],\n  \"steps\": [");
  Array steps(&output);
  absl::Status status =
      ForEachPage(client, report.run().id(), Part::kSteps,
                  [&](const v1::QueryTimelineResponse& page) {
                    for (const v1::StepTotals& step : page.steps()) {
                      if (!steps.Add(StepFields(step))) return false;
                    }
                    return true;
                  });
  if (!status.ok()) return status;
  output.Data("\n  ],\n  \"memory\": [");
  Array memory(&output);
  status =
      ForEachPage(client, report.run().id(), Part::kMemory,
                  [&](const v1::QueryTimelineResponse& page) {
                    for (const v1::MemoryStep& step : page.memory_steps()) {
                      if (!memory.Add(MemoryStepFields(step))) return false;
                    }
                    return true;
                  });
  if (!status.ok()) return status;
  output.Data("\n  ],\n  \"events\": [");
  Array events(&output);
  status = ForEachPage(client, report.run().id(), Part::kEvents,
                       [&](const v1::QueryTimelineResponse& page) {
                         for (const v1::Event& event : page.events()) {
                           if (!events.Add(EventFields(event))) return false;
                         }
                         return true;
                       });
  if (status.ok()) output.Data("\n  ]\n}\n");
  return status;
}

// Of each device; one nullptr where the step has none.
std::vector<const v1::MemoryStep*> MemoryOf(
    const v1::QueryTimelineResponse& page, int64_t step) {
  std::vector<const v1::MemoryStep*> out;
  for (const v1::MemoryStep& one : page.memory_steps()) {
    if (one.step() == step) out.push_back(&one);
  }
  if (out.empty()) out.push_back(nullptr);
  return out;
}

// What the memory's columns of a line hold; nullptr: nothing.
void AddMemoryColumns(const v1::MemoryStep* step, Json* line) {
  const auto add = [&](const std::string& key, auto value) {
    (*line)[key] = step == nullptr ? Json() : Json(value());
  };
  const auto optional = [&](const std::string& key,
                            const std::optional<int64_t>& value) {
    (*line)[key] = value ? Json(*value) : Json();
  };
  static const v1::MemoryStep kNone;
  const v1::MemoryStep& of = step == nullptr ? kNone : *step;
  add("memory_device", [&] { return of.device(); });
  add("memory_peak_phase", [&] { return of.peak_phase(); });
  add("memory_peak_bytes", [&] { return LiveBytes(of.peak()); });
  for (const std::string_view name : codes::kMemoryCategoryNames) {
    add(absl::StrCat("memory_peak_", std::string(name), "_bytes"),
        [&] { return CategoryBytes(of.peak(), std::string(name)); });
  }
  add("memory_peak_awaiting_bytes", [&] { return of.peak().awaiting_bytes(); });
  add("memory_peak_reserved_bytes", [&] { return of.peak().reserved_bytes(); });
  add("memory_most_reserved_bytes", [&] { return of.most_reserved_bytes(); });
  const bool ended = of.has_end();
  const auto at_end = [&](int64_t value) {
    return ended ? std::optional(value) : std::nullopt;
  };
  optional("memory_end_bytes", at_end(LiveBytes(of.end())));
  optional("memory_end_awaiting_bytes", at_end(of.end().awaiting_bytes()));
  optional("memory_end_rounding_bytes", RoundingBytes(of.end()));
  optional("memory_end_unused_bytes", UnusedBytes(of.end()));
  optional("memory_end_reserved_bytes", at_end(of.end().reserved_bytes()));
}

// One line a step, or a step and device; numbers and plain words only, so that
// nothing needs quotes.
absl::Status ExportCsv(Shell& shell, Client& client, const v1::Report& report) {
  const auto line = [](const Json& fields, bool header) {
    std::string out;
    for (const auto& [key, value] : fields.items()) {
      absl::StrAppend(&out, out.empty() ? "" : ",",
                      header              ? key
                      : value.is_null()   ? ""
                      : value.is_string() ? value.get<std::string>()
                                          : value.dump());
    }
    return out + "\n";
  };
  Json header = StepFields(v1::StepTotals());
  AddMemoryColumns(nullptr, &header);
  shell.output.Data(line(header, true));
  return ForEachPage(
      client, report.run().id(), Part::kMemory,
      [&](const v1::QueryTimelineResponse& page) {
        for (const v1::StepTotals& step : page.steps()) {
          for (const v1::MemoryStep* memory : MemoryOf(page, step.index())) {
            Json fields = StepFields(step);
            AddMemoryColumns(memory, &fields);
            if (!shell.output.Data(line(fields, false))) {
              return false;
            }
          }
        }
        return true;
      });
}

absl::StatusOr<int> Export(Shell& shell, const ExportFlags& flags) {
  if (shell.json && flags.format != "json") {
    return absl::InvalidArgumentError(
        absl::StrCat("--json and --format ", flags.format, " contradict"));
  }
  absl::StatusOr<v1::Report> report = FetchReport(shell, flags.selection);
  if (!report.ok()) return report.status();
  absl::StatusOr<Client*> daemon = shell.Daemon();
  if (!daemon.ok()) return daemon.status();
  absl::Status status = flags.format == "csv"
                            ? ExportCsv(shell, **daemon, *report)
                            : ExportJson(shell, **daemon, *report);
  if (!status.ok()) return status;
  return kOk;
}

}  // namespace

void AddExport(CLI::App& app, Shell& shell) {
  CLI::App* verb = app.add_subcommand(
      "export", "All that is stored of a run, for other programs");
  auto flags = std::make_shared<ExportFlags>();
  AddSelection(verb, &flags->selection);
  verb->add_option("--format", flags->format,
                   "json (default): all; csv: steps and devices")
      ->check(CLI::IsMember({"json", "csv"}).description(""))
      ->type_name("F");
  verb->callback([&shell, flags] {
    shell.action = [&shell, flags] { return Export(shell, *flags); };
  });
}

}  // namespace invact::cli
