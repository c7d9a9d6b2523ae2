#include "plugin/checkpoint/choose_blocks.h"

#include <algorithm>

#include "plugin/config.h"

namespace invact {

namespace {

constexpr int kNone = -1;
constexpr size_t kNearest = 3;

using Modules = std::vector<ModuleFacts>;

bool MatchesAny(const std::vector<std::string>& globs,
                const std::string& path) {
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) {
    return GlobMatch(glob, path);
  });
}

bool Choosable(const ModuleFacts& module) {
  return module.parent != kNone && module.kind != ModuleKind::kList;
}

// "INVACT_CHECKPOINT=enc.* matches no module; nearest: encoder, decoder".
std::string Unmatched(const std::string& glob, const Modules& modules) {
  std::vector<std::pair<size_t, const std::string*>> near;
  for (const ModuleFacts& module : modules) {
    if (Choosable(module)) {
      near.emplace_back(EditDistance(glob, module.path), &module.path);
    }
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) {
    return a.first < b.first;
  });
  near.resize(std::min(near.size(), kNearest));
  std::string text = "INVACT_CHECKPOINT=" + glob + " matches no module";
  const char* separator = "; nearest: ";
  for (const auto& [distance, path] : near) {
    text += separator + *path;
    separator = ", ";
  }
  return text;
}

// The container whose members are the blocks, or kNone.
int LargestContainer(const Modules& modules) {
  std::vector<int64_t> bytes(modules.size());
  std::vector<bool> has_children(modules.size()), deep(modules.size());
  for (size_t i = modules.size(); i-- > 0;) {
    bytes[i] += modules[i].parameter_bytes;
    const int parent = modules[i].parent;
    if (parent == kNone) continue;
    bytes[parent] += bytes[i];
    has_children[parent] = true;
    if (has_children[i]) deep[parent] = true;
  }
  for (const ModuleKind kind : {ModuleKind::kList, ModuleKind::kSequential}) {
    int best = kNone;
    for (size_t i = 0; i < modules.size(); ++i) {
      const bool fits = kind == ModuleKind::kList ? has_children[i] : deep[i];
      if (modules[i].kind != kind || !fits) continue;
      if (best == kNone || bytes[i] > bytes[best]) best = static_cast<int>(i);
    }
    if (best != kNone) return best;
  }
  return kNone;
}

}  // namespace

BlockChoice ChooseBlocks(const Modules& modules,
                         const std::vector<std::string>& globs,
                         const std::vector<std::string>& exclude) {
  BlockChoice choice;
  choice.plan.resize(modules.size());
  const int container = globs.empty() ? LargestContainer(modules) : kNone;
  // The block that a module is or lies in.
  std::vector<int> block(modules.size(), kNone);
  for (size_t i = 0; i < modules.size(); ++i) {
    const ModuleFacts& module = modules[i];
    if (module.parent != kNone) block[i] = block[module.parent];
    const bool chosen =
        globs.empty() ? container != kNone && module.parent == container
                      : Choosable(module) && MatchesAny(globs, module.path);
    if (chosen && block[i] == kNone) {
      block[i] = static_cast<int>(i);
      choice.plan[i] = BlockPlan::kCheckpoint;
    }
    if (block[i] != kNone && MatchesAny(exclude, module.path)) {
      choice.plan[block[i]] = BlockPlan::kExcluded;
    }
  }
  choice.any = std::count(choice.plan.begin(), choice.plan.end(),
                          BlockPlan::kCheckpoint) > 0;
  for (const std::string& glob : globs) {
    if (std::none_of(modules.begin(), modules.end(), [&](const auto& module) {
          return Choosable(module) && GlobMatch(glob, module.path);
        })) {
      choice.unmatched.push_back(Unmatched(glob, modules));
    }
  }
  return choice;
}

}  // namespace invact
