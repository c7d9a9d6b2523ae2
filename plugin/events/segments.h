// Torch's reserved memory by address: what it mapped, less what it unmapped,
// which may be part of one mapping or reach over several (expandable segments).
//
// Owner: a MemoryAccount. Threads: externally locked. May throw std::bad_alloc.
#ifndef INVACT_PLUGIN_EVENTS_SEGMENTS_H_
#define INVACT_PLUGIN_EVENTS_SEGMENTS_H_

#include <cstdint>
#include <iterator>
#include <map>
#include <vector>

namespace invact {

class Segments {
 public:
  struct Range {
    uint64_t address;
    int64_t bytes;
  };

  void Add(uint64_t address, int64_t bytes) {
    if (address == 0 || bytes <= 0) return;
    bytes_[address] = bytes;
    ++generation_;
  }

  void Remove(uint64_t address, int64_t bytes) {
    const uint64_t end = address + static_cast<uint64_t>(bytes);
    auto it = bytes_.lower_bound(address);
    if (it != bytes_.begin()) --it;
    while (it != bytes_.end() && it->first < end) {
      const uint64_t begin = it->first;
      const uint64_t stop = begin + static_cast<uint64_t>(it->second);
      if (stop <= address) {
        ++it;
        continue;
      }
      it = bytes_.erase(it);
      if (begin < address) {
        bytes_[begin] = static_cast<int64_t>(address - begin);
      }
      if (stop > end) {
        bytes_[end] = static_cast<int64_t>(stop - end);
        break;
      }
    }
    ++generation_;
  }

  void Clear() {
    bytes_.clear();
    ++generation_;
  }

  // Changes whenever anything else does.
  uint64_t generation() const { return generation_; }

  // By address.
  std::vector<Range> Ranges() const {
    std::vector<Range> out;
    out.reserve(bytes_.size());
    for (const auto& [address, bytes] : bytes_) out.push_back({address, bytes});
    return out;
  }

 private:
  std::map<uint64_t, int64_t> bytes_;
  uint64_t generation_ = 0;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_SEGMENTS_H_
