// ReadSession: single changes of device memory, made small.
#include <algorithm>
#include <cstring>
#include <map>

#include "absl/strings/str_cat.h"
#include "daemon/store/curve_pieces.h"
#include "daemon/store/memory_summary.h"
#include "daemon/store/pack.h"
#include "daemon/store/reader.h"
#include "proto/codes.h"

namespace invact {
namespace {

constexpr size_t kMostBlobBytes =
    kMostMemoryRecords * sizeof(MemoryRecord) + 64;
constexpr uint8_t kNoCategory = 0xfe;

// What a curve is of, in the numbers of one codebook.
struct Subject {
  enum class Of { kAll, kReserved, kCategory, kLayer, kSite } of = Of::kAll;
  uint8_t category = kAllCategories;
  std::vector<uint32_t> places;  // of a layer or site: all of that name
  MemoryKinds kinds;

  bool Has(uint32_t place) const {
    return std::find(places.begin(), places.end(), place) != places.end();
  }
  bool Matches(const MemoryRecord& record) const {
    if (of == Of::kReserved) return record.category == kReservedBytes;
    if (record.category == kReservedBytes) return false;
    if (of == Of::kSite) {
      return record.site != kNoMemoryPlace && Has(record.site);
    }
    if (OfSiteAlone(record, kinds)) return false;
    if (category != kAllCategories && record.category != category) return false;
    return of != Of::kLayer || Has(record.scope);
  }
  ShareKey Key(uint32_t place) const {
    return of == Of::kSite ? SiteKey(place) : LayerKey(place, category);
  }
  int64_t In(const DeviceLevels& levels) const {
    switch (of) {
      case Of::kAll:
        return levels.live;
      case Of::kReserved:
        return levels.reserved;
      case Of::kCategory:
        return category < kMostMemoryCategories ? levels.category[category] : 0;
      default: {
        int64_t sum = 0;
        for (const uint32_t place : places) {
          sum = Plus(sum, levels.Share(Key(place)));
        }
        return sum;
      }
    }
  }
  // Of a blob's summary; `before`: the value before the blob.
  Range In(const DeviceRanges& ranges, const std::vector<LayerRange>& layers,
           int64_t before) const {
    switch (of) {
      case Of::kAll:
        return ranges.live;
      case Of::kReserved:
        return ranges.reserved;
      case Of::kCategory:
        if (category < kMostMemoryCategories) return ranges.category[category];
        break;
      default: {
        const std::pair key(int64_t{ranges.device}, Key(places[0]));
        const auto found = std::lower_bound(
            layers.begin(), layers.end(), key,
            [](const LayerRange& layer, const auto& wanted) {
              return std::pair(layer.device, layer.key) < wanted;
            });
        if (found != layers.end() && found->device == key.first &&
            found->key == key.second) {
          return found->range;
        }
      }
    }
    return Range::Of(before, ranges.first_step);
  }
  // Ranges of several places can't be added.
  bool InSummaries() const { return places.size() <= 1; }
  bool OfLayers() const { return of == Of::kLayer || of == Of::kSite; }
};

struct BlobRow {
  int64_t pk, codebook, records, first_step, last_step;
};

// The curve of one device as it comes.
struct Tracked {
  explicit Tracked(int64_t buckets) : pieces(buckets) {}
  int64_t value = 0;
  bool uncertain = false;
  int64_t events = 0;  // of the moment under way
  CurvePieces pieces;
};

class Curves {
 public:
  explicit Curves(const ChangeCurveFilter& filter) : filter_(filter) {}

  void Begin(const Subject& subject, const MemoryLevels& levels) {
    subject_ = subject;
    gap_seen_ |= levels.gap_seen;
    for (const auto& [number, device] : levels.devices) {
      if (!Wanted(number)) continue;
      Of(number).value = subject.In(device);
      Of(number).uncertain = device.uncertain;
    }
  }
  void AddRecords(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size(); at += sizeof(MemoryRecord)) {
      MemoryRecord record;
      std::memcpy(&record, bytes.data() + at, sizeof(record));
      Add(record);
    }
  }
  void Add(const DeviceRanges& ranges, const std::vector<LayerRange>& layers) {
    if (ranges.gap != 0) gap_seen_ = true;
    if (!Wanted(ranges.device)) return;
    Tracked& device = Of(ranges.device);
    device.uncertain = (ranges.gap & kGapAtEnd) != 0;
    if ((ranges.gap & kOnlyGap) != 0) return device.pieces.Lose(ranges.lost);
    const Range range = subject_.In(ranges, layers, device.value);
    device.value = range.last;
    device.pieces.Add({range, ranges.first_step, ranges.last_step,
                       ranges.first_ns, ranges.last_ns, ranges.events,
                       ranges.lost, ranges.gap != 0});
  }
  std::vector<v1::MemoryCurve> Finish() {
    std::vector<v1::MemoryCurve> out;
    for (auto& [number, device] : devices_) {
      if (device.pieces.empty()) continue;
      v1::MemoryCurve& curve = out.emplace_back();
      curve.set_device(number);
      device.pieces.Fill(&curve);
    }
    return out;
  }

 private:
  bool Wanted(int64_t device) const {
    return !filter_.device || *filter_.device == device;
  }
  Tracked& Of(int32_t device) {
    const auto [place, fresh] = devices_.try_emplace(device, filter_.buckets);
    if (fresh) place->second.uncertain = gap_seen_;
    return place->second;
  }
  void Add(const MemoryRecord& record) {
    const bool inside =
        record.step >= filter_.first_step && record.step <= filter_.last_step;
    if (record.kind == subject_.kinds.gap) return Lose(record, inside);
    if (!Wanted(record.device)) return;
    if (newest_ == nullptr || newest_number_ != record.device) {
      newest_number_ = record.device;
      newest_ = &Of(record.device);
    }
    Tracked& device = *newest_;
    if (record.kind == subject_.kinds.levels) device.uncertain = false;
    if (subject_.Matches(record)) {
      device.value = Plus(device.value, ChangeOf(record, subject_.kinds));
    }
    device.events += IsEvent(record, subject_.kinds);
    if (record.more != 0) return;
    if (inside) {
      device.pieces.Add(CurvePiece::At(device.value, record.step,
                                       static_cast<int64_t>(record.time_ns),
                                       device.events, device.uncertain));
    }
    device.events = 0;
  }
  void Lose(const MemoryRecord& record, bool inside) {
    if (record.device == kEveryDevice) gap_seen_ = true;
    for (auto& [number, device] : devices_) {
      if (record.device != kEveryDevice && record.device != number) continue;
      device.uncertain = true;
      if (inside) device.pieces.Lose(record.bytes);
    }
  }

  const ChangeCurveFilter& filter_;
  Subject subject_;
  bool gap_seen_ = false;
  std::map<int32_t, Tracked> devices_;
  // Nodes of a map stay where they are.
  Tracked* newest_ = nullptr;
  int32_t newest_number_ = 0;
};

absl::StatusOr<std::string> ReadBlob(Database* db, const char* sql,
                                     int64_t pk) {
  Query query = db->Prepare(sql);
  if (query.Bind(pk).Next()) return query.Text();
  if (!query.status().ok()) return query.status();
  return absl::DataLossError("a blob of device memory is gone");
}

// All of that name: a job may have several models.
absl::Status FindPlaces(Database* db, int64_t run,
                        const ChangeCurveFilter& filter, Subject* out) {
  if (filter.no_layer) out->places = {kNoMemoryPlace};
  if (!filter.layer) return absl::OkStatus();
  Query query =
      filter.ordinal
          ? db->Prepare(
                "SELECT s.id FROM sites AS s JOIN scopes AS c ON c.run = s.run "
                "AND c.id = s.scope WHERE s.run = ? AND c.name = ? "
                "AND s.pack_ordinal = ? ORDER BY s.id")
          : db->Prepare(
                "SELECT id FROM scopes WHERE run = ? AND name = ? ORDER BY id");
  query.BindAll(run, *filter.layer);
  if (filter.ordinal) query.Bind(*filter.ordinal);
  while (query.Next()) {
    out->places.push_back(static_cast<uint32_t>(query.Int()));
  }
  if (!query.status().ok()) return query.status();
  if (!out->places.empty()) return absl::OkStatus();
  return absl::NotFoundError(
      filter.ordinal ? absl::StrCat("layer ", *filter.layer,
                                    " has no call site ", *filter.ordinal)
                     : absl::StrCat("the run has no layer ", *filter.layer));
}

absl::StatusOr<Subject> FindSubject(Database* db, int64_t run,
                                    const ChangeCurveFilter& filter) {
  Subject out;
  out.of = filter.ordinal                    ? Subject::Of::kSite
           : filter.layer || filter.no_layer ? Subject::Of::kLayer
           : filter.category.empty()         ? Subject::Of::kAll
           : filter.category == "reserved"   ? Subject::Of::kReserved
                                             : Subject::Of::kCategory;
  const auto& names = codes::kMemoryCategoryNames;
  const bool known = std::find(std::begin(names), std::end(names),
                               filter.category) != std::end(names);
  if (!filter.category.empty() && !known && out.of != Subject::Of::kReserved) {
    return absl::InvalidArgumentError(
        absl::StrCat("no category of memory is called ", filter.category,
                     filter.category == "reserved" ? " in a layer" : ""));
  }
  if (filter.layer && filter.no_layer) {
    return absl::InvalidArgumentError("a layer and no layer contradict");
  }
  if (filter.ordinal && (!filter.category.empty() || !filter.layer)) {
    return absl::InvalidArgumentError(
        "a call site goes with its layer and without a category");
  }
  absl::Status status = FindPlaces(db, run, filter, &out);
  if (!status.ok()) return status;
  return out;
}

// Puts a codebook's numbers into it.
absl::Status Translate(Database* db, int64_t codebook,
                       const std::string& category, Subject* out) {
  if (!category.empty()) out->category = kNoCategory;
  Query query = db->Prepare(
      "SELECT field, number, name FROM codebooks WHERE codebook = ?");
  query.Bind(codebook);
  while (query.Next()) {
    const std::string field = query.Text();
    const auto number = static_cast<uint8_t>(query.Int());
    const std::string name = query.Text();
    if (field == "memory_category" && name == category) out->category = number;
    if (field != "kind") continue;
    if (name == "level") out->kinds.level = number;
    if (name == "levels") out->kinds.levels = number;
    if (name == "gap") out->kinds.gap = number;
  }
  return query.status();
}

// From the first that has a step of the filter to the last: what lies between
// changes what is alive, whatever its steps are.
absl::StatusOr<std::vector<BlobRow>> FindBlobs(
    Database* db, int64_t run, const ChangeCurveFilter& filter) {
  std::vector<BlobRow> rows;
  size_t count = 0;
  Query query = db->Prepare(
      "SELECT pk, codebook, events, first_step, last_step FROM memory_blobs "
      "WHERE run = ? ORDER BY seq");
  query.Bind(run);
  while (query.Next()) {
    BlobRow row;
    for (int64_t* field : {&row.pk, &row.codebook, &row.records,
                           &row.first_step, &row.last_step}) {
      *field = query.Int();
    }
    const bool inside = row.last_step >= filter.first_step &&
                        row.first_step <= filter.last_step;
    if (!inside && rows.empty()) continue;
    rows.push_back(row);
    if (inside) count = rows.size();
  }
  if (!query.status().ok()) return query.status();
  rows.resize(count);
  return rows;
}

}  // namespace

absl::StatusOr<std::vector<v1::MemoryCurve>> ReadSession::ChangeCurves(
    int64_t run, const ChangeCurveFilter& filter) {
  absl::StatusOr<Subject> subject = FindSubject(db_.get(), run, filter);
  if (!subject.ok()) return subject.status();
  absl::StatusOr<std::vector<BlobRow>> rows = FindBlobs(db_.get(), run, filter);
  if (!rows.ok()) return rows.status();
  int64_t records = 0;
  for (const BlobRow& row : *rows) records += row.records;
  const bool all = records <= filter.open_records || !subject->InSummaries();
  Curves curves(filter);
  int64_t codebook = 0;
  for (const BlobRow& row : *rows) {
    if (row.codebook != codebook) {
      codebook = row.codebook;
      absl::Status status =
          Translate(db_.get(), codebook, filter.category, &*subject);
      if (!status.ok()) return status;
      auto bytes = ReadBlob(
          db_.get(), "SELECT levels FROM memory_blobs WHERE pk = ?", row.pk);
      if (!bytes.ok()) return bytes.status();
      absl::StatusOr<MemoryLevels> levels = DecodeLevels(*bytes);
      if (!levels.ok()) return levels.status();
      curves.Begin(*subject, *levels);
    }
    if (all || row.first_step < filter.first_step ||
        row.last_step > filter.last_step) {
      auto packed = ReadBlob(
          db_.get(), "SELECT records FROM memory_blobs WHERE pk = ?", row.pk);
      if (!packed.ok()) return packed.status();
      absl::StatusOr<std::string> bytes = Unpack(*packed, kMostBlobBytes);
      if (!bytes.ok()) return bytes.status();
      if (bytes->size() % sizeof(MemoryRecord) != 0) {
        return absl::DataLossError("memory records can't be read");
      }
      curves.AddRecords(*bytes);
      continue;
    }
    std::vector<LayerRange> layers;
    if (subject->OfLayers()) {
      auto packed = ReadBlob(
          db_.get(), "SELECT layers FROM memory_blobs WHERE pk = ?", row.pk);
      if (!packed.ok()) return packed.status();
      auto decoded = DecodeLayers(*packed);
      if (!decoded.ok()) return decoded.status();
      layers = *std::move(decoded);
    }
    auto bytes = ReadBlob(
        db_.get(), "SELECT ranges FROM memory_blobs WHERE pk = ?", row.pk);
    if (!bytes.ok()) return bytes.status();
    absl::StatusOr<std::vector<DeviceRanges>> ranges = DecodeRanges(*bytes);
    if (!ranges.ok()) return ranges.status();
    for (const DeviceRanges& one : *ranges) curves.Add(one, layers);
  }
  return curves.Finish();
}

}  // namespace invact
