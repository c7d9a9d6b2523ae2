// A flat hash map from addresses to small plain values, for look-ups on the
// training thread: no division, no node to chase, no allocation but to grow.
//
// Threads: externally locked. Owner: whoever holds it. Null is no key.
#ifndef INVACT_PLUGIN_POINTER_MAP_H_
#define INVACT_PLUGIN_POINTER_MAP_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace invact {

template <typename Value>
class PointerMap {
 public:
  // nullptr when the key is absent. Valid until the next change.
  Value* Find(const void* key) {
    return const_cast<Value*>(std::as_const(*this).Find(key));
  }
  const Value* Find(const void* key) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[Place(key)];
    return slot.key == nullptr ? nullptr : &slot.value;
  }

  // The key's value, a new one (Value{}) where there was none.
  Value& operator[](const void* key) {
    if (2 * (size_ + 1) > slots_.size()) Grow();
    Slot& slot = slots_[Place(key)];
    if (slot.key == nullptr) {
      slot = {key, Value{}};
      ++size_;
    }
    return slot.value;
  }

  void Erase(const void* key) {
    if (slots_.empty()) return;
    size_t hole = Place(key);
    if (slots_[hole].key == nullptr) return;
    slots_[hole] = {};
    --size_;
    // Close the gap: every later entry of the run moves to where it is found.
    const size_t mask = slots_.size() - 1;
    for (size_t next = (hole + 1) & mask; slots_[next].key != nullptr;
         next = (next + 1) & mask) {
      const Slot moved = std::exchange(slots_[next], Slot{});
      slots_[Place(moved.key)] = moved;
    }
  }

  size_t size() const { return size_; }

  // f(value) for each; f must not change the map.
  template <typename F>
  void ForEach(F f) const {
    for (const Slot& slot : slots_) {
      if (slot.key != nullptr) f(slot.value);
    }
  }
  // f(key, value), likewise.
  template <typename F>
  void ForEachPair(F f) const {
    for (const Slot& slot : slots_) {
      if (slot.key != nullptr) f(slot.key, slot.value);
    }
  }

 private:
  struct Slot {
    const void* key = nullptr;
    Value value{};
  };

  // Where the key is, or the empty slot where it would go. Heap addresses are
  // multiples of 16; the multiplier (2^64 / golden ratio) spreads the rest.
  size_t Place(const void* key) const {
    const size_t mask = slots_.size() - 1;
    size_t place =
        ((reinterpret_cast<uintptr_t>(key) >> 4) * 0x9E3779B97F4A7C15ull >>
         32) &
        mask;
    while (slots_[place].key != nullptr && slots_[place].key != key) {
      place = (place + 1) & mask;
    }
    return place;
  }

  void Grow() {
    std::vector<Slot> old(slots_.empty() ? 64 : 2 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.key != nullptr) slots_[Place(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t size_ = 0;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_POINTER_MAP_H_
