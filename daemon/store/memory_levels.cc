#include "daemon/store/memory_levels.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "daemon/store/pack.h"
#include "proto/codes.h"

namespace invact {
namespace {

constexpr int64_t kFormat = 1;
constexpr size_t kMostBytes = 64 << 20;
constexpr int64_t kMostValue = int64_t{1} << 60;
constexpr size_t kHead = 2;                                // format, gap_seen
constexpr size_t kDeviceHead = 5 + kMostMemoryCategories;  // fields before keys

}  // namespace

MemoryKinds MemoryKinds::Ours() {
  return {static_cast<uint8_t>(EventKind::kLevel),
          static_cast<uint8_t>(EventKind::kLevels),
          static_cast<uint8_t>(EventKind::kGap)};
}

int64_t Plus(int64_t a, int64_t b) {
  int64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) sum = a < 0 ? INT64_MIN : INT64_MAX;
  return std::clamp(sum, -kMostValue, kMostValue);
}

int64_t ChangeOf(const MemoryRecord& record, const MemoryKinds& kinds) {
  if (record.kind == kinds.level) return static_cast<int64_t>(record.address);
  return IsEvent(record, kinds) ? record.bytes : 0;
}

DeviceLevels& MemoryLevels::Of(int8_t device) {
  const auto [place, fresh] = devices.try_emplace(device);
  if (fresh) place->second.uncertain = gap_seen;
  return place->second;
}

void MemoryLevels::LoseSome(int8_t device) {
  if (device != kEveryDevice) {
    Of(device).uncertain = true;
    return;
  }
  gap_seen = true;
  for (auto& [number, levels] : devices) levels.uncertain = true;
}

void MemoryLevels::Complete(MemoryRecord* record, const MemoryKinds& kinds) {
  if (record->kind == kinds.level) {
    const DeviceLevels& levels = Of(record->device);
    const int64_t before =
        record->category == kReservedBytes ? levels.reserved
        : record->site != kNoMemoryPlace
            ? levels.Share(SiteKey(record->site))
            : levels.Share(LayerKey(record->scope, record->category));
    record->address = static_cast<uint64_t>(record->bytes - before);
  }
  Apply(*record, kinds);
}

void MemoryLevels::Apply(const MemoryRecord& record, const MemoryKinds& kinds) {
  if (record.kind == kinds.gap) return LoseSome(record.device);
  Of(record.device).Apply(record, kinds, [](ShareKey, int64_t, int64_t) {});
}

std::string Encode(const MemoryLevels& levels) {
  std::vector<int64_t> out = {kFormat, levels.gap_seen};
  for (const auto& [number, device] : levels.devices) {
    out.insert(out.end(),
               {number, device.uncertain, device.live, device.reserved});
    out.insert(out.end(), device.category.begin(), device.category.end());
    const size_t count_at = out.size();
    out.push_back(0);
    std::vector<std::pair<ShareKey, int64_t>> shares;
    for (const auto& share : device.shares) {
      if (share.second != 0) shares.push_back(share);
    }
    std::sort(shares.begin(), shares.end());
    for (const auto& [key, bytes] : shares) {
      out.insert(out.end(), {static_cast<int64_t>(key), bytes});
    }
    out[count_at] = static_cast<int64_t>(shares.size());
  }
  return Pack({reinterpret_cast<const char*>(out.data()),
               out.size() * sizeof(int64_t)});
}

absl::StatusOr<MemoryLevels> DecodeLevels(std::string_view packed_untrusted) {
  absl::StatusOr<std::string> bytes = Unpack(packed_untrusted, kMostBytes);
  if (!bytes.ok()) return bytes.status();
  const auto damaged = [] {
    return absl::DataLossError("levels of device memory can't be read");
  };
  std::vector<int64_t> in(bytes->size() / sizeof(int64_t));
  if (bytes->size() % sizeof(int64_t) != 0 || in.size() < kHead) {
    return damaged();
  }
  std::memcpy(in.data(), bytes->data(), bytes->size());
  if (in[0] != kFormat) return damaged();
  MemoryLevels out;
  out.gap_seen = in[1] != 0;
  for (size_t at = kHead; at < in.size();) {
    if (in.size() - at < kDeviceHead) return damaged();
    DeviceLevels& device = out.Of(static_cast<int8_t>(in[at]));
    device.uncertain = in[at + 1] != 0;
    device.live = in[at + 2];
    device.reserved = in[at + 3];
    std::copy_n(&in[at + 4], kMostMemoryCategories, device.category.begin());
    const auto shares = static_cast<uint64_t>(in[at + kDeviceHead - 1]);
    at += kDeviceHead;
    if (shares > (in.size() - at) / 2) return damaged();
    device.shares.reserve(shares);
    for (uint64_t i = 0; i < shares; ++i, at += 2) {
      device.shares[static_cast<ShareKey>(in[at])] = in[at + 1];
    }
  }
  return out;
}

}  // namespace invact
