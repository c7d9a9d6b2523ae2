// Reader: what digests are of, and the digests.
#include <algorithm>

#include "plugin/ring/reader.h"

namespace invact {

namespace {

constexpr size_t kNameLimit = 4000;
constexpr size_t kTypeLimit = 250;
constexpr int64_t kMostStep = int64_t{1} << 48;

}  // namespace

uint32_t Reader::parameter_count() const {
  return std::min(
      shared_->control.parameter_count.load(std::memory_order_acquire),
      kMaxLeaves);
}

ParameterView Reader::Parameter(uint32_t number) const {
  const ParameterEntry& entry = shared_->parameters[number];
  return {Text(entry.name, kNameLimit), Text(entry.type, kTypeLimit)};
}

// A hole is seen by who counts the records of a step.
size_t Reader::TakeDigests(size_t max, std::vector<DigestRecord>* out) {
  DigestRing& ring = shared_->digests;
  const uint64_t written = ring.written.load(std::memory_order_acquire);
  if (written - digest_read_ > kDigestSlots) digest_read_ = written;
  const size_t count = std::min<uint64_t>(written - digest_read_, max);
  for (size_t i = 0; i < count; ++i) {
    DigestRecord record = ring.record[(digest_read_ + i) % kDigestSlots];
    record.step = std::clamp<int64_t>(record.step, 0, kMostStep);
    out->push_back(record);
  }
  digest_read_ += count;
  ring.read.store(digest_read_, std::memory_order_release);
  return count;
}

}  // namespace invact
