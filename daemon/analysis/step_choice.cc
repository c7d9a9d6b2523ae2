#include "daemon/analysis/step_choice.h"

#include <charconv>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace invact {

absl::StatusOr<StepChoice> ParseStepChoice(std::string_view text_untrusted) {
  const std::string_view text = text_untrusted;
  if (text.empty() || text == "last") return StepChoice{};
  if (text == "max") return StepChoice{StepChoice::Kind::kMax, 0};
  StepChoice choice{StepChoice::Kind::kIndex, 0};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, choice.index);
  if (error == std::errc() && rest == end && choice.index >= 0) return choice;
  return absl::InvalidArgumentError(
      absl::StrCat("step \"",
                   absl::Utf8SafeCHexEscape(absl::string_view(
                       text.data(), std::min(text.size(), size_t{40}))),
                   "\" is not one of last, max or a step's index (0, 1, ...)"));
}

}  // namespace invact
