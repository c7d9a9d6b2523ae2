#include "daemon/report/compare_digests.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/digest_codes.h"

namespace invact {
namespace {

// One number of one step, or why there is none.
struct Seen {
  uint64_t bits = 0;
  std::string_view unseen;  // empty: `bits` is it
};
// By what it is of: a parameter's name and type, or a root's place.
using Key = std::pair<std::string, std::string>;
using Numbers = std::map<Key, Seen>;

struct Step {
  bool made = false;   // by the run's own account
  bool whole = false;  // all that was said of it arrived
  Numbers losses, gradients;
};

// Walks through the steps of one run; texts point into `stored`.
class Steps {
 public:
  explicit Steps(const StoredDigests& stored) : stored_(stored) {
    for (const v1::Parameter& parameter : stored.parameters) {
      names_[parameter.id()] = {parameter.name(), parameter.type()};
    }
  }

  bool any() const { return !stored_.digests.empty(); }

  void AddTo(std::set<int64_t>* steps) const {
    steps->insert(stored_.steps.begin(), stored_.steps.end());
    for (const v1::StepDigests& one : stored_.digests) {
      steps->insert(one.step());
    }
  }

  // To be asked in ascending order.
  Step At(int64_t number) {
    Step step;
    step.made =
        std::binary_search(stored_.steps.begin(), stored_.steps.end(), number);
    size_t count = 0;
    std::optional<size_t> total;
    for (; next_ < stored_.digests.size() &&
           stored_.digests[next_].step() <= number;
         ++next_) {
      const v1::StepDigests& some = stored_.digests[next_];
      if (some.step() < number) continue;
      step.made = true;
      count += some.parameters_size() + some.roots_size() + some.unseen_size();
      if (some.has_total()) total = some.total();
      Take(some, &step);
    }
    step.whole = total && *total == count;
    return step;
  }

 private:
  void Take(const v1::StepDigests& some, Step* step) const {
    for (int i = 0; i < some.parameters_size(); ++i) {
      step->gradients[Parameter(some.parameters(i))].bits = some.gradients(i);
    }
    for (int i = 0; i < some.roots_size(); ++i) {
      step->losses[Root(some.roots(i))].bits =
          std::bit_cast<uint64_t>(some.losses(i));
    }
    for (const v1::UnseenDigest& one : some.unseen()) {
      Seen& seen = one.loss() ? step->losses[Root(one.id())]
                              : step->gradients[Parameter(one.id())];
      seen.unseen =
          one.reason().empty() ? "unknown" : std::string_view(one.reason());
    }
  }
  static Key Root(uint32_t place) { return {absl::StrCat("root ", place), ""}; }
  Key Parameter(uint32_t id) const {
    const auto it = names_.find(id);
    return it == names_.end() ? Key{absl::StrCat("number ", id), ""}
                              : it->second;
  }

  const StoredDigests& stored_;
  std::map<uint32_t, Key> names_;
  size_t next_ = 0;
};

// Enough digits to tell two losses apart.
std::string Loss(uint64_t bits) {
  return absl::StrFormat("%.17g", std::bit_cast<double>(bits));
}

// Goes through the steps and remembers the first of each kind of finding.
class Finding {
 public:
  explicit Finding(bool losses) : losses_(losses) {}

  bool settled() const { return differs_; }

  void Look(int64_t number, const Step& ours, const Step& theirs) {
    if (differs_) return;
    if (ours.made != theirs.made) {
      Differ(number, absl::StrCat("step ", number, " was made by one alone"));
      return;
    }
    if (!ours.whole || !theirs.whole) {
      Miss(absl::StrCat("what was told of step ", number, " got lost"));
    }
    const Numbers& mine = losses_ ? ours.losses : ours.gradients;
    const Numbers& other = losses_ ? theirs.losses : theirs.gradients;
    for (const auto& [key, seen] : mine) {
      const auto it = other.find(key);
      if (it == other.end()) {
        if (theirs.whole) Differ(number, "", key.first);
      } else {
        Compare(number, key, seen, it->second);
      }
    }
    for (const auto& [key, seen] : other) {
      if (ours.whole && !mine.contains(key)) Differ(number, "", key.first);
    }
  }

  Agreement Result(const std::string& why_none) && {
    if (differs_) {
      out_.verdict = Verdict::kDiffer;
    } else if (out_.why.empty()) {
      if (count_ > 0) {
        out_.verdict = Verdict::kEqual;
      } else {
        out_.why = why_none;
      }
    }
    return std::move(out_);
  }

 private:
  void Compare(int64_t number, const Key& key, const Seen& mine,
               const Seen& other) {
    const std::string_view unseen =
        mine.unseen.empty() ? other.unseen : mine.unseen;
    if (!unseen.empty()) {
      Miss(absl::StrCat(key.first, " in step ", number, ": ",
                        std::string(WhyUnseen(unseen))));
      return;
    }
    ++count_;
    if (mine.bits == other.bits) return;
    Differ(number,
           losses_
               ? absl::StrCat(Loss(mine.bits), " against ", Loss(other.bits))
               : std::string(),
           key.first);
  }
  void Differ(int64_t number, const std::string& why, std::string name = "") {
    if (!differs_) {
      out_.why = why;
      out_.first_step = number;
    }
    differs_ = true;
    if (!name.empty()) out_.names.push_back(std::move(name));
  }
  void Miss(std::string why) {
    if (!differs_ && out_.why.empty()) out_.why = std::move(why);
  }

  const bool losses_;
  bool differs_ = false;
  int64_t count_ = 0;
  Agreement out_;
};

DigestAgreement CompareProcess(const StoredDigests& ours,
                               const StoredDigests& theirs) {
  Steps mine(ours), other(theirs);
  if (!mine.any() || !other.any()) {
    const Agreement none{Verdict::kUnseen, -1, {}, "the run told of none"};
    return {none, none};
  }
  std::set<int64_t> numbers;
  mine.AddTo(&numbers);
  other.AddTo(&numbers);
  Finding losses(true), gradients(false);
  const int64_t last_read =
      std::min(ours.cut ? ours.digests.back().step() : INT64_MAX,
               theirs.cut ? theirs.digests.back().step() : INT64_MAX);
  for (const int64_t number : numbers) {
    if (number >= last_read) break;
    const Step my_step = mine.At(number), other_step = other.At(number);
    losses.Look(number, my_step, other_step);
    gradients.Look(number, my_step, other_step);
    if (losses.settled() && gradients.settled()) break;
  }
  DigestAgreement out;
  out.losses = std::move(losses).Result("no backward had a scalar at its root");
  out.gradients = std::move(gradients).Result("no gradient was accumulated");
  if (last_read == INT64_MAX) return out;
  for (Agreement* one : {&out.losses, &out.gradients}) {
    if (one->verdict != Verdict::kEqual) continue;
    *one = {Verdict::kUnseen,
            -1,
            {},
            absl::StrCat("only the steps before ", last_read,
                         " were compared: there are too many")};
  }
  return out;
}

const RunDigests* Find(const std::vector<RunDigests>& job,
                       const RunDigests& like) {
  for (const RunDigests& one : job) {
    if (one.rank == like.rank && one.restart == like.restart) return &one;
  }
  return nullptr;
}

}  // namespace

DigestAgreement CompareDigests(const std::vector<RunDigests>& job,
                               const std::vector<RunDigests>& reference) {
  std::vector<Agreement> losses, gradients;
  const auto add = [&](DigestAgreement one) {
    losses.push_back(std::move(one.losses));
    gradients.push_back(std::move(one.gradients));
  };
  const auto alone = [](const RunDigests& one) {
    const Agreement agreement{
        Verdict::kUnseen,
        -1,
        {},
        absl::StrCat("rank ", one.rank, " ran in one of the two jobs alone")};
    return DigestAgreement{agreement, agreement};
  };
  for (const RunDigests& ours : job) {
    const RunDigests* theirs = Find(reference, ours);
    add(theirs == nullptr ? alone(ours)
                          : CompareProcess(ours.stored, theirs->stored));
  }
  for (const RunDigests& theirs : reference) {
    if (Find(job, theirs) == nullptr) add(alone(theirs));
  }
  return {Together(losses, "no run began"),
          Together(gradients, "no run began")};
}

Agreement Together(const std::vector<Agreement>& all,
                   const std::string& why_none) {
  const auto first = [&all](Verdict verdict) -> const Agreement* {
    for (const Agreement& one : all) {
      if (one.verdict == verdict) return &one;
    }
    return nullptr;
  };
  if (const Agreement* one = first(Verdict::kDiffer)) return *one;
  if (const Agreement* one = first(Verdict::kUnseen)) return *one;
  if (all.empty()) return {Verdict::kUnseen, -1, {}, why_none};
  return all.front();
}

}  // namespace invact
