#include "daemon/analysis/checkpoint_model.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/codes.h"

namespace invact {
namespace {

struct Block {
  int64_t input_bytes = 0;   // all calls
  int64_t inside_bytes = 0;  // baseline of the sites below it, all calls
  int64_t calls = 1;
  int64_t forward_ns = 0;
};

// The members of one ModuleList or Sequential.
struct BlockList {
  std::string path;  // "model.layers", "" for the outermost module
  std::vector<Block> blocks;

  int64_t input_bytes = 0, inside_bytes = 0, forward_ns = 0;
  int64_t recompute_bytes = 0;  // of the largest block, one call
};

std::string_view ParentOf(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view()
                                       : name.substr(0, dot);
}

// Whether a member of `inner` lies below a member of `outer`.
bool Below(std::string_view inner, std::string_view outer) {
  return inner.size() > outer.size() &&
         inner.substr(0, outer.size()) == outer &&
         (outer.empty() || inner[outer.size()] == '.');
}
bool Nested(const BlockList& a, const BlockList& b) {
  return Below(a.path, b.path) || Below(b.path, a.path);
}

std::vector<BlockList> FindLists(const StoredRun& run,
                                 const v1::SiteTable& table,
                                 const LayerTable& layers) {
  std::unordered_map<uint32_t, const v1::ScopeRow*> rows;
  for (const v1::ScopeRow& row : table.scopes()) rows[row.scope()] = &row;
  std::map<std::string, Block, std::less<>> blocks;
  for (const v1::Scope& scope : run.scopes) {
    const auto row = rows.find(scope.id());
    if (!scope.block() || row == rows.end() || row->second->calls() == 0) {
      continue;
    }
    Block& block = blocks[scope.name()];
    block.input_bytes = row->second->input_bytes();
    block.calls = row->second->calls();
    block.forward_ns = row->second->forward_ns();
  }
  for (const v1::Layer& layer : layers.layers) {
    // Its own scope and all above it.
    for (std::string_view name = layer.name(); !name.empty();
         name = ParentOf(name)) {
      const auto block = blocks.find(name);
      if (block != blocks.end()) {
        block->second.inside_bytes += layer.baseline_bytes();
      }
    }
  }
  std::map<std::string, BlockList, std::less<>> lists;
  for (const auto& [name, block] : blocks) {
    BlockList& list = lists[std::string(ParentOf(name))];
    list.path = ParentOf(name);
    list.blocks.push_back(block);
    list.input_bytes += block.input_bytes;
    list.inside_bytes += block.inside_bytes;
    list.forward_ns += block.forward_ns;
    list.recompute_bytes =
        std::max(list.recompute_bytes, block.inside_bytes / block.calls);
  }
  std::vector<BlockList> out;
  for (auto& [path, list] : lists) out.push_back(std::move(list));
  return out;
}

struct Choice {
  std::vector<const BlockList*> lists;
  int64_t input_bytes = 0, inside_bytes = 0, recompute_bytes = 0;
  int64_t forward_ns = 0;

  Choice With(const BlockList& list) const {
    Choice more = *this;
    more.lists.push_back(&list);
    more.input_bytes += list.input_bytes;
    more.inside_bytes += list.inside_bytes;
    more.forward_ns += list.forward_ns;
    more.recompute_bytes = std::max(recompute_bytes, list.recompute_bytes);
    return more;
  }
  // Needed beyond what no choice changes.
  int64_t cost() const { return input_bytes - inside_bytes + recompute_bytes; }
};

// From the best single list on, adds the list that saves most as long as one
// does. Lists are few; a list with more blocks goes first among equals.
Choice Choose(const std::vector<BlockList>& lists) {
  Choice chosen;
  for (;;) {
    std::optional<Choice> best;
    for (const BlockList& list : lists) {
      const bool taken = std::any_of(
          chosen.lists.begin(), chosen.lists.end(), [&](const BlockList* one) {
            return one == &list || Nested(*one, list);
          });
      if (taken) continue;
      Choice next = chosen.With(list);
      if (!best || next.cost() < best->cost() ||
          (next.cost() == best->cost() &&
           list.blocks.size() > best->lists.back()->blocks.size())) {
        best = std::move(next);
      }
    }
    if (!best || (!chosen.lists.empty() && best->cost() >= chosen.cost())) {
      return chosen;
    }
    chosen = *std::move(best);
  }
}

std::string Describe(std::vector<const BlockList*> lists) {
  std::sort(
      lists.begin(), lists.end(),
      [](const BlockList* a, const BlockList* b) { return a->path < b->path; });
  constexpr size_t kNamed = 4;
  std::string out;
  size_t unnamed = 0;
  for (size_t i = 0; i < lists.size(); ++i) {
    if (i >= kNamed) {
      unnamed += lists[i]->blocks.size();
      continue;
    }
    absl::StrAppend(&out, i == 0 ? "" : ", ", lists[i]->path,
                    lists[i]->path.empty() ? "* (" : ".* (",
                    lists[i]->blocks.size(), ")");
  }
  if (unnamed > 0) {
    absl::StrAppend(&out, ", and ", lists.size() - kNamed, " lists more (",
                    unnamed, ")");
  }
  return out;
}

// Share of the step that the blocks' forward takes. The host's clock tells the
// blocks' share of the forward; where the device's clock is known it tells the
// forward's share of the step.
std::optional<double> ForwardShare(const v1::StepTotals& totals,
                                   int64_t forward_ns) {
  const int64_t forward = totals.backward_begin_ns() - totals.begin_ns();
  const int64_t step = totals.end_ns() - totals.begin_ns();
  if (!totals.complete() || forward_ns <= 0 || forward <= 0 || step <= 0) {
    return std::nullopt;
  }
  const double blocks = std::min(
      1.0, static_cast<double>(forward_ns) / static_cast<double>(forward));
  if (totals.has_device_forward_seconds() && totals.has_device_step_seconds() &&
      totals.device_step_seconds() > 0) {
    return blocks * totals.device_forward_seconds() /
           totals.device_step_seconds();
  }
  return blocks * static_cast<double>(forward) / static_cast<double>(step);
}

bool AlreadyCheckpointed(const LayerTable& layers) {
  return std::any_of(
      layers.layers.begin(), layers.layers.end(), [](const v1::Layer& layer) {
        return layer.declined() == Name(Reason::kInCheckpointRegion);
      });
}

}  // namespace

v1::Checkpoint ModelCheckpoint(const StoredRun& run, const v1::SiteTable& table,
                               const LayerTable& layers) {
  v1::Checkpoint out;
  out.set_source("modelled");
  const v1::StepTotals& totals = table.totals();
  if (totals.phase() == "forward" || AlreadyCheckpointed(layers)) return out;
  const std::vector<BlockList> lists = FindLists(run, table, layers);
  if (lists.empty()) return out;
  const Choice chosen = Choose(lists);
  out.set_blocks(Describe(chosen.lists));
  out.set_held_bytes(layers.baseline_bytes - chosen.inside_bytes +
                     chosen.input_bytes);
  out.set_recompute_peak_bytes(chosen.recompute_bytes);
  if (auto share = ForwardShare(totals, chosen.forward_ns)) {
    out.set_extra_time_fraction(*share);
  }
  return out;
}

}  // namespace invact
