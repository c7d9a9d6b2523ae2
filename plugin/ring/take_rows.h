// The reading side of a ring of rows with one writer (ring_layout.h).
#ifndef INVACT_PLUGIN_RING_TAKE_ROWS_H_
#define INVACT_PLUGIN_RING_TAKE_ROWS_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace invact {

// Appends up to `max` rows from `*read` on to `out`, each as `checked` gives
// it, and tells the writer. A writer that is further ahead than there are slots
// is garbage or has overwritten: what is there is passed over and counted in
// `*lost`. Returns how many rows were taken.
template <typename Ring, typename Row, size_t kSlots, typename Checked>
size_t TakeRows(Ring* ring, const Row (&rows)[kSlots], uint64_t* read,
                uint64_t* lost, size_t max, std::vector<Row>* out,
                Checked checked) {
  const uint64_t written = ring->written.load(std::memory_order_acquire);
  if (written - *read > kSlots) {
    *lost += std::min<uint64_t>(written - *read, kSlots);
    *read = written;
  }
  const size_t count = std::min<uint64_t>(written - *read, max);
  for (size_t i = 0; i < count; ++i) {
    out->push_back(checked(rows[(*read + i) % kSlots]));
  }
  *read += count;
  ring->read.store(*read, std::memory_order_release);
  return count;
}

}  // namespace invact

#endif  // INVACT_PLUGIN_RING_TAKE_ROWS_H_
