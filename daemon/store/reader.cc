#include "daemon/store/reader.h"

#include <algorithm>
#include <map>
#include <utility>

#include "daemon/store/event_record.h"
#include "daemon/store/pack.h"
#include "daemon/store/totals.h"

namespace invact {
namespace {

constexpr size_t kIdleConnections = 2;
constexpr uint32_t kNoSite = 0xffffffff;
constexpr size_t kMostRecordBytes = 1 << 20;  // of a batch

}  // namespace

absl::StatusOr<ReadSession> Reader::Start(absl::Time deadline) {
  std::unique_ptr<Database> db;
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      db = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (db == nullptr) {
    auto opened = Database::Open(path_, Database::Mode::kReadOnly, sharing_);
    if (!opened.ok()) return opened.status();
    db = *std::move(opened);
    absl::Status status =
        db->Exec("PRAGMA query_only=ON; PRAGMA cache_size=-2048;");
    if (!status.ok()) return status;
  }
  db->SetDeadline(deadline);
  if (absl::Status status = db->Exec("BEGIN"); !status.ok()) return status;
  return ReadSession(this, std::move(db));
}

void Reader::GiveBack(std::unique_ptr<Database> db) {
  db->SetDeadline(absl::InfiniteFuture());
  if (!db->Exec("COMMIT").ok()) return;  // closed, a new one is opened
  std::lock_guard lock(mutex_);
  if (idle_.size() < kIdleConnections) idle_.push_back(std::move(db));
}

ReadSession::~ReadSession() {
  if (db_) reader_->GiveBack(std::move(db_));
}

absl::StatusOr<StoredRun> ReadSession::Load(const RunRow& row) {
  StoredRun out;
  out.run = row.run;
  absl::Status status = LoadNames(row.pk, &out);
  if (status.ok()) status = LoadRest(row.pk, &out);
  if (!status.ok()) return status;
  for (auto [kind, table] :
       {std::pair("last", &out.last_step), std::pair("max", &out.max_step),
        std::pair("live", &out.live)}) {
    auto loaded = LoadTable(row.pk, kind);
    if (!loaded.ok()) return loaded.status();
    *table = *std::move(loaded);
  }
  // A step that was completed is under way no more.
  if (out.live && out.last_step &&
      out.live->totals().index() <= out.last_step->totals().index()) {
    out.live.reset();
  }
  Query query = db_->Prepare("SELECT " INVACT_TOTALS_COLUMNS
                             " FROM steps WHERE run = ? "
                             "ORDER BY step DESC LIMIT ?");
  query.BindAll(row.pk, kMaxSteps);
  while (query.Next()) out.steps.push_back(ReadTotals(query));
  std::reverse(out.steps.begin(), out.steps.end());
  if (!query.status().ok()) return query.status();
  return out;
}

absl::Status ReadSession::LoadNames(int64_t run, StoredRun* out) {
  Query scopes = db_->Prepare(
      "SELECT id, name, block FROM scopes WHERE run = ? ORDER BY id");
  scopes.Bind(run);
  while (scopes.Next()) {
    v1::Scope scope;
    scope.set_id(static_cast<uint32_t>(scopes.Int()));
    scope.set_name(scopes.Text());
    scope.set_block(scopes.Int() != 0);
    out->scopes.push_back(std::move(scope));
  }
  if (!scopes.status().ok()) return scopes.status();
  Query sites = db_->Prepare(
      "SELECT id, scope, pack_ordinal, op, dtype, category FROM sites "
      "WHERE run = ? ORDER BY id");
  sites.Bind(run);
  while (sites.Next()) {
    v1::Site site;
    site.set_id(static_cast<uint32_t>(sites.Int()));
    site.set_scope(static_cast<uint32_t>(sites.Int()));
    site.set_pack_ordinal(static_cast<uint32_t>(sites.Int()));
    site.set_op(sites.Text());
    site.set_dtype(sites.Text());
    site.set_category(sites.Text());
    out->sites.push_back(std::move(site));
  }
  return sites.status();
}

absl::Status ReadSession::LoadRest(int64_t run, StoredRun* out) {
  Query oom = db_->Prepare(
      "SELECT events_dropped, oom_phase IS NOT NULL, oom_phase, oom_step, "
      "oom_layer, oom_requested_bytes, oom_saved_bytes FROM runs WHERE pk = ?");
  if (oom.Bind(run).Next()) {
    out->losses.set_events_dropped(oom.Int());
    if (oom.Int() != 0) {
      v1::OutOfMemory& event = out->out_of_memory.emplace();
      event.set_phase(oom.Text());
      event.set_step_index(oom.Int());
      event.set_layer(oom.Text());
      event.set_requested_bytes(oom.Int());
      event.set_saved_bytes(oom.Int());
    }
  }
  if (!oom.status().ok()) return oom.status();
  Query warnings =
      db_->Prepare("SELECT text FROM warnings WHERE run = ? ORDER BY n");
  warnings.Bind(run);
  while (warnings.Next()) out->warnings.push_back(warnings.Text());
  return warnings.status();
}

absl::StatusOr<StoredKernels> ReadSession::Kernels(int64_t run) {
  StoredKernels out;
  {
    Query told = db_->Prepare(
        "SELECT kernels_told, EXISTS (SELECT 1 FROM site_rows WHERE run = pk "
        "AND action = 'invert') FROM runs WHERE pk = ?");
    if (told.Bind(run).Next()) {
      out.told = told.Int() != 0;
      out.inverted = told.Int() != 0;
    }
    if (!told.status().ok()) return told.status();
  }
  Query query = db_->Prepare(
      "SELECT op, dtype, device, library, served, reason, detail, side_bits, "
      "stated_max, stated_rms, floor_max, floor_rms, error_max, error_rms "
      "FROM kernels WHERE run = ? ORDER BY op, dtype, device");
  query.Bind(run);
  while (query.Next()) {
    v1::KernelCalibration& kernel = out.kernels.emplace_back();
    kernel.set_op(query.Text());
    kernel.set_dtype(query.Text());
    kernel.set_device(query.Text());
    kernel.set_library(query.Text());
    kernel.set_served(query.Int() != 0);
    kernel.set_reason(query.Text());
    kernel.set_detail(query.Text());
    if (const auto bits = query.OptionalInt()) {
      kernel.set_side_bits(static_cast<int32_t>(*bits));
    }
    using Set = void (v1::KernelCalibration::*)(double);
    for (const Set set : {Set{&v1::KernelCalibration::set_stated_max},
                          Set{&v1::KernelCalibration::set_stated_rms},
                          Set{&v1::KernelCalibration::set_floor_max},
                          Set{&v1::KernelCalibration::set_floor_rms},
                          Set{&v1::KernelCalibration::set_error_max},
                          Set{&v1::KernelCalibration::set_error_rms}}) {
      if (const auto error = query.OptionalDouble()) (kernel.*set)(*error);
    }
  }
  if (!query.status().ok()) return query.status();
  return out;
}

absl::StatusOr<std::optional<v1::SiteTable>> ReadSession::LoadTable(
    int64_t run, const char* kind) {
  v1::SiteTable table;
  Query totals = db_->Prepare("SELECT " INVACT_TOTALS_COLUMNS
                              " FROM site_tables WHERE run = ? AND kind = ?");
  if (!totals.BindAll(run, std::string_view(kind)).Next()) {
    if (!totals.status().ok()) return totals.status();
    return std::nullopt;
  }
  *table.mutable_totals() = ReadTotals(totals);
  Query rows = db_->Prepare(
      "SELECT site, baseline_bytes, held_bytes, side_bytes, action, declined, "
      "shared FROM site_rows WHERE run = ? AND kind = ? ORDER BY site");
  rows.BindAll(run, std::string_view(kind));
  while (rows.Next()) {
    v1::SiteRow& row = *table.add_rows();
    row.set_site(static_cast<uint32_t>(rows.Int()));
    row.set_baseline_bytes(rows.Int());
    row.set_held_bytes(rows.Int());
    row.set_side_bytes(rows.Int());
    row.set_action(rows.Text());
    row.set_declined(rows.Text());
    row.set_shared(rows.Int() != 0);
  }
  if (!rows.status().ok()) return rows.status();
  Query scopes = db_->Prepare(
      "SELECT scope, input_bytes, calls, forward_ns FROM scope_rows "
      "WHERE run = ? AND kind = ? ORDER BY scope");
  scopes.BindAll(run, std::string_view(kind));
  while (scopes.Next()) {
    v1::ScopeRow& row = *table.add_scopes();
    row.set_scope(static_cast<uint32_t>(scopes.Int()));
    row.set_input_bytes(scopes.Int());
    row.set_calls(static_cast<uint32_t>(scopes.Int()));
    row.set_forward_ns(scopes.Int());
  }
  if (!scopes.status().ok()) return scopes.status();
  return table;
}

absl::StatusOr<std::vector<v1::StepTotals>> ReadSession::Steps(int64_t run,
                                                               int64_t first,
                                                               int64_t last,
                                                               int64_t limit) {
  std::vector<v1::StepTotals> out;
  Query query = db_->Prepare("SELECT " INVACT_TOTALS_COLUMNS
                             " FROM steps WHERE run = ? AND step >= ? "
                             "AND step <= ? ORDER BY step LIMIT ?");
  query.BindAll(run, first, last > 0 ? last : INT64_MAX, limit);
  while (query.Next()) out.push_back(ReadTotals(query));
  if (!query.status().ok()) return query.status();
  return out;
}

absl::StatusOr<std::optional<v1::StepTotals>> ReadSession::NewestStep(
    int64_t run) {
  Query query = db_->Prepare("SELECT " INVACT_TOTALS_COLUMNS
                             " FROM steps WHERE run = ? "
                             "ORDER BY step DESC LIMIT 1");
  if (query.Bind(run).Next()) return ReadTotals(query);
  if (!query.status().ok()) return query.status();
  return std::nullopt;
}

absl::StatusOr<EventPage> ReadSession::Events(int64_t run, int64_t first_step,
                                              int64_t last_step,
                                              EventPlace from, int64_t limit) {
  using Key = std::tuple<int64_t, std::string, int64_t>;
  std::map<Key, std::string> names;
  Query codes =
      db_->Prepare("SELECT codebook, field, number, name FROM codebooks");
  while (codes.Next()) {
    const int64_t book = codes.Int();
    std::string field = codes.Text();
    const int64_t number = codes.Int();
    names[{book, std::move(field), number}] = codes.Text();
  }
  if (!codes.status().ok()) return codes.status();
  std::map<int64_t, std::pair<std::string, std::string>> sites;
  Query places = db_->Prepare(
      "SELECT s.id, COALESCE(c.name, ''), s.op FROM sites AS s "
      "LEFT JOIN scopes AS c ON c.run = s.run AND c.id = s.scope "
      "WHERE s.run = ?");
  places.Bind(run);
  while (places.Next()) {
    const int64_t id = places.Int();
    std::string layer = places.Text();
    sites[id] = {std::move(layer), places.Text()};
  }
  if (!places.status().ok()) return places.status();

  EventPage page;
  const int64_t end = last_step > 0 ? last_step : INT64_MAX;
  Query blobs = db_->Prepare(
      "SELECT seq, codebook, record_bytes, packed, records FROM event_blobs "
      "WHERE run = ? AND seq >= ? AND last_step >= ? AND first_step <= ? "
      "ORDER BY seq");
  blobs.BindAll(run, from.seq, first_step, end);
  while (blobs.Next()) {
    const int64_t seq = blobs.Int(), book = blobs.Int(), each = blobs.Int();
    const bool packed = blobs.Int() != 0;
    std::string records = blobs.Text();
    if (packed) {
      absl::StatusOr<std::string> bytes = Unpack(records, kMostRecordBytes);
      if (!bytes.ok()) return bytes.status();
      records = *std::move(bytes);
    }
    const int64_t count = each > 0 ? records.size() / each : 0;
    for (int64_t i = seq == from.seq ? from.offset : 0; i < count; ++i) {
      const EventRecord record = ReadEventRecord(records.data() + i * each);
      if (record.step < first_step || record.step > end) continue;
      if (static_cast<int64_t>(page.events.size()) == limit) {
        page.next = EventPlace{seq, i};
        return page;
      }
      v1::Event& event = page.events.emplace_back();
      event.set_time_ns(static_cast<int64_t>(record.time_ns));
      event.set_kind(names[{book, "kind", record.kind}]);
      event.set_source(names[{book, "source", record.source}]);
      event.set_address(record.address);
      event.set_bytes(record.bytes);
      event.set_step(record.step);
      event.set_device(record.device);
      event.set_stream(record.stream);
      const auto site = sites.find(record.site);
      if (record.site != kNoSite && site != sites.end()) {
        event.set_layer(site->second.first);
        event.set_op(site->second.second);
      }
    }
  }
  if (!blobs.status().ok()) return blobs.status();
  return page;
}

}  // namespace invact
