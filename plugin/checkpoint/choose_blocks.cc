#include "plugin/checkpoint/choose_blocks.h"

#include <algorithm>

#include "plugin/config.h"

namespace invact {

namespace {

constexpr int kNone = -1;

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
  std::vector<std::string> paths;
  for (const ModuleFacts& module : modules) {
    if (Choosable(module)) paths.push_back(module.path);
  }
  for (const std::string& glob : globs) {
    if (std::none_of(paths.begin(), paths.end(),
                     [&](const auto& path) { return GlobMatch(glob, path); })) {
      choice.unmatched.push_back(
          UnmatchedGlob("INVACT_CHECKPOINT", glob, paths));
    }
  }
  return choice;
}

}  // namespace invact
