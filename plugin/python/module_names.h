// Gives every nn.Module its path: the names of named_modules() of the outermost
// module in which it is called.
//
// A root is a module that was called while no other was under way and that no
// earlier root contains; it is one no more once a later root contains it. The
// first root with parameters is the model: its paths stand alone
// ("encoder.layer.3", "" itself). Other roots (a loss, a second network) have
// their class before theirs: "<CrossEntropyLoss>", "<Critic>.body.0",
// "<Critic#2>.body.0" for a second one alive. A module that is called but
// registered nowhere is "<its class>" below its caller.
//
// Nothing here keeps a module, a parameter or a dict of the job's alive: a weak
// reference tells when a module dies.
//
// Threads: the GIL is the lock. Reading `_modules` and making weak references
// may run Python code, so no iterator into the tables is held over them.
#ifndef INVACT_PLUGIN_PYTHON_MODULE_NAMES_H_
#define INVACT_PLUGIN_PYTHON_MODULE_NAMES_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "plugin/checkpoint/choose_blocks.h"
#include "plugin/pointer_map.h"
#include "plugin/python/python_api.h"

namespace invact {

struct ModuleName {
  uint32_t root = 0;  // 0: no name
  uint32_t scope = 0;
  bool block = false;                 // child of a ModuleList or Sequential
  BlockPlan plan = BlockPlan::kNone;  // under the policy `checkpoint`
};

class ModuleNames {
 public:
  static ModuleNames& Get() noexcept;  // never destroyed

  // A module called while no other call is under way on this thread. Reads
  // parameters again when the plugin met a storage it does not know.
  ModuleName Outermost(PyObject* module);

  // A module called by `caller` inside a call of the root numbered `root`.
  ModuleName Nested(PyObject* module, PyObject* caller, uint32_t root) {
    const ModuleName* name = current_.Find(module);
    if (name != nullptr && name->root == root) return *name;
    return SearchNested(module, caller, root);
  }

  void Forget(PyObject* module);  // it died

 private:
  struct Known {
    PyObject* weak_reference;
    ModuleName name;                 // the one used last
    std::vector<ModuleName> others;  // below other roots
  };
  struct Root {
    PyObject* object;
    std::string prefix;
    std::vector<PyObject*> modules;
    std::vector<const void*> storages;
    int futile_walks = 0;
  };
  struct Found {
    Ref module;
    std::string path;
    bool block;
    int parent;  // its place in the walk, -1: the root
    ModuleKind kind;
  };

  static std::vector<Found> Walk(PyObject* root);
  static std::vector<const void*> StoragesOf(
      const std::vector<PyObject*>& modules);
  ModuleName SearchNested(PyObject* module, PyObject* caller, uint32_t root);
  ModuleName Invent(PyObject* module, PyObject* caller, uint32_t root);
  uint32_t AddRoot(PyObject* module);
  void DropRoot(uint32_t id);
  std::vector<BlockPlan> PlanBlocks(const std::string& prefix,
                                    const std::vector<Found>& found);
  static void NameParameters(PyObject* module, const std::string& path);
  void NameAll(uint32_t id, const std::vector<Found>& found);
  void SetName(PyObject* module, const ModuleName& name);
  bool UseName(PyObject* module, uint32_t root);
  std::string FreePrefix(PyObject* module, bool has_parameters) const;
  bool StoragesMayHaveChanged();
  void RefreshStorages();

  std::unordered_map<PyObject*, Known> modules_;
  PointerMap<ModuleName> current_;  // each module's Known::name
  std::unordered_map<uint32_t, Root> roots_;
  std::unordered_map<uint32_t, std::string> paths_;  // by scope
  uint32_t next_root_ = 1;
  uint32_t last_root_ = 0;
  uint32_t unowned_before_ = 0;
  uint32_t calls_since_reading_ = 0;
  uint32_t patience_ = 1;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_PYTHON_MODULE_NAMES_H_
