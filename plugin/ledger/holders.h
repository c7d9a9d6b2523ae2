// Which call sites claim one storage, in the order of their first save. Most
// storages have one to four, which need no memory of their own.
//
// Threads: externally locked (by the Recorder). Owner: a StorageEntry.
#ifndef INVACT_PLUGIN_LEDGER_HOLDERS_H_
#define INVACT_PLUGIN_LEDGER_HOLDERS_H_

#include <algorithm>
#include <cstdint>
#include <memory>

namespace invact {

// One call site's claim on a storage. `asked`: saves that PyTorch would have
// made (baseline). `held`: saves that really keep the storage.
struct Holder {
  uint32_t site;
  uint32_t asked;
  uint32_t held;
};

class Holders {
 public:
  bool empty() const { return size_ == 0; }
  Holder* begin() { return more_ == nullptr ? few_ : more_.get(); }
  Holder* end() { return begin() + size_; }

  // nullptr when the site has no claim.
  Holder* Of(uint32_t site) {
    Holder* const last = end();
    Holder* const found = std::find_if(
        begin(), last, [&](const Holder& one) { return one.site == site; });
    return found == last ? nullptr : found;
  }

  // A new one, without claims, behind the others.
  Holder* Add(uint32_t site) {
    if (size_ == capacity_) Grow();
    Holder* const added = end();
    *added = {site, 0, 0};
    ++size_;
    return added;
  }

  void Remove(Holder* holder) {
    std::copy(holder + 1, end(), holder);
    --size_;
  }

 private:
  static constexpr uint16_t kFew = 4;

  __attribute__((noinline, cold)) void Grow() {
    auto more = std::make_unique<Holder[]>(2 * capacity_);
    std::copy(begin(), end(), more.get());
    more_ = std::move(more);
    capacity_ = static_cast<uint16_t>(2 * capacity_);
  }

  std::unique_ptr<Holder[]> more_;       // all of them, once they were more
  uint16_t size_ = 0, capacity_ = kFew;  // there are no more than kMaxSites
  Holder few_[kFew];
};

}  // namespace invact

#endif  // INVACT_PLUGIN_LEDGER_HOLDERS_H_
