#include "plugin/rebuild/decide.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "plugin/rebuild/recorded_op.h"

namespace invact {

namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
// Values looked at for one decision: their graph may branch at every step.
constexpr int kMaxLooks = 64;

struct Choice {
  std::vector<Value*> leaves;
  std::vector<Value*> via;
  std::vector<Value*> run;  // of `via`: their recipes, for this alone
  int looks = kMaxLooks;

  bool Has(const Value* value) const {
    const auto in = [&](const std::vector<Value*>& some) {
      return std::find(some.begin(), some.end(), value) != some.end();
    };
    return in(leaves) || in(via);
  }
  void AddLeaf(Value* value) {
    if (!Has(value)) leaves.push_back(value);
  }
  void Copy(const Plan& plan) {
    for (const Plan::Leaf& leaf : plan.leaves) AddLeaf(leaf.value.get());
    for (const ValuePtr& value : plan.via) {
      if (!Has(value.get())) via.push_back(value.get());
    }
  }
};

int64_t CostOf(Value* value, int64_t limit, Choice* choice);

// Bytes to hold so that the recipe can be run, kNever when not below `limit`:
// the choice is then what it was.
int64_t CostOfRecipe(Value* value, int64_t limit, Choice* choice) {
  const size_t leaves = choice->leaves.size();
  const size_t via = choice->via.size();
  const size_t run = choice->run.size();
  choice->via.push_back(value);
  choice->run.push_back(value);
  int64_t sum = 0;
  const auto add = [&](Value* input) {
    const int64_t cost = CostOf(input, limit - sum, choice);
    if (cost == kNever) return false;
    sum += cost;
    return true;
  };
  bool possible = true;
  if (value->twin.defined()) {
    possible = add(value->twin.get());
  } else {
    for (const Recipe::Input& input : value->recipe->inputs) {
      possible = possible && add(input.value.get());
    }
  }
  if (possible) return sum;
  choice->leaves.resize(leaves);
  choice->via.resize(via);
  choice->run.resize(run);
  return kNever;
}

// The same for one input; below `limit`, or kNever.
int64_t CostOf(Value* value, int64_t limit, Choice* choice) {
  if (limit <= 0 || choice->looks-- <= 0) return kNever;
  if (choice->Has(value)) return 0;
  const bool usable = value->MayServe();
  if (usable && (value->persistent || value->kept > 0 || value->users > 0)) {
    choice->AddLeaf(value);
    return 0;
  }
  if (value->plan != nullptr) {
    choice->Copy(*value->plan);
    choice->via.push_back(value);
    return 0;
  }
  const int64_t own = usable ? value->bytes : kNever;
  if (value->recipe != nullptr || value->twin.defined()) {
    const int64_t cost = CostOfRecipe(value, std::min(own, limit), choice);
    if (cost != kNever) return cost;
  }
  if (own >= limit) return kNever;
  choice->AddLeaf(value);
  return own;
}

void DropRecipe(Value& value, Trash* trash) {
  if (value.recipe != nullptr) {
    trash->recipes.push_back(std::exchange(value.recipe, nullptr));
  }
}

std::unique_ptr<Plan> Hold(const Choice& choice, Trash* trash) {
  auto plan = std::make_unique<Plan>();
  for (Value* leaf : choice.leaves) {
    plan->leaves.push_back({ValuePtr::reclaim_copy(leaf), leaf->Take(), {}});
  }
  const bool all_there = std::all_of(
      plan->leaves.begin(), plan->leaves.end(),
      [](const Plan::Leaf& leaf) { return static_cast<bool>(leaf.storage); });
  if (!all_there) {  // another thread let go of one just now
    trash->plans.push_back(std::move(plan));
    return nullptr;
  }
  for (Value* leaf : choice.leaves) ++leaf->users;
  for (Value* value : choice.via) {
    ++value->via;
    plan->via.push_back(ValuePtr::reclaim_copy(value));
  }
  return plan;
}

// One kernel may have it and what it is made from.
bool Fuses(const Value& value) {
  if (value.recipe == nullptr) return false;
  return value.recipe->op->pointwise ||
         (value.recipe->op->kind == RecordedOp::Kind::kLayerNorm &&
          value.recipe->statistics.size() == 2);
}

int64_t BytesOf(const Layout& layout) {
  return layout.Elements() * static_cast<int64_t>(layout.dtype.itemsize());
}

// Bytes that the recipes read and write. Those in between of ops that fuse are
// neither; of a table no more is read than is taken from it.
int64_t TrafficOf(const Value& content, const Choice& choice) {
  const auto runs = [&](const Value* value) {
    return std::find(choice.run.begin(), choice.run.end(), value) !=
           choice.run.end();
  };
  int64_t bytes = Fuses(content) ? content.bytes : 0;
  for (const Value* value : choice.run) {
    if (value->recipe == nullptr) continue;  // a twin
    const bool fuses = Fuses(*value);
    if (!fuses) bytes += value->bytes;
    for (const Recipe::Input& input : value->recipe->inputs) {
      if (fuses && runs(input.value.get()) && Fuses(*input.value)) continue;
      bytes += std::min(BytesOf(input.layout), value->bytes);
    }
  }
  return bytes;
}

// What to hold so that the contents of `value` can be rebuilt for fewer bytes
// than it has.
Reason Choose(Value& value, Value& content, Choice* choice) {
  const int64_t cost = &content != &value
                           ? CostOf(&content, value.bytes, choice)
                       : content.recipe != nullptr
                           ? CostOfRecipe(&content, content.bytes, choice)
                           : kNever;
  if (cost == kNever) return Reason::kNoCheaperBase;
  const bool slow = TrafficOf(content, *choice) > kMostTraffic * content.bytes;
  return slow ? Reason::kRebuildTooSlow : Reason::kNone;
}

}  // namespace

bool CanRebuild(Value& value) {
  Value& content = ContentOf(value);
  Choice choice;
  return content.plan != nullptr ||
         Choose(value, content, &choice) == Reason::kNone;
}

Reason JoinPlan(Value& value, Trash* trash) {
  Value& content = ContentOf(value);
  if (content.plan == nullptr) {
    Choice choice;
    const Reason reason = Choose(value, content, &choice);
    if (reason != Reason::kNone) return reason;
    content.plan = Hold(choice, trash);
    if (content.plan == nullptr) return Reason::kNoCheaperBase;
  }
  ++content.plan->states;
  ++content.unread;
  return Reason::kNone;
}

void LeavePlan(Value& content, Trash* trash) {
  if (--content.plan->states > 0) return;
  auto plan = std::move(content.plan);
  for (const Plan::Leaf& leaf : plan->leaves) --leaf.value->users;
  for (const ValuePtr& value : plan->via) {
    if (--value->via == 0 && value->base) DropRecipe(*value, trash);
  }
  trash->plans.push_back(std::move(plan));
}

void Keep(Value& value, Trash* trash) {
  ++value.kept;
  value.base = true;
  value.depth = 0;
  // What is kept needs no recipe, and chains of recipes have to end.
  if (value.via == 0) DropRecipe(value, trash);
}

}  // namespace invact
