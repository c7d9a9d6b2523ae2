#include "daemon/report/layer_rows.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace invact {
namespace {

// Where a layer's line goes: the list of blocks it is below, and its name
// there with further numbers replaced.
struct Place {
  std::string list;   // "model.layers.*", "" if it is below none
  std::string block;  // "model.layers.7"
  std::string name;   // "mlp.act"
};

bool IsNumber(absl::string_view part) {
  return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
    return c >= '0' && c <= '9';
  });
}

Place PlaceOf(const std::string& name) {
  std::vector<std::string> parts = absl::StrSplit(name, '.');
  const auto number = std::find_if(parts.begin(), parts.end(), IsNumber);
  if (number == parts.end()) return {"", "", name};
  Place place;
  place.block = absl::StrJoin(parts.begin(), number + 1, ".");
  *number = "*";
  place.list = absl::StrJoin(parts.begin(), number + 1, ".");
  for (auto part = number + 1; part != parts.end(); ++part) {
    if (IsNumber(*part)) *part = "*";
  }
  place.name = absl::StrJoin(number + 1, parts.end(), ".");
  return place;
}

}  // namespace

std::string BlockPattern(const std::string& name) {
  const Place place = PlaceOf(name);
  return place.list.empty() || place.name.empty()
             ? place.list + place.name
             : absl::StrCat(place.list, ".", place.name);
}

namespace {

bool Silent(const v1::Layer& layer) {
  return layer.baseline_bytes() == 0 && layer.held_bytes() == 0;
}

using RowKey = std::tuple<std::string, std::string, std::string, std::string>;

RowKey KeyOf(const v1::Layer& layer, const std::string& name) {
  return {name, layer.op(), layer.action(), layer.declined()};
}

class Folder {
 public:
  explicit Folder(const v1::Report& report, size_t plain_rows) {
    std::set<RowKey> plain;
    std::map<std::string, std::set<std::string>> blocks;
    for (const v1::Layer& layer : report.layers()) {
      if (Silent(layer)) continue;
      plain.insert(KeyOf(layer, layer.name()));
      const Place place = PlaceOf(layer.name());
      if (!place.list.empty()) blocks[place.list].insert(place.block);
    }
    if (plain.size() <= plain_rows) return;
    for (const auto& [list, members] : blocks) {
      if (members.size() > 1) {
        folded_[list] = static_cast<int64_t>(members.size());
      }
    }
  }

  void Add(const v1::Layer& layer, FoldedLayers* out) {
    Place place = PlaceOf(layer.name());
    if (!folded_.contains(place.list)) place = {"", "", layer.name()};
    // Lines of their own are groups of one row.
    const RowKey own = KeyOf(layer, place.name);
    auto [group_at, new_group] = groups_.try_emplace(
        {place.list, place.list.empty() ? own : RowKey()}, out->groups.size());
    if (new_group) {
      LayerGroup& group = out->groups.emplace_back();
      group.name = place.list;
      group.blocks = place.list.empty() ? 0 : folded_[place.list];
    }
    LayerGroup& group = out->groups[group_at->second];
    auto [row_at, new_row] =
        rows_.try_emplace({place.list, own}, group.rows.size());
    if (new_row) {
      LayerRow& row = group.rows.emplace_back();
      std::tie(row.name, row.op, row.action, row.declined) = own;
    }
    LayerRow& row = group.rows[row_at->second];
    ++row.sites;
    row.baseline_bytes += layer.baseline_bytes();
    row.held_bytes += layer.held_bytes();
    group.baseline_bytes += layer.baseline_bytes();
    group.held_bytes += layer.held_bytes();
    if (names_[{place.list, own}].insert(layer.name()).second) ++row.layers;
  }

 private:
  std::map<std::string, int64_t> folded_;  // list: its blocks
  std::map<std::pair<std::string, RowKey>, size_t> groups_, rows_;
  std::map<std::pair<std::string, RowKey>, std::set<std::string>> names_;
};

// Takes the smallest rows out until at most `most_rows` are left.
void LimitRows(size_t most_rows, FoldedLayers* out) {
  std::vector<int64_t> sizes;
  for (const LayerGroup& group : out->groups) {
    for (const LayerRow& row : group.rows) sizes.push_back(row.baseline_bytes);
  }
  if (sizes.size() <= most_rows) return;
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  const int64_t least = sizes[most_rows - 1];
  auto room =
      static_cast<int64_t>(most_rows) -
      (std::lower_bound(sizes.begin(), sizes.end(), least, std::greater<>()) -
       sizes.begin());
  for (LayerGroup& group : out->groups) {
    std::erase_if(group.rows, [&](const LayerRow& row) {
      if (row.baseline_bytes > least ||
          (row.baseline_bytes == least && room-- > 0)) {
        return false;
      }
      ++out->small_rows;
      out->small_baseline_bytes += row.baseline_bytes;
      out->small_held_bytes += row.held_bytes;
      // The lines of a group add up to its heading.
      group.baseline_bytes -= row.baseline_bytes;
      group.held_bytes -= row.held_bytes;
      return true;
    });
  }
  std::erase_if(out->groups,
                [](const LayerGroup& group) { return group.rows.empty(); });
}

}  // namespace

FoldedLayers FoldLayers(const v1::Report& report, size_t plain_rows,
                        size_t most_rows) {
  FoldedLayers out;
  Folder folder(report, plain_rows);
  for (const v1::Layer& layer : report.layers()) {
    if (Silent(layer)) {
      ++out.silent_sites;
    } else {
      folder.Add(layer, &out);
    }
  }
  LimitRows(most_rows, &out);
  return out;
}

}  // namespace invact
