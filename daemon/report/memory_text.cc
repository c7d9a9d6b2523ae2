#include "daemon/report/memory_text.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/report/escape.h"
#include "daemon/report/memory_moments.h"
#include "daemon/report/table.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

constexpr int kHoldersShown = 8;

struct Shown {
  std::string title;
  const v1::MemoryMoment* moment;
};

// The highest peak, then how the report's step went.
std::vector<Shown> MomentsOf(const v1::MemoryDevice& device) {
  std::vector<Shown> out = {{"highest peak", &device.highest().peak()}};
  if (!device.has_step()) return out;
  const v1::MemoryStep& step = device.step();
  if (step.step() != device.highest().step()) {
    out.push_back({"peak", &step.peak()});
  }
  if (step.has_begin()) out.push_back({"begin", &step.begin()});
  if (step.has_backward()) out.push_back({"backward", &step.backward()});
  if (step.has_end()) out.push_back({"end", &step.end()});
  return out;
}

struct Line {
  std::string name;
  std::vector<std::optional<int64_t>> bytes;
  bool sum = false;
};

// Categories, largest first, and how they add up to torch's own numbers.
std::vector<Line> LinesOf(const std::vector<Shown>& shown) {
  std::vector<std::string> names;
  for (const Shown& one : shown) {
    for (const auto& [name, bytes] : one.moment->by_category()) {
      if (bytes != 0 &&
          std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(name);
      }
    }
  }
  std::sort(names.begin(), names.end(),
            [&](const std::string& a, const std::string& b) {
              const int64_t at_a = CategoryBytes(*shown[0].moment, a);
              const int64_t at_b = CategoryBytes(*shown[0].moment, b);
              return at_a != at_b ? at_a > at_b : a < b;
            });
  std::vector<Line> lines;
  const auto add = [&](const std::string& name, bool sum, auto value) {
    Line line{name, {}, sum};
    bool any = false;
    for (const Shown& one : shown) {
      line.bytes.push_back(value(*one.moment));
      any |= line.bytes.back().value_or(0) != 0;
    }
    if (any) lines.push_back(std::move(line));
  };
  using Moment = v1::MemoryMoment;
  using Bytes = std::optional<int64_t>;
  for (const std::string& name : names) {
    add(name, false,
        [&](const Moment& m) -> Bytes { return CategoryBytes(m, name); });
  }
  add("asked for", true, [](const Moment& m) -> Bytes { return LiveBytes(m); });
  add("rounding", false, [](const Moment& m) { return RoundingBytes(m); });
  add("allocated", true, [](const Moment& m) -> Bytes {
    if (!m.has_allocated_bytes()) return std::nullopt;
    return m.allocated_bytes();
  });
  add("unused", false, [](const Moment& m) { return UnusedBytes(m); });
  add("reserved", true,
      [](const Moment& m) -> Bytes { return m.reserved_bytes(); });
  add("awaiting frees", false,
      [](const Moment& m) -> Bytes { return m.awaiting_bytes(); });
  return lines;
}

std::string Sentence(const v1::MemoryDevice& device) {
  const v1::MemoryStep& highest = device.highest();
  std::string out = absl::StrCat(
      "device ", device.device(), ": peak of ",
      Bytes(LiveBytes(highest.peak())), " asked for ",
      MemoryWhen(highest.peak_phase(), highest.step()), ", ",
      Bytes(highest.peak().reserved_bytes()), " reserved then, at most ",
      Bytes(highest.most_reserved_bytes()), " (measured)");
  if (device.has_highest_without_eliminations_bytes()) {
    absl::StrAppend(&out, "; without what was eliminated ",
                    Bytes(device.highest_without_eliminations_bytes()),
                    " (modelled)");
  }
  return out;
}

std::string FailureSentence(const v1::MemoryFailure& failure) {
  return absl::StrCat(
      "out of memory ", MemoryWhen(failure.phase(), failure.step()),
      ", asking for ", Bytes(failure.asked_bytes()), " with ",
      Bytes(failure.device_free_bytes()), " of the device free and ",
      Bytes(LiveBytes(failure.at())), " in use (measured)");
}

std::string ColumnTitle(const v1::MemoryDevice& device, const Shown& one) {
  return one.moment == &device.highest().peak()
             ? "highest peak"
             : absl::StrCat("step ", device.step().step(), " ", one.title);
}

std::string Layer(const v1::MemoryHolder& holder) {
  if (!holder.has_layer()) return "(no layer)";
  return holder.layer().empty() ? "(outermost)" : holder.layer();
}

// Of an autograd node, without what all of them end with.
std::string Op(const v1::MemoryHolder& holder) {
  const size_t end = holder.op().rfind("Backward");
  return end == 0 || end == std::string::npos ? holder.op()
                                              : holder.op().substr(0, end);
}

using Holders = google::protobuf::RepeatedPtrField<v1::MemoryHolder>;

std::string HoldersText(const Holders& holders, const std::string& when,
                        const TextStyle& style) {
  if (holders.empty()) return "";
  Table table(
      {{"layer", false, 24}, {"op", false, 10}, {"category"}, {"bytes", true}});
  const int shown =
      style.all ? holders.size() : std::min(holders.size(), kHoldersShown);
  for (int i = 0; i < shown; ++i) {
    const v1::MemoryHolder& holder = holders[i];
    table.Add({{EscapeLine(Layer(holder))},
               {EscapeLine(Op(holder))},
               {EscapeLine(holder.category())},
               {BytesInColumn(holder.bytes())}});
  }
  return absl::StrCat("  ", Paint(style, Ink::kDim, when), "\n",
                      table.Print(style, 4));
}

std::string DeviceText(const v1::MemoryDevice& device, const TextStyle& style) {
  std::string out =
      absl::StrCat("  ", Wrap(Sentence(device), TextWidth(style), 2));
  const std::vector<Shown> shown = MomentsOf(device);
  std::vector<Column> columns = {{""}};
  for (const Shown& one : shown) {
    columns.push_back({ColumnTitle(device, one), true});
  }
  Table table(std::move(columns));
  for (const Line& line : LinesOf(shown)) {
    const Ink ink = line.sum ? Ink::kBold : Ink::kPlain;
    std::vector<Cell> cells = {{EscapeLine(line.name), ink}};
    for (const std::optional<int64_t>& bytes : line.bytes) {
      cells.push_back({bytes ? BytesInColumn(*bytes) : "", ink});
    }
    table.Add(std::move(cells));
  }
  absl::StrAppend(&out, table.Print(style, 4),
                  HoldersText(device.highest().holders(),
                              "largest at the highest peak", style));
  if (device.has_out_of_memory()) {
    absl::StrAppend(
        &out, "  ",
        Paint(
            style, Ink::kRed,
            Wrap(FailureSentence(device.out_of_memory()), TextWidth(style), 2)),
        HoldersText(device.out_of_memory().holders(), "largest then", style));
  }
  return out;
}

std::string Row(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const std::string& cell : cells) absl::StrAppend(&out, " ", cell, " |");
  return out + "\n";
}

std::string HoldersMarkdown(const Holders& holders, const std::string& when) {
  if (holders.empty()) return "";
  std::string out = absl::StrCat("\n", when, ":\n\n",
                                 Row({"layer", "op", "category", "bytes"}),
                                 "| --- | --- | --- | ---: |\n");
  for (const v1::MemoryHolder& holder : holders) {
    absl::StrAppend(
        &out, Row({MarkdownText(Layer(holder)), MarkdownText(Op(holder)),
                   MarkdownText(holder.category()), Bytes(holder.bytes())}));
  }
  return out;
}

}  // namespace

std::string MemoryText(const v1::Report& report, const TextStyle& style) {
  if (report.memory().devices().empty()) return "";
  std::string out = absl::StrCat(
      "\n", Paint(style, Ink::kBold, "Device memory"), "  ",
      Paint(style, Ink::kDim, "measured, by the allocator's events"), "\n");
  for (const v1::MemoryDevice& device : report.memory().devices()) {
    absl::StrAppend(&out, DeviceText(device, style));
  }
  return out;
}

std::string MemoryMarkdown(const v1::Report& report) {
  if (report.memory().devices().empty()) return "";
  std::string out = "\n## Device memory (measured)\n";
  for (const v1::MemoryDevice& device : report.memory().devices()) {
    absl::StrAppend(&out, "\n", MarkdownText(Sentence(device)), "\n\n");
    const std::vector<Shown> shown = MomentsOf(device);
    std::vector<std::string> titles = {"bytes"}, rule = {"---"};
    for (const Shown& one : shown) {
      titles.push_back(ColumnTitle(device, one));
      rule.push_back("---:");
    }
    absl::StrAppend(&out, Row(titles), Row(rule));
    for (const Line& line : LinesOf(shown)) {
      std::vector<std::string> cells = {MarkdownText(line.name)};
      for (const std::optional<int64_t>& bytes : line.bytes) {
        cells.push_back(bytes ? Bytes(*bytes) : "");
      }
      absl::StrAppend(&out, Row(cells));
    }
    absl::StrAppend(&out, HoldersMarkdown(device.highest().holders(),
                                          "Largest at the highest peak"));
    if (device.has_out_of_memory()) {
      absl::StrAppend(
          &out, "\n", MarkdownText(FailureSentence(device.out_of_memory())),
          "\n",
          HoldersMarkdown(device.out_of_memory().holders(), "Largest then"));
    }
  }
  return out;
}

}  // namespace invact
