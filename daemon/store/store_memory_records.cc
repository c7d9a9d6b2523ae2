// Store: single changes of device memory.
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "daemon/store/memory_summary.h"
#include "daemon/store/pack.h"
#include "daemon/store/store.h"

namespace invact {
namespace {

using Records = std::vector<MemoryRecord>;

// Of one blob: 640 KiB before they are packed.
constexpr size_t kMostOfBlob = kMostMemoryRecords;

// What the daemon puts into them is done: a moment that the batch cuts off ends
// with it, and where records were lost before it stands a gap.
Records ReadRecords(const v1::Batch& batch, int64_t lost) {
  const size_t each = batch.memory_record_bytes();
  const size_t count = batch.memory_records().size() / each;
  Records out(count + (lost > 0));
  size_t at = out.size();
  std::map<int8_t, MemoryRecord*> last;
  for (size_t i = count; i-- > 0;) {
    MemoryRecord& record = out[--at];
    std::memcpy(&record, batch.memory_records().data() + i * each,
                sizeof(record));
    if (last.try_emplace(record.device, &record).second) record.more = 0;
  }
  if (lost > 0) {
    MemoryRecord gap = {};
    gap.time_ns = out[1].time_ns;
    gap.bytes = lost;
    gap.scope = gap.site = kNoMemoryPlace;
    gap.step = out[1].step;
    gap.kind = MemoryKinds::Ours().gap;
    gap.device = kEveryDevice;
    out[0] = gap;
  }
  return out;
}

std::string_view BytesOf(const Records& records) {
  return {reinterpret_cast<const char*>(records.data()),
          records.size() * sizeof(MemoryRecord)};
}

struct StoredBlob {
  int64_t pk = 0, first_seq = 0, seq = 0;
  Records records;
  MemoryLevels levels;  // before them
};

absl::StatusOr<std::optional<StoredBlob>> ReadNewest(Database* db, int64_t run,
                                                     int64_t codebook) {
  Query query = db->Prepare(
      "SELECT pk, first_seq, seq, codebook, levels, records FROM memory_blobs "
      "WHERE run = ? ORDER BY seq DESC LIMIT 1");
  if (!query.Bind(run).Next()) {
    if (!query.status().ok()) return query.status();
    return std::nullopt;
  }
  StoredBlob out;
  out.pk = query.Int();
  out.first_seq = query.Int();
  out.seq = query.Int();
  if (query.Int() != codebook) return std::nullopt;
  absl::StatusOr<MemoryLevels> levels = DecodeLevels(query.Text());
  if (!levels.ok()) return levels.status();
  out.levels = *std::move(levels);
  absl::StatusOr<std::string> bytes =
      Unpack(query.Text(), kMostOfBlob * sizeof(MemoryRecord) + 64);
  if (!bytes.ok()) return bytes.status();
  out.records.resize(bytes->size() / sizeof(MemoryRecord));
  std::memcpy(out.records.data(), bytes->data(),
              out.records.size() * sizeof(MemoryRecord));
  return out;
}

}  // namespace

absl::Status Store::AppendMemoryRecords(int64_t run, const v1::Batch& batch) {
  int64_t next = 0;
  {
    Query query = db_->Prepare("SELECT next FROM memory_next WHERE run = ?");
    if (query.Bind(run).Next()) next = query.Int();
    if (!query.status().ok()) return query.status();
  }
  const auto before = static_cast<int64_t>(batch.memory_before());
  const MemoryKinds kinds = MemoryKinds::Ours();
  Records records = ReadRecords(batch, before - next);
  const auto came = static_cast<int64_t>(batch.memory_records().size() /
                                         batch.memory_record_bytes());
  absl::Status status =
      db_->Prepare(
             "INSERT OR REPLACE INTO memory_next (run, next) VALUES (?, ?)")
          .BindAll(run, std::max(before, next) + came)
          .Run();
  if (!status.ok()) return status;

  auto newest = ReadNewest(db_.get(), run, codebook_);
  if (!newest.ok()) return newest.status();
  MemoryLevels levels;
  if (*newest) {
    levels = (*newest)->levels;
    for (const MemoryRecord& record : (*newest)->records) {
      levels.Apply(record, kinds);
    }
  } else {
    // Expired, or told in other codes: what there was is not known any more.
    levels.gap_seen = next > 0;
  }
  MemoryLevels completing = levels;
  for (MemoryRecord& record : records) completing.Complete(&record, kinds);
  // Joined with those before as long as these are not more: each record is
  // packed anew a few times, and a run of small batches has few blobs.
  int64_t first_seq = static_cast<int64_t>(batch.seq());
  while (newest.ok() && *newest &&
         (*newest)->records.size() <= records.size() &&
         (*newest)->records.size() + records.size() <= kMostOfBlob) {
    StoredBlob& old = **newest;
    old.records.insert(old.records.end(), records.begin(), records.end());
    records = std::move(old.records);
    levels = std::move(old.levels);
    first_seq = old.first_seq;
    status = db_->Prepare("DELETE FROM memory_blobs WHERE pk = ?")
                 .Bind(old.pk)
                 .Run();
    if (!status.ok()) return status;
    newest = ReadNewest(db_.get(), run, codebook_);
  }
  if (!newest.ok()) return newest.status();

  uint32_t first_step = UINT32_MAX, last_step = 0;
  for (const MemoryRecord& record : records) {
    first_step = std::min(first_step, record.step);
    last_step = std::max(last_step, record.step);
  }
  const std::string levels_before = Encode(levels);
  const MemorySummary summary = Summarise(records, kinds, &levels);
  const std::string ranges = Encode(summary.ranges);
  const std::string layers = Encode(summary.layers);
  const std::string packed = Pack(BytesOf(records));
  return db_
      ->Prepare(
          "INSERT INTO memory_blobs (run, first_seq, seq, codebook, "
          "record_bytes, events, first_step, last_step, ranges, layers, "
          "levels, records) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .BindAll(run, first_seq, static_cast<int64_t>(batch.seq()), codebook_,
               static_cast<int64_t>(sizeof(MemoryRecord)),
               static_cast<int64_t>(records.size()), int64_t{first_step},
               int64_t{last_step}, Blob{ranges}, Blob{layers},
               Blob{levels_before}, Blob{packed})
      .Run();
}

}  // namespace invact
