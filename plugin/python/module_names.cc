#include "plugin/python/module_names.h"

#include <algorithm>
#include <unordered_set>

#include "plugin/checkpoint/region.h"
#include "plugin/digest/digests.h"
#include "plugin/digest/leaves.h"
#include "plugin/log.h"
#include "plugin/observe/recorder.h"
#include "plugin/observe/scope.h"
#include "plugin/python/block_call.h"
#include "plugin/python/module_attributes.h"
#include "plugin/python/tensor_object.h"

namespace invact {

namespace {

// A job that makes modules as it goes (nn.Dropout(p)(x) in a forward) would
// have its whole tree read for each: after so many readings in a row that found
// nothing the tree is taken as it is.
constexpr int kFutileWalks = 8;

// Calls of outermost modules between two readings of all parameters.
constexpr uint32_t kLongestPatience = 64;

PyObject* OnModuleDeath(PyObject* address, PyObject*) {
  // A forked child must not take the locks of its parent. Anybody else forgets,
  // also while nothing is observed: the address will be used again.
  if (OwnProcess()) {
    ModuleNames::Get().Forget(
        static_cast<PyObject*>(g_python.PyLong_AsVoidPtr(address)));
  }
  g_python.Py_IncRef(g_python.none);
  return g_python.none;
}
MethodDef g_on_death = {"invact_module_death", OnModuleDeath,
                        kMethodOneArgument, nullptr};

// Children of lists and sequences are the blocks that checkpointing is usually
// applied to.
ModuleKind KindOf(PyObject* module) {
  PyObject* containers = ImportedModule("torch.nn.modules.container");
  if (containers == nullptr) return ModuleKind::kOther;
  const auto is = [&](const char* name) {
    const Ref type = Attribute(containers, name);
    return type && IsInstance(module, type.get());
  };
  return is("ModuleList")   ? ModuleKind::kList
         : is("Sequential") ? ModuleKind::kSequential
                            : ModuleKind::kOther;
}

std::string Join(const std::string& path, const std::string& name) {
  return path.empty() || name.empty() ? path + name : path + "." + name;
}

}  // namespace

void ModuleNames::NameParameters(PyObject* module, const std::string& path) {
  ForEach(module, AttributeNames().parameters,
          [&](PyObject* key, PyObject* parameter) {
            if (!IsTensorObject(parameter)) return;
            const at::Tensor tensor = TensorOf(parameter);
            if (tensor.defined()) NameLeaf(tensor, Join(path, TextOf(key)));
          });
}

ModuleNames& ModuleNames::Get() noexcept {
  static auto* names = new ModuleNames;
  return *names;
}

// The order of named_modules(): a module that stands in two places has the name
// of the first.
std::vector<ModuleNames::Found> ModuleNames::Walk(PyObject* root) {
  std::vector<Found> found, open;
  std::unordered_set<PyObject*> seen;
  open.push_back({Ref::Share(root), "", false, -1, ModuleKind::kOther});
  while (!open.empty()) {
    Found next = std::move(open.back());
    open.pop_back();
    if (!seen.insert(next.module.get()).second) continue;
    next.kind = KindOf(next.module.get());
    const bool blocks = next.kind != ModuleKind::kOther;
    const int place = static_cast<int>(found.size());
    const size_t first_child = open.size();
    ForEach(next.module.get(), AttributeNames().modules,
            [&](PyObject* key, PyObject* child) {
              open.push_back({Ref::Share(child), Join(next.path, TextOf(key)),
                              blocks, place, ModuleKind::kOther});
            });
    std::reverse(open.begin() + first_child, open.end());
    found.push_back(std::move(next));
  }
  return found;
}

std::vector<const void*> ModuleNames::StoragesOf(
    const std::vector<PyObject*>& modules) {
  std::vector<const void*> storages;
  const ModuleAttributes& names = AttributeNames();
  for (PyObject* module : modules) {
    for (PyObject* attribute : {names.parameters, names.buffers}) {
      ForEach(module, attribute, [&](PyObject*, PyObject* value) {
        if (!IsTensorObject(value)) return;
        const void* storage = StorageOf(value);
        if (storage != nullptr) storages.push_back(storage);
      });
    }
  }
  return storages;
}

// Reading all parameters takes as long as several module calls, and a batch is
// met in every step: so they are read when the number of such tensors differs
// from the last time, else ever more rarely while nothing new is found.
bool ModuleNames::StoragesMayHaveChanged() {
  const uint32_t unowned = TakeUnownedSaves();
  if (unowned == 0) return false;
  if (unowned == unowned_before_ && ++calls_since_reading_ < patience_) {
    return false;
  }
  unowned_before_ = unowned;
  calls_since_reading_ = 0;
  return true;
}

ModuleName ModuleNames::Outermost(PyObject* module) {
  if (StoragesMayHaveChanged()) RefreshStorages();
  if (!UseName(module, last_root_)) {
    const auto it = modules_.find(module);
    if (it == modules_.end() || it->second.name.root == 0) {
      last_root_ = AddRoot(module);
      if (!UseName(module, last_root_)) {
        roots_.erase(last_root_);  // it can't be watched
        return {};
      }
    }
  }
  const ModuleName name = modules_.find(module)->second.name;
  const auto root = roots_.find(name.root);
  if (root != roots_.end() && root->second.object == module) {
    last_root_ = name.root;
  }
  return name;
}

ModuleName ModuleNames::SearchNested(PyObject* module, PyObject* caller,
                                     uint32_t root) {
  const KeepError keep;
  if (UseName(module, root)) return modules_.find(module)->second.name;
  const auto known = modules_.find(module);
  if (known != modules_.end() && known->second.name.root != 0) {
    return known->second.name;  // of another root, called from this one
  }
  auto it = roots_.find(root);
  if (it != roots_.end() && it->second.futile_walks < kFutileWalks) {
    ++it->second.futile_walks;
    NameAll(root, Walk(it->second.object));
    if (UseName(module, root)) {
      it = roots_.find(root);
      if (it != roots_.end()) it->second.futile_walks = 0;
      return modules_.find(module)->second.name;
    }
  }
  return Invent(module, caller, root);
}

ModuleName ModuleNames::Invent(PyObject* module, PyObject* caller,
                               uint32_t root) {
  std::string path = "<" + ClassName(module) + ">";
  const auto it = modules_.find(caller);
  if (it != modules_.end()) path = Join(paths_[it->second.name.scope], path);
  const uint32_t scope = InternScope(path, false);
  paths_.emplace(scope, path);
  const ModuleName name = {root, scope, false, BlockPlan::kNone};
  SetName(module, name);
  return name;
}

uint32_t ModuleNames::AddRoot(PyObject* module) {
  const std::vector<Found> found = Walk(module);
  bool has_parameters = false;
  for (const Found& one : found) {
    ForEach(one.module.get(), AttributeNames().parameters,
            [&](PyObject*, PyObject*) { has_parameters = true; });
  }
  // A part that was called alone before (to see a shape, say) is one no more.
  std::vector<uint32_t> parts;
  for (const auto& [id, root] : roots_) {
    if (std::any_of(found.begin(), found.end(), [&](const Found& one) {
          return one.module.get() == root.object;
        })) {
      parts.push_back(id);
    }
  }
  for (const uint32_t part : parts) DropRoot(part);
  const uint32_t id = next_root_++;
  Root root;
  root.object = module;
  root.prefix = FreePrefix(module, has_parameters);
  roots_.emplace(id, std::move(root));
  NameAll(id, found);
  for (const Found& one : found) {
    const auto it = modules_.find(one.module.get());
    if (it != modules_.end()) RenewScope(it->second.name.scope);
  }
  return id;
}

std::vector<BlockPlan> ModuleNames::PlanBlocks(
    const std::string& prefix, const std::vector<Found>& found) {
  std::vector<ModuleFacts> facts;
  for (const Found& one : found) {
    int64_t bytes = 0;
    ForEach(one.module.get(), AttributeNames().parameters,
            [&](PyObject*, PyObject* parameter) {
              if (IsTensorObject(parameter)) bytes += TensorBytes(parameter);
            });
    facts.push_back({Join(prefix, one.path), one.parent, one.kind, bytes});
  }
  const Config& asked = Recorder::Get().config();
  BlockChoice choice = ChooseBlocks(facts, asked.checkpoint, asked.exclude);
  // Of the model: globs are not about a loss or a second network.
  if (Checkpointing() && prefix.empty()) {
    for (const std::string& line : choice.unmatched) {
      SayTrouble(line, line + (choice.any ? "" : "; this run only observes"));
    }
    if (!choice.any && choice.unmatched.empty()) {
      SayTrouble("checkpoint",
                 "nothing to checkpoint: no ModuleList or Sequential of blocks "
                 "is left; name some by INVACT_CHECKPOINT; this run observes");
    }
  }
  return std::move(choice.plan);
}

void ModuleNames::NameAll(uint32_t id, const std::vector<Found>& found) {
  std::vector<PyObject*> modules;
  const std::string prefix = roots_[id].prefix;
  const std::vector<BlockPlan> plan = PlanBlocks(prefix, found);
  for (size_t i = 0; i < found.size(); ++i) {
    const std::string path = Join(prefix, found[i].path);
    const uint32_t scope = InternScope(path, found[i].block);
    paths_.emplace(scope, path);
    SetName(found[i].module.get(), {id, scope, found[i].block, plan[i]});
    if (Digesting()) NameParameters(found[i].module.get(), path);
    modules.push_back(found[i].module.get());
  }
  std::vector<const void*> storages = StoragesOf(modules);
  const auto it = roots_.find(id);
  if (it == roots_.end()) return;
  SetPersistentStorages(it->second.object, storages);
  it->second.modules = std::move(modules);
  it->second.storages = std::move(storages);
}

void ModuleNames::SetName(PyObject* module, const ModuleName& name) {
  if (!modules_.contains(module)) {
    const Ref address(g_python.PyLong_FromVoidPtr(module));
    const Ref callback(address ? g_python.PyCFunction_NewEx(
                                     &g_on_death, address.get(), nullptr)
                               : nullptr);
    PyObject* weak =
        callback ? g_python.PyWeakref_NewRef(module, callback.get()) : nullptr;
    if (weak == nullptr) {
      g_python.PyErr_Clear();
      return;  // it goes by its caller's name
    }
    modules_[module].weak_reference = weak;
  }
  Known& known = modules_.find(module)->second;
  if (known.name.root == 0 || known.name.root == name.root) {
    known.name = current_[module] = name;
    return;
  }
  for (ModuleName& other : known.others) {
    if (other.root == name.root) {
      other = name;
      return;
    }
  }
  known.others.push_back(name);
}

// Makes the name below `root` the module's current one, if there is one.
bool ModuleNames::UseName(PyObject* module, uint32_t root) {
  const auto it = modules_.find(module);
  if (it == modules_.end() || root == 0) return false;
  Known& known = it->second;
  if (known.name.root == root) return true;
  for (ModuleName& other : known.others) {
    if (other.root != root) continue;
    std::swap(known.name, other);
    current_[module] = known.name;
    return true;
  }
  return false;
}

std::string ModuleNames::FreePrefix(PyObject* module,
                                    bool has_parameters) const {
  const auto free = [&](const std::string& prefix) {
    return std::none_of(roots_.begin(), roots_.end(), [&](const auto& root) {
      return root.second.prefix == prefix;
    });
  };
  if (has_parameters && free("")) return "";
  const std::string name = ClassName(module);
  std::string prefix = "<" + name + ">";
  for (int i = 2; !free(prefix); ++i) {
    prefix = "<" + name + "#" + std::to_string(i) + ">";
  }
  return prefix;
}

void ModuleNames::RefreshStorages() {
  patience_ = std::min(2 * patience_, kLongestPatience);
  std::vector<uint32_t> ids;
  for (const auto& [id, root] : roots_) ids.push_back(id);
  for (const uint32_t id : ids) {
    const auto before = roots_.find(id);
    if (before == roots_.end()) continue;
    std::vector<PyObject*> modules = before->second.modules;
    std::erase_if(modules,
                  [&](PyObject* one) { return !modules_.contains(one); });
    std::vector<const void*> storages = StoragesOf(modules);
    const auto it = roots_.find(id);
    if (it == roots_.end() || it->second.storages == storages) continue;
    SetPersistentStorages(it->second.object, storages);
    it->second.storages = std::move(storages);
    patience_ = 1;
  }
}

void ModuleNames::Forget(PyObject* module) {
  auto node = modules_.extract(module);
  if (node.empty()) return;
  ForgetBlock(module);
  current_.Erase(module);
  Known& known = node.mapped();
  known.others.push_back(known.name);
  for (const ModuleName& name : known.others) {
    const auto root = roots_.find(name.root);
    if (root != roots_.end() && root->second.object == module) {
      DropRoot(name.root);
    }
  }
  g_python.Py_DecRef(known.weak_reference);
}

// Its modules lose the names that they have below it.
void ModuleNames::DropRoot(uint32_t id) {
  const auto root = roots_.find(id);
  SetPersistentStorages(root->second.object, {});
  const std::vector<PyObject*> left = std::move(root->second.modules);
  roots_.erase(root);
  for (PyObject* one : left) {
    const auto it = modules_.find(one);
    if (it == modules_.end()) continue;
    std::erase_if(it->second.others,
                  [&](const ModuleName& other) { return other.root == id; });
    if (it->second.name.root != id) continue;
    it->second.name = {};
    if (!it->second.others.empty()) {
      it->second.name = it->second.others.back();
      it->second.others.pop_back();
    }
    current_[one] = it->second.name;
  }
}

}  // namespace invact
