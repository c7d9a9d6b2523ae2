#include "plugin/rebuild/value_table.h"

#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "plugin/observe/tensor_facts.h"
#include "plugin/pointer_map.h"

namespace invact {

std::atomic<int64_t> g_values{0};

namespace {

struct Table {
  // Values hold the addresses they are found by.
  PointerMap<Value*> by_storage;
  size_t sweep_at = 1024;
};
Table& Values() {
  static auto* table = new Table;
  return *table;
}

void CountValues() {
  g_values.store(static_cast<int64_t>(Values().by_storage.size()),
                 std::memory_order_relaxed);
}

const c10::StorageImpl* StorageOf(const at::Tensor& tensor) {
  return tensor.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
}

void Erase(Value* value, Trash* trash) {
  Values().by_storage.Erase(value->address._unsafe_get_target());
  trash->values.push_back(ValuePtr::reclaim(value));
  CountValues();
}

// Those whose storage is dead and that no saved tensor reaches by the table:
// recipes that need them hold them.
void Sweep(Trash* trash) {
  std::vector<Value*> dead;
  Values().by_storage.ForEach([&](Value* value) {
    if (value->address.use_count() == 0) dead.push_back(value);
  });
  for (Value* value : dead) Erase(value, trash);
  Values().sweep_at = std::max<size_t>(1024, 2 * Values().by_storage.size());
}

// Two tensors over one storage may count their writes apart from each other.
// A counter is known by its address.
bool SameCounter(const c10::VariableVersion& a, const c10::VariableVersion& b) {
  static_assert(sizeof(c10::VariableVersion) == sizeof(void*));
  return std::memcmp(static_cast<const void*>(&a), static_cast<const void*>(&b),
                     sizeof(void*)) == 0;
}

enum class Match { kSame, kOther, kForeign };

Match Matches(const Value& value, const at::Tensor& tensor) {
  const auto& counter = torch::autograd::impl::version_counter(tensor);
  if (!SameCounter(value.counter, counter)) return Match::kForeign;
  return value.Usable() ? Match::kSame : Match::kOther;
}

}  // namespace

void EnterValue(ValuePtr value, Trash* trash) {
  Table& table = Values();
  if (table.by_storage.size() >= table.sweep_at) Sweep(trash);
  Value*& entry = table.by_storage[value->address._unsafe_get_target()];
  if (entry != nullptr) trash->values.push_back(ValuePtr::reclaim(entry));
  entry = value.release();
  CountValues();
}

Value* ValueAt(const c10::StorageImpl* storage) {
  Value** entry = Values().by_storage.Find(storage);
  return entry == nullptr ? nullptr : *entry;
}

void EndValue(Value* value, Trash* trash) {
  value->overwritten = true;
  Erase(value, trash);
}

std::vector<c10::Storage> StoragesOver(const c10::StorageImpl* storage) {
  const auto* begin = static_cast<const char*>(storage->data());
  const char* end = begin + storage->nbytes();
  std::vector<c10::Storage> found;
  Values().by_storage.ForEach([&](const Value* value) {
    const c10::StorageImpl* other = value->address._unsafe_get_target();
    if (other == storage || value->address.use_count() == 0) return;
    const auto* at = static_cast<const char*>(other->data());
    if (at >= end || begin >= at + other->nbytes()) return;
    if (c10::Storage there = value->Take()) found.push_back(std::move(there));
  });
  return found;
}

ValuePtr RootValue(const at::Tensor& tensor, Trash* trash) {
  if (Value** entry = Values().by_storage.Find(StorageOf(tensor))) {
    const Match match = Matches(**entry, tensor);
    if (match == Match::kForeign) return {};
    if (match == Match::kSame) return ValuePtr::reclaim_copy(*entry);
  }
  ValuePtr root = c10::make_intrusive<Value>(tensor);
  root->persistent = !Countable(tensor);
  root->base = true;
  EnterValue(root, trash);
  return root;
}

}  // namespace invact
