#include "daemon/report/compare_agreement.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/report/units.h"

namespace invact {
namespace {

// Of the parameters whose gradients differ.
constexpr size_t kNamesInNote = 3;
constexpr int kMostNames = 20;

// `other` gives the round to compare a round with; nullptr: none.
template <typename Other>
DigestAgreement AgreementOf(const PolicyFacts& facts,
                            const v1::ComparedPolicy& row,
                            const std::string& why_none, Other other) {
  std::vector<Agreement> losses, gradients;
  for (size_t i = 0; i < facts.rounds.size(); ++i) {
    const RoundFacts& round = facts.rounds[i];
    const RoundFacts* with = other(round);
    if (with == nullptr || !EndedWell(row.rounds(static_cast<int>(i)))) {
      continue;
    }
    DigestAgreement one = CompareDigests(round.digests, with->digests);
    losses.push_back(std::move(one.losses));
    gradients.push_back(std::move(one.gradients));
  }
  DigestAgreement out = {Together(losses, why_none),
                         Together(gradients, why_none)};
  for (Agreement* agreement : {&out.losses, &out.gradients}) {
    if (!EndedWell(row) && agreement->verdict == Verdict::kEqual) {
      *agreement = {Verdict::kUnseen, -1, {}, "not all rounds ended well"};
    }
  }
  return out;
}

// "3 parameters (a, b, ...)".
std::string Named(const std::vector<std::string>& names) {
  std::vector<std::string> first(
      names.begin(), names.begin() + std::min(names.size(), kNamesInNote));
  if (first.size() < names.size()) first.push_back("...");
  return absl::StrCat(
      Count(static_cast<int64_t>(names.size()), "parameter", "parameters"),
      " (", absl::StrJoin(first, ", "), ")");
}

void SetLosses(const Agreement& losses, v1::ComparedPolicy* row) {
  if (losses.verdict == Verdict::kUnseen) {
    row->set_loss_unseen(losses.why);
    return;
  }
  row->set_loss_equal(losses.verdict == Verdict::kEqual);
  if (losses.verdict == Verdict::kEqual) return;
  row->set_loss_first_step(losses.first_step);
  row->add_notes(
      absl::StrCat("losses first differ in step ", losses.first_step,
                   losses.why.empty() ? "" : absl::StrCat(": ", losses.why)));
}

void SetGradients(const Agreement& gradients, v1::ComparedPolicy* row) {
  if (gradients.verdict != Verdict::kDiffer) {
    const bool equal = gradients.verdict == Verdict::kEqual;
    row->set_gradients(equal ? "equal" : "unseen");
    if (!equal) row->set_gradients_unseen(gradients.why);
    return;
  }
  row->set_gradients("differ");
  row->set_gradients_first_step(gradients.first_step);
  row->set_gradients_differing_count(
      static_cast<int64_t>(gradients.names.size()));
  for (const std::string& name : gradients.names) {
    if (row->gradients_differing_size() == kMostNames) break;
    row->add_gradients_differing(name);
  }
  row->add_notes(absl::StrCat(
      "gradients first differ in step ", gradients.first_step, ": ",
      gradients.names.empty() ? gradients.why : Named(gradients.names)));
}

// Of a run that ended well; how another one ended says enough.
void AddUnseenNotes(v1::ComparedPolicy* row) {
  const std::string &losses = row->loss_unseen(),
                    &gradients = row->gradients_unseen();
  if (!EndedWell(*row)) return;
  if (!losses.empty() && losses == gradients) {
    row->add_notes(absl::StrCat("losses and gradients are unseen: ", losses));
    return;
  }
  if (!losses.empty()) {
    row->add_notes(absl::StrCat("losses are unseen: ", losses));
  }
  if (!gradients.empty()) {
    row->add_notes(absl::StrCat("gradients are unseen: ", gradients));
  }
}

}  // namespace

void AddAgreement(const std::vector<PolicyFacts>& policies,
                  v1::Comparison* out) {
  const auto is_reference = [out](const PolicyFacts& facts) {
    return facts.policy == out->reference();
  };
  const auto first =
      std::find_if(policies.begin(), policies.end(), is_reference);
  const auto same_round = [&](const RoundFacts& round) {
    const RoundFacts* found = nullptr;
    if (first == policies.end()) return found;
    for (const RoundFacts& one : first->rounds) {
      if (one.asked.round() == round.asked.round()) found = &one;
    }
    return found;
  };
  const auto first_round = [&](const RoundFacts& round) {
    const RoundFacts* begin = &first->rounds.front();
    return &round == begin ? nullptr : begin;
  };
  for (size_t i = 0; i < policies.size(); ++i) {
    v1::ComparedPolicy* row = out->mutable_policies(static_cast<int>(i));
    const bool itself = first != policies.end() && &policies[i] == &*first;
    const DigestAgreement found =
        itself
            ? AgreementOf(policies[i], *row,
                          "one round has none to be compared with", first_round)
            : AgreementOf(policies[i], *row,
                          "no round of both it and the reference ended well",
                          same_round);
    SetLosses(found.losses, row);
    SetGradients(found.gradients, row);
    if (!itself) {
      AddUnseenNotes(row);
    } else if (found.losses.verdict == Verdict::kDiffer ||
               found.gradients.verdict == Verdict::kDiffer) {
      row->add_notes(
          "its own rounds differ, so the job does not repeat itself (seeds, "
          "data, kernels that are not deterministic) and a difference says "
          "nothing of a policy");
    }
  }
}

}  // namespace invact
