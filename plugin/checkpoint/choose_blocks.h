// Which modules of a model the policy `checkpoint` runs as blocks. Pure: no
// torch, no Python.
//
// With globs: the modules that match one, of nested ones the outermost. A
// ModuleList, which is never called, and the model as a whole are not chosen.
// Without: the members of the ModuleList with the most bytes of parameters
// below it (of equal ones the first); of the largest Sequential whose members
// have modules of their own where there is no ModuleList.
// A block that an exclude glob names, or that contains a module so named, is
// not checkpointed.
#ifndef INVACT_PLUGIN_CHECKPOINT_CHOOSE_BLOCKS_H_
#define INVACT_PLUGIN_CHECKPOINT_CHOOSE_BLOCKS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace invact {

enum class ModuleKind : uint8_t { kOther, kList, kSequential };

struct ModuleFacts {
  std::string path;
  int parent = -1;  // its place in the table, before its own; -1: the root
  ModuleKind kind = ModuleKind::kOther;
  int64_t parameter_bytes = 0;  // its own, not those below it
};

enum class BlockPlan : uint8_t { kNone, kCheckpoint, kExcluded };

struct BlockChoice {
  std::vector<BlockPlan> plan;         // of each module
  std::vector<std::string> unmatched;  // one line for each glob without a match
  bool any = false;                    // some module is to be checkpointed
};

// `modules`: the root first, parents before their children.
BlockChoice ChooseBlocks(const std::vector<ModuleFacts>& modules,
                         const std::vector<std::string>& globs,
                         const std::vector<std::string>& exclude);

}  // namespace invact

#endif  // INVACT_PLUGIN_CHECKPOINT_CHOOSE_BLOCKS_H_
