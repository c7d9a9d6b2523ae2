// Bytes by (who, category) and by category, now and as they were at the last
// peak, at the price of a store: a share remembers its value at the peak when
// it is changed for the first time after it, so a new peak is one increment.
//
// `who` is the number of a scope or of a call site, below `most`; all others
// are kNoSite together. Owner: a MemoryAccount. Threads: externally locked.
// Pages of the table come when somebody is first met.
#ifndef INVACT_PLUGIN_EVENTS_SHARES_H_
#define INVACT_PLUGIN_EVENTS_SHARES_H_

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <new>

#include "plugin/events/event.h"

namespace invact {

class Shares {
 public:
  explicit Shares(uint32_t most)
      : most_(most),
        table_(static_cast<Share*>(std::calloc(
            (size_t{most} + 1) * kMemoryCategories, sizeof(Share)))) {
    if (table_ == nullptr) throw std::bad_alloc();
  }

  void Add(uint32_t who, MemoryCategory category, int64_t bytes) {
    const auto column = static_cast<size_t>(category);
    const uint32_t row = who < most_ ? who + 1 : 0;
    rows_ = std::max(rows_, row + 1);
    Change(&total_[column], bytes);
    Change(&table_[row * kMemoryCategories + column], bytes);
  }
  // What is there now is what was there at the peak.
  void Peak() { ++peak_; }

  ByCategory Now() const { return Totals(&Shares::NowOf); }
  ByCategory AtPeak() const { return Totals(&Shares::PeakOf); }

  // f(who, category, bytes) for each that has some.
  template <typename F>
  void ForEach(bool at_peak, F f) const {
    for (uint32_t row = 0; row < rows_; ++row) {
      for (size_t i = 0; i < kMemoryCategories; ++i) {
        const Share& share = table_[row * kMemoryCategories + i];
        const int64_t bytes = at_peak ? PeakOf(share) : NowOf(share);
        if (bytes != 0) {
          f(row == 0 ? kNoSite : row - 1, static_cast<MemoryCategory>(i),
            bytes);
        }
      }
    }
  }

  // f(who, bytes by category, which were met) for each that ever had some.
  template <typename F>
  void ForEachMet(F f) const {
    for (uint32_t row = 0; row < rows_; ++row) {
      ByCategory bytes = {};
      std::array<bool, kMemoryCategories> met = {};
      bool any = false;
      for (size_t i = 0; i < kMemoryCategories; ++i) {
        const Share& share = table_[row * kMemoryCategories + i];
        bytes[i] = share.now;
        met[i] = share.peak != 0;
        any |= met[i];
      }
      if (any) f(row == 0 ? kNoSite : row - 1, bytes, met);
    }
  }

 private:
  struct Share {
    int64_t now;
    int64_t at_peak;  // where `peak` is the newest: else it is `now`
    uint64_t peak;
  };
  struct Free {
    void operator()(void* table) const { std::free(table); }
  };
  int64_t NowOf(const Share& share) const { return share.now; }
  int64_t PeakOf(const Share& share) const {
    return share.peak == peak_ ? share.at_peak : share.now;
  }
  void Change(Share* share, int64_t bytes) {
    if (share->peak != peak_) {
      share->peak = peak_;
      share->at_peak = share->now;
    }
    share->now += bytes;
  }
  ByCategory Totals(int64_t (Shares::*value)(const Share&) const) const {
    ByCategory out;
    for (size_t i = 0; i < out.size(); ++i) out[i] = (this->*value)(total_[i]);
    return out;
  }

  const uint32_t most_;
  uint64_t peak_ = 1;
  uint32_t rows_ = 0;  // met so far; row 0 is kNoSite's
  Share total_[kMemoryCategories] = {};
  std::unique_ptr<Share[], Free> table_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_SHARES_H_
