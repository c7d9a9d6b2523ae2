#include "plugin/rebuild/moved_base.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "plugin/rebuild/below_autograd.h"
#include "plugin/rebuild/dropped.h"
#include "plugin/rebuild/rerun.h"
#include "plugin/rebuild/value_table.h"

namespace invact {

namespace {

at::Tensor TensorOver(const c10::Storage& storage) {
  const BelowAutograd below;
  const auto options = at::device(storage.device()).dtype(at::kByte);
  return at::empty({0}, options).set_(storage);
}

}  // namespace

bool HoldCopyOf(const ValuePtr& base) {
  if (!base.defined() || CurrentStream(base->device) != base->stream) {
    return false;
  }
  std::vector<std::shared_ptr<Dropped>> dependents;  // let go of unlocked
  {
    std::lock_guard lock(RebuildLock());
    if (!base->persistent || base->twin.defined() || base->plan != nullptr) {
      return false;
    }
    dependents = DependentsOf(base.get());
    std::vector<const Value*> rebuilt;
    int64_t bytes = 0;
    for (const auto& dropped : dependents) {
      const Value* value = dropped->content();
      if (std::find(rebuilt.begin(), rebuilt.end(), value) == rebuilt.end()) {
        rebuilt.push_back(value);
        bytes += value->bytes;
      }
    }
    if (base->bytes >= bytes) return false;
  }
  const at::Tensor copy = TensorOver(ObtainBeforeWrite(base));
  std::vector<std::shared_ptr<Dropped>> all;
  Trash trash;
  std::lock_guard lock(RebuildLock());
  const ValuePtr moved = RootValue(copy, &trash);
  if (!moved.defined()) return false;
  trash.values.push_back(moved);
  all = DependentsOf(base.get());
  for (const auto& dropped : all) {
    Plan& plan = *dropped->content()->plan;
    if (Plan::Leaf* leaf = plan.LeafOf(base.get())) {
      trash.storages.push_back(std::move(leaf->storage));
      *leaf = {moved, copy.storage(), {}};
      ++moved->users;
      --base->users;
      plan.via.push_back(base);
      ++base->via;
      dropped->CountLeaves();
    }
  }
  base->twin = moved;
  return true;
}

}  // namespace invact
