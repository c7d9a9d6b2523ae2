#include "daemon/store/memory_summary.h"

#include <cstring>
#include <map>
#include <tuple>
#include <unordered_map>

#include "daemon/store/pack.h"

namespace invact {
namespace {

constexpr uint64_t kFormat = 1;
constexpr size_t kMostBytes = 64 << 20;

class DeviceSummary {
 public:
  // The device has this record, and `levels` already count it.
  void Add(const MemoryRecord& record, const MemoryKinds& kinds,
           const DeviceLevels& levels) {
    if (IsEvent(record, kinds)) ++ranges_.events;
    if (record.more != 0) return;
    const int64_t step = record.step;
    const auto time = static_cast<int64_t>(record.time_ns);
    if (!begun_) {
      ranges_.device = record.device;
      ranges_.first_ns = time;
      ranges_.first_step = ranges_.last_step = step;
      ranges_.live = Range::Of(levels.live, step);
      ranges_.reserved = Range::Of(levels.reserved, step);
      for (size_t i = 0; i < kMostMemoryCategories; ++i) {
        ranges_.category[i] = Range::Of(levels.category[i], step);
      }
    } else {
      ranges_.live.Add(levels.live, step);
      ranges_.reserved.Add(levels.reserved, step);
      // The others stay as they are: their newest value is in already.
      for (const uint8_t category : touched_) {
        ranges_.category[category].Add(levels.category[category], step);
      }
    }
    touched_.clear();
    if (levels.uncertain) ranges_.gap |= kGapHere;
    ranges_.last_ns = std::max(ranges_.last_ns, time);
    ranges_.first_step = std::min(ranges_.first_step, step);
    ranges_.last_step = std::max(ranges_.last_step, step);
    for (const auto& [key, value] : changed_) {
      const auto [place, fresh] =
          layers_.try_emplace(key, Range::Of(value.after, step));
      if (fresh && begun_) {
        place->second = Range::Of(value.before, ranges_.first_step);
      }
      if (!fresh || begun_) place->second.Add(value.after, step);
    }
    changed_.clear();
    begun_ = true;
  }
  // Before Add of the record, or of the last record of its moment.
  void Touch(uint8_t category) {
    if (category < kMostMemoryCategories) touched_.push_back(category);
  }
  void Change(ShareKey key, int64_t before, int64_t after) {
    for (auto& [known, value] : changed_) {
      if (known == key) {
        value.after = after;
        return;
      }
    }
    changed_.push_back({key, {before, after}});
  }
  void Lose(int64_t records) {
    ranges_.gap |= kGapHere;
    ranges_.lost = Plus(ranges_.lost, records);
  }

  bool begun() const { return begun_; }
  const DeviceRanges& ranges() const { return ranges_; }
  const std::unordered_map<ShareKey, Range>& layers() const { return layers_; }

 private:
  struct Values {
    int64_t before, after;
  };
  bool begun_ = false;
  DeviceRanges ranges_ = {};
  std::unordered_map<ShareKey, Range> layers_;
  // Of the moment under way.
  std::vector<uint8_t> touched_;
  std::vector<std::pair<ShareKey, Values>> changed_;
};

template <typename T>
std::string Bytes(const std::vector<T>& items) {
  std::string out(reinterpret_cast<const char*>(&kFormat), sizeof(kFormat));
  out.append(reinterpret_cast<const char*>(items.data()),
             items.size() * sizeof(T));
  return out;
}

template <typename T>
absl::StatusOr<std::vector<T>> Items(std::string_view bytes_untrusted) {
  uint64_t format = 0;
  const std::string_view bytes = bytes_untrusted;
  if (bytes.size() >= sizeof(format)) {
    std::memcpy(&format, bytes.data(), sizeof(format));
  }
  if (format != kFormat || (bytes.size() - sizeof(format)) % sizeof(T) != 0) {
    return absl::DataLossError("a summary of device memory can't be read");
  }
  std::vector<T> out((bytes.size() - sizeof(format)) / sizeof(T));
  std::memcpy(static_cast<void*>(out.data()), bytes.data() + sizeof(format),
              out.size() * sizeof(T));
  return out;
}

}  // namespace

MemorySummary Summarise(const std::vector<MemoryRecord>& records,
                        const MemoryKinds& kinds, MemoryLevels* levels) {
  std::map<int8_t, DeviceSummary> devices;
  for (const MemoryRecord& record : records) {
    if (record.kind == kinds.gap) {
      levels->LoseSome(record.device);
      if (record.device != kEveryDevice) {
        devices[record.device].Lose(record.bytes);
        continue;
      }
      for (const auto& [number, device] : levels->devices) {
        devices[number].Lose(record.bytes);
      }
      continue;
    }
    DeviceLevels& of = levels->Of(record.device);
    DeviceSummary& device = devices[record.device];
    of.Apply(record, kinds, [&](ShareKey key, int64_t before, int64_t after) {
      device.Change(key, before, after);
    });
    device.Touch(record.category);
    device.Add(record, kinds, of);
  }
  MemorySummary out;
  for (const auto& [number, device] : devices) {
    if (!device.begun() && device.ranges().gap == 0) continue;
    out.ranges.push_back(device.ranges());
    out.ranges.back().device = number;
    if (levels->Of(number).uncertain) out.ranges.back().gap |= kGapAtEnd;
    if (!device.begun()) out.ranges.back().gap |= kOnlyGap;
    const size_t first = out.layers.size();
    for (const auto& [key, range] : device.layers()) {
      out.layers.push_back({number, key, range});
    }
    std::sort(
        out.layers.begin() + static_cast<ptrdiff_t>(first), out.layers.end(),
        [](const LayerRange& a, const LayerRange& b) { return a.key < b.key; });
  }
  return out;
}

std::string Encode(const std::vector<DeviceRanges>& ranges) {
  return Bytes(ranges);
}
std::string Encode(const std::vector<LayerRange>& layers) {
  return Pack(Bytes(layers));
}

absl::StatusOr<std::vector<DeviceRanges>> DecodeRanges(
    std::string_view bytes_untrusted) {
  return Items<DeviceRanges>(bytes_untrusted);
}
absl::StatusOr<std::vector<LayerRange>> DecodeLayers(
    std::string_view packed_untrusted) {
  absl::StatusOr<std::string> bytes = Unpack(packed_untrusted, kMostBytes);
  if (!bytes.ok()) return bytes.status();
  return Items<LayerRange>(*bytes);
}

}  // namespace invact
