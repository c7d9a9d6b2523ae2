#include "daemon/report/kernels.h"

#include <cmath>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/report/escape.h"
#include "daemon/report/report_facts.h"
#include "daemon/report/table.h"
#include "proto/codes.h"

namespace invact {
namespace {

constexpr char kBuiltIn[] = "built-in";

// "0", "1.06e-2", as the documentation of the kernels writes them.
std::string ErrorText(bool known, double error) {
  if (!known || !std::isfinite(error)) return "-";
  if (error == 0) return "0";
  char text[32];
  std::snprintf(text, sizeof(text), "%.2e", error);
  std::string digits(text, 4);
  return absl::StrCat(digits, "e", std::atoi(text + 5));
}

#define INVACT_ERROR(field) \
  { ErrorText(kernel.has_##field(), kernel.field()) }

std::string HintOf(const std::string& reason) {
  for (size_t i = 1; i < std::size(codes::kReasonNames); ++i) {
    if (codes::kReasonNames[i] == reason) {
      return std::string(codes::kReasonHints[i]);
    }
  }
  return "";
}

Json TextOrNull(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

std::string Head(const v1::Run& run, const TextStyle& style) {
  std::string out = absl::StrCat(
      Paint(style, Ink::kBold, "Run " + ShortId(run)), "  ",
      Shorten(EscapeLine(run.name()), 50), "  ", StateText(run), "  policy ",
      EscapeLine(run.policy()), "  torch ", EscapeLine(run.torch_version()));
  if (!run.device().empty()) {
    absl::StrAppend(&out, "  ", EscapeLine(run.device()));
  }
  return out + "\n\n";
}

void AddRow(const v1::KernelCalibration& kernel, Table* table) {
  table->Add(
      {{EscapeLine(kernel.op()), Ink::kBold},
       {EscapeLine(kernel.dtype())},
       {EscapeLine(kernel.device())},
       {kernel.has_side_bits() ? absl::StrCat(kernel.side_bits()) : "-"},
       INVACT_ERROR(floor_max),
       INVACT_ERROR(floor_rms),
       INVACT_ERROR(stated_max),
       INVACT_ERROR(stated_rms),
       INVACT_ERROR(error_max),
       INVACT_ERROR(error_rms),
       kernel.served() ? Cell{"yes", Ink::kGreen} : Cell{"no", Ink::kYellow},
       {EscapeLine(kernel.library())}});
}

std::string NotServed(const v1::KernelCalibration& kernel,
                      const TextStyle& style) {
  std::string why = HintOf(kernel.reason());
  if (!kernel.detail().empty()) {
    absl::StrAppend(&why, why.empty() ? "" : ": ", kernel.detail());
  }
  std::string out = absl::StrCat(
      "\n", Paint(style, Ink::kYellow, "not served:"), " ",
      EscapeLine(kernel.op()), " ", EscapeLine(kernel.dtype()), " on ",
      EscapeLine(kernel.device()), "  ", EscapeLine(kernel.reason()), "\n");
  if (!why.empty()) {
    absl::StrAppend(&out, "    ", Wrap(EscapeLine(why), TextWidth(style), 4));
  }
  absl::StrAppend(
      &out, "    ",
      Wrap("next: " + EscapeLine(NextForKernel(kernel)), TextWidth(style), 4));
  return out;
}

}  // namespace

std::string WhyNoKernels(const v1::Run& run, const StoredKernels& stored) {
  if (run.policy() != "invert") {
    return absl::StrCat("policy ", run.policy(),
                        " inverts nothing, so no kernel was calibrated; next: "
                        "invact run --policy invert -- CMD");
  }
  if (run.exact()) {
    return "an exact run (INVACT_EXACT) inverts nothing, so no kernel was "
           "calibrated; next: run it without INVACT_EXACT";
  }
  if (!stored.told) {
    return absl::StrCat("invact ", run.invact_version(),
                        " recorded this run, and did not yet tell of its "
                        "kernels; next: record it again");
  }
  if (stored.inverted) {
    return absl::StrCat("what was inverted is of kernels that invact ",
                        run.invact_version(),
                        " does not calibrate; their bounds: docs/kernels.md");
  }
  if (run.state() == "running") {
    return absl::StrCat(
        "nothing was inverted so far: a kernel is calibrated "
        "at its first call; next: invact watch ",
        ShortId(run));
  }
  return absl::StrCat(
      "no activation was met that invact could invert; what "
      "was declined, and why: invact report ",
      ShortId(run));
}

std::string NextForKernel(const v1::KernelCalibration& kernel) {
  if (kernel.served()) return "";
  const std::string instead =
      "PyTorch's own kernel ran in its place: right, and nothing eliminated; ";
  if (!kernel.library().empty() && kernel.library() != kBuiltIn) {
    return absl::StrCat(instead, "mend ", kernel.library(),
                        " or leave it out of INVACT_KERNELS");
  }
  return instead + "see whether plugin and torch fit: invact doctor";
}

Json KernelFields(const v1::KernelCalibration& kernel) {
  const auto number = [](bool known, double value) {
    return known && std::isfinite(value) ? Json(value) : Json();
  };
  Json out;
  out["op"] = kernel.op();
  out["dtype"] = kernel.dtype();
  out["device"] = kernel.device();
  out["library"] = TextOrNull(kernel.library());
  out["side_bits"] = kernel.has_side_bits() ? Json(kernel.side_bits()) : Json();
  out["floor_max"] = number(kernel.has_floor_max(), kernel.floor_max());
  out["floor_rms"] = number(kernel.has_floor_rms(), kernel.floor_rms());
  out["stated_max"] = number(kernel.has_stated_max(), kernel.stated_max());
  out["stated_rms"] = number(kernel.has_stated_rms(), kernel.stated_rms());
  out["error_max"] = number(kernel.has_error_max(), kernel.error_max());
  out["error_rms"] = number(kernel.has_error_rms(), kernel.error_rms());
  out["served"] = kernel.served();
  out["reason"] = TextOrNull(kernel.reason());
  out["detail"] = TextOrNull(kernel.detail());
  out["next"] = TextOrNull(NextForKernel(kernel));
  return out;
}

std::string KernelsToJson(const v1::ListKernelsResponse& kernels) {
  Json out;
  out["schema"] = "invact.kernels/v1";
  out["run"] = RunFields(kernels.run());
  out["kernels"] = Json::array();
  for (const v1::KernelCalibration& kernel : kernels.kernels()) {
    out["kernels"].push_back(KernelFields(kernel));
  }
  out["why_none"] = TextOrNull(kernels.why_none());
  return Dump(out);
}

std::string KernelsToText(const v1::ListKernelsResponse& kernels,
                          const TextStyle& style) {
  std::string out = Head(kernels.run(), style);
  if (kernels.kernels().empty()) {
    return absl::StrCat(
        out, "No kernels: ",
        Wrap(EscapeLine(kernels.why_none()), TextWidth(style), 2));
  }
  Table table({{"op"},
               {"dtype"},
               {"device"},
               {"bits", true},
               {"floor", true},
               {"rms", true},
               {"stated", true},
               {"rms", true},
               {"measured", true},
               {"rms", true},
               {"served"},
               {"library"}});
  std::string wrong;
  for (const v1::KernelCalibration& kernel : kernels.kernels()) {
    AddRow(kernel, &table);
    if (!kernel.served()) absl::StrAppend(&wrong, NotServed(kernel, style));
  }
  return absl::StrCat(
      out, table.Print(style, 0), "\n",
      Wrap("Errors of the derivative, |f'(decoded) - f'(x)|: the largest, then "
           "the root mean square for x ~ N(0, 1). floor: the least that y and "
           "the stored bits allow (modelled); stated: what the library "
           "promises; measured: in this run, with the rounding of dx to its "
           "dtype. bits: an element, beside y. library PyTorch: its own "
           "backward is handed the output, no kernel of invact runs. ReLU, "
           "sigmoid and tanh are left alone: PyTorch keeps their output "
           "already.",
           TextWidth(style), 0),
      wrong);
}

}  // namespace invact
