#include "plugin/cupti/live_memory.h"

#include <algorithm>

namespace invact::cupti {

namespace {

const void* Key(uint64_t address) {
  return reinterpret_cast<const void*>(address);
}

// The year 2001 in nanoseconds of CLOCK_REALTIME; ticks of a processor are
// fewer until it has run for nine years.
bool Realtime(uint64_t time_ns) { return time_ns > 1'000'000'000'000'000'000; }

bool Later(uint64_t time_ns, uint64_t than) {
  return Realtime(time_ns) != Realtime(than) || time_ns >= than;
}

bool OnDevice(MemoryKind kind) {
  return kind == MemoryKind::kDevice || kind == MemoryKind::kArray ||
         kind == MemoryKind::kDeviceStatic;
}
bool Managed(MemoryKind kind) {
  return kind == MemoryKind::kManaged || kind == MemoryKind::kManagedStatic;
}

}  // namespace

void LiveMemory::Count(const Entry& entry, int64_t sign) {
  LiveBytes& bytes = bytes_[static_cast<size_t>(entry.device)];
  const int64_t change = sign * entry.bytes;
  if (entry.is_pool) {
    bytes.pools += change;
  } else if (entry.is_async) {
    bytes.in_pools += change;
  } else if (OnDevice(entry.kind)) {
    bytes.device += change;
  } else if (Managed(entry.kind)) {
    bytes.managed += change;
  } else {
    bytes.pinned += change;
  }
}

void LiveMemory::Remember(const void* gone) {
  const void*& place = gone_[next_gone_];
  next_gone_ = (next_gone_ + 1) % kRemembered;
  if (place != nullptr) {
    const Entry* entry = entries_.Find(place);
    if (entry != nullptr && !entry->alive) entries_.Erase(place);
  }
  place = gone;
}

// A pool's size stands in every record of what is cut out of it.
bool LiveMemory::EnterPool(const Activity& activity) {
  if (activity.pool_address == 0) return false;
  Entry& pool = pools_[Key(activity.pool_address)];
  if (pool.time_ns != 0 && !Later(activity.time_ns, pool.time_ns)) return false;
  if (pool.alive) Count(pool, -1);
  pool.device = static_cast<int8_t>(activity.device);
  pool.bytes = activity.pool_bytes;
  pool.time_ns = activity.time_ns;
  pool.is_pool = true;
  pool.alive = !activity.pool || activity.alive;
  if (pool.alive) Count(pool, 1);
  return true;
}

bool LiveMemory::Enter(const Activity& activity, uint16_t library) {
  if (!InRange(activity.device)) return false;
  bool changed = EnterPool(activity);
  if (!activity.pool && activity.address != 0 &&
      activity.kind != MemoryKind::kPageable) {
    const void* key = Key(activity.address);
    Entry* entry = entries_.Find(key);
    if (entry == nullptr && entries_.size() >= most_) {
      Entry lone;
      lone.device = static_cast<int8_t>(activity.device);
      lone.kind = activity.kind;
      lone.is_async = activity.is_async;
      lone.bytes = activity.bytes;
      // Releases of what has an entry find it: these are of what has none.
      Count(lone, activity.alive ? 1 : -1);
      beyond_ += activity.alive ? 1 : -1;
      ++generation_;
      return true;
    }
    if (entry == nullptr) entry = &entries_[key];
    if (entry->time_ns == 0 || Later(activity.time_ns, entry->time_ns)) {
      if (entry->alive) Count(*entry, -1);
      entry->bytes = activity.bytes;
      entry->time_ns = activity.time_ns;
      entry->device = static_cast<int8_t>(activity.device);
      entry->kind = activity.kind;
      entry->is_async = activity.is_async;
      entry->library = library;
      entry->alive = activity.alive;
      if (entry->alive) {
        Count(*entry, 1);
      } else {
        Remember(key);
      }
      changed = true;
    }
  }
  if (changed) ++generation_;
  return changed;
}

uint16_t LiveMemory::Library(const char* path) {
  if (path == nullptr || *path == '\0') return kNoLibrary;
  std::string_view name(path);
  name.remove_prefix(name.rfind('/') + 1);
  const auto found = std::find(libraries_.begin(), libraries_.end(), name);
  if (found == libraries_.end()) {
    if (libraries_.size() >= kMostLibraries) return kNoLibrary;
    libraries_.emplace_back(name);
    return static_cast<uint16_t>(libraries_.size());
  }
  return static_cast<uint16_t>(found - libraries_.begin() + 1);
}

std::vector<LiveAllocation> LiveMemory::DeviceAllocations(int device) const {
  std::vector<LiveAllocation> out;
  entries_.ForEachPair([&](const void* key, const Entry& entry) {
    if (entry.alive && entry.device == device && !entry.is_async &&
        OnDevice(entry.kind)) {
      out.push_back(
          {reinterpret_cast<uintptr_t>(key), entry.bytes, entry.library});
    }
  });
  return out;
}

}  // namespace invact::cupti
