#include "plugin/ring/reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "plugin/ring/take_rows.h"

namespace invact {

namespace {

constexpr size_t kNameLimit = 250;
constexpr size_t kPathLimit = 4000;
constexpr size_t kDtypeLimit = 60;
constexpr size_t kDetailLimit = 1000;  // and of a library's path
constexpr uint32_t kMostSideBits = 64;
constexpr int kTableTries = 64;
// What the daemon takes for a byte count, a time and a step.
constexpr int64_t kMostBytes = int64_t{1} << 56;
constexpr int64_t kMostNs = int64_t{1} << 62;
constexpr int64_t kMostStep = int64_t{1} << 48;

// Bytes of the UTF-8 sequence at the start of `text`; 0: there is none.
size_t Utf8Length(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return lead == 0 ? 0 : 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, beyond U+10FFFF.
  if ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) > 0x9f) ||
      (lead == 0xf0 && at(1) < 0x90) || (lead == 0xf4 && at(1) > 0x8f)) {
    return 0;
  }
  return length;
}

template <size_t N>
std::string Field(const char (&text)[N]) {
  return CleanText({text, strnlen(text, N)}, kNameLimit);
}

int64_t Bound(int64_t value, int64_t most) {
  return std::clamp<int64_t>(value, 0, most);
}
int64_t BoundOrUnknown(int64_t value) {
  return value < 0 ? kUnknown : std::min(value, kMostBytes);
}
double SecondsOrUnknown(double value) {
  return std::isfinite(value) && value >= 0 && value <= 1e9 ? value : -1.0;
}

double ErrorOrUnknown(double value) {
  return std::isfinite(value) && value >= 0 ? value : -1.0;
}

StepTotalsPod Checked(StepTotalsPod totals) {
  totals.index = Bound(totals.index, kMostStep);
  if (totals.phase > static_cast<uint32_t>(Phase::kDone)) totals.phase = 0;
  totals.complete = totals.complete != 0;
  for (int64_t* bytes :
       {&totals.baseline_bytes, &totals.held_bytes, &totals.side_bytes,
        &totals.by_category[0], &totals.by_category[1], &totals.by_category[2],
        &totals.by_category[3], &totals.saved_tensors}) {
    *bytes = Bound(*bytes, kMostBytes);
  }
  for (int64_t* time :
       {&totals.begin_ns, &totals.backward_begin_ns, &totals.end_ns}) {
    *time = Bound(*time, kMostNs);
  }
  for (int64_t* bytes :
       {&totals.allocated_before, &totals.allocated_instant,
        &totals.peak_allocated, &totals.peak_reserved, &totals.saved_at_peak}) {
    *bytes = BoundOrUnknown(*bytes);
  }
  // May be negative when substitutions hold more; unknown with saved_at_peak.
  totals.eliminated_at_peak =
      std::clamp(totals.eliminated_at_peak, -kMostBytes, kMostBytes);
  for (double* seconds :
       {&totals.device_forward_seconds, &totals.device_backward_seconds,
        &totals.device_step_seconds}) {
    *seconds = SecondsOrUnknown(*seconds);
  }
  return totals;
}

SiteRow Checked(SiteRow row) {
  row.baseline_bytes = Bound(row.baseline_bytes, kMostBytes);
  row.held_bytes = Bound(row.held_bytes, kMostBytes);
  row.side_bytes = Bound(row.side_bytes, kMostBytes);
  return row;
}

// The writer may be at it; each word is whole.
void LoadWords(void* to, const void* from, size_t bytes) {
  auto* out = static_cast<char*>(to);
  auto* in = const_cast<uint64_t*>(static_cast<const uint64_t*>(from));
  for (size_t i = 0; i < bytes / sizeof(uint64_t); ++i) {
    const uint64_t word =
        std::atomic_ref<uint64_t>(in[i]).load(std::memory_order_acquire);
    std::memcpy(out + i * sizeof(word), &word, sizeof(word));
  }
}

void LoadTable(const SiteTable& table, TableView* out) {
  StepTotalsPod totals;
  LoadWords(&totals, &table.totals, sizeof(totals));
  uint32_t head[2];
  LoadWords(head, &table.rows, sizeof(head));
  const uint32_t count = std::min(head[0], kMaxSites);
  out->totals = Checked(totals);
  out->rows.clear();
  for (uint32_t site = 0; site < count; ++site) {
    SiteRow row;
    LoadWords(&row, &table.row[site], sizeof(row));
    if (row.touched || row.baseline_bytes != 0 || row.held_bytes != 0) {
      out->rows.emplace_back(site, Checked(row));
    }
  }
}

}  // namespace

std::string CleanText(std::string_view text_untrusted, size_t limit) {
  std::string_view text = text_untrusted;
  std::string clean;
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (clean.size() + std::max<size_t>(length, 1) > limit) break;
    clean.append(length == 0 ? std::string_view("?") : text.substr(0, length));
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return clean;
}

Reader::Reader(SharedRun* shared_untrusted) : shared_(shared_untrusted) {}

std::string Reader::Text(uint32_t offset_untrusted, size_t limit) const {
  const uint32_t used =
      std::min(shared_->control.string_bytes.load(std::memory_order_acquire),
               kStringBytes);
  const uint64_t offset = offset_untrusted;
  uint16_t length = 0;
  if (offset == 0 || offset + sizeof(length) > used) return "";
  std::memcpy(&length, shared_->strings + offset, sizeof(length));
  if (offset + sizeof(length) + length > used) return "";
  return CleanText({shared_->strings + offset + sizeof(length), length}, limit);
}

RunView Reader::Info() const {
  const RunInfo info = shared_->info;
  RunView view;
  view.run_id = Field(info.run_id);
  if (view.run_id.size() != 16 ||
      view.run_id.find_first_not_of("0123456789abcdef") != std::string::npos) {
    view.run_id.clear();
  }
  view.name = Field(info.name);
  view.job_id = Field(info.job_id);
  view.policy = Field(info.policy);
  view.torch_version = Field(info.torch_version);
  view.invact_version = Field(info.invact_version);
  view.host = Field(info.host);
  view.pid = std::clamp<int64_t>(info.pid, 1, INT32_MAX);
  const auto rank = [](int32_t n) { return std::clamp(n, 0, 1 << 24); };
  view.rank = rank(info.rank);
  view.local_rank = rank(info.local_rank);
  view.world_size = rank(info.world_size);
  view.restart = rank(info.restart);
  view.started_wall_ns = Bound(info.started_wall_ns, kMostNs);
  view.exact = info.exact != 0;
  return view;
}

bool Reader::finished() const {
  return shared_->control.state.load(std::memory_order_acquire) ==
         static_cast<uint32_t>(GuestState::kFinished);
}
int32_t Reader::exit_code() const {
  return shared_->control.exit_code.load(std::memory_order_relaxed);
}
int64_t Reader::ended_wall_ns() const {
  return Bound(shared_->control.ended_wall_ns.load(std::memory_order_relaxed),
               kMostNs);
}

bool Reader::Oom(OomView* out) const {
  const Control& control = shared_->control;
  if (control.oom_seen.load(std::memory_order_acquire) == 0) return false;
  const uint32_t phase = control.oom_phase;
  out->phase = phase <= static_cast<uint32_t>(Phase::kDone)
                   ? static_cast<Phase>(phase)
                   : Phase::kForward;
  out->step = Bound(control.oom_step, kMostStep);
  out->requested_bytes = Bound(control.oom_requested_bytes, kMostBytes);
  out->saved_bytes = Bound(control.oom_saved_bytes, kMostBytes);
  const uint32_t scope = control.oom_scope;
  out->layer = scope < scope_count() ? Scope(scope).name : "";
  return true;
}

std::string Reader::Device() const {
  const std::string name = Text(
      shared_->control.device_name.load(std::memory_order_acquire), kNameLimit);
  return name.empty() ? "cpu" : name;
}

std::vector<std::string> Reader::Warnings() const {
  const Control& control = shared_->control;
  const uint32_t count =
      std::min<uint32_t>(control.warning_count.load(std::memory_order_acquire),
                         std::size(control.warnings));
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < count; ++i) {
    texts.push_back(
        Text(control.warnings[i].load(std::memory_order_acquire), kPathLimit));
  }
  return texts;
}

size_t Reader::TakeRecords(size_t max, std::string* out) {
  size_t taken = 0;
  // Begins with another ring each time, so that none starves at `max`.
  const uint32_t first = next_ring_++ % kRings;
  for (uint32_t i = 0; i < kRings && taken < max; ++i) {
    const uint32_t number = (first + i) % kRings;
    EventRing& ring = shared_->rings[number];
    uint64_t& read = ring_read_[number];
    const uint64_t written = ring.written.load(std::memory_order_acquire);
    if (written - read > kRingRecords) {  // no writer of ours does that
      resync_dropped_ += std::min<uint64_t>(written - read, kRingRecords);
      read = written;
    }
    const size_t count = std::min<uint64_t>(written - read, max - taken);
    for (size_t done = 0; done < count;) {
      const size_t at = (read + done) % kRingRecords;
      const size_t run = std::min<size_t>(count - done, kRingRecords - at);
      out->append(reinterpret_cast<const char*>(&ring.record[at]),
                  run * sizeof(Record));
      done += run;
    }
    read += count;
    taken += count;
    ring.read.store(read, std::memory_order_release);
  }
  return taken;
}

size_t Reader::TakeSteps(size_t max, std::vector<StepTotalsPod>* out) {
  StepRing& ring = shared_->steps;
  return TakeRows(&ring, ring.step, &step_read_, &resync_steps_, max, out,
                  [](const StepTotalsPod& step) { return Checked(step); });
}

uint64_t Reader::events_dropped() const {
  uint64_t dropped = resync_dropped_ + shared_->control.ringless_dropped.load(
                                           std::memory_order_relaxed);
  for (const EventRing& ring : shared_->rings) {
    dropped += ring.dropped.load(std::memory_order_relaxed);
  }
  return dropped +
         shared_->memory_records.dropped.load(std::memory_order_relaxed);
}

size_t Reader::FullestRing() const {
  uint64_t most = 0;
  for (uint32_t number = 0; number < kRings; ++number) {
    const uint64_t written =
        shared_->rings[number].written.load(std::memory_order_acquire);
    most = std::max(most, written - ring_read_[number]);
  }
  const uint64_t changes =
      shared_->memory_records.written.load(std::memory_order_acquire) -
      memory_record_read_;
  most = std::max(most, changes / (kMemoryRecordSlots / kRingRecords));
  return std::min<uint64_t>(most, kRingRecords);
}

uint64_t Reader::steps_dropped() const {
  return resync_steps_ +
         shared_->control.steps_dropped.load(std::memory_order_relaxed);
}

uint32_t Reader::scope_count() const {
  return std::min(shared_->control.scope_count.load(std::memory_order_acquire),
                  kMaxScopes);
}
uint32_t Reader::site_count() const {
  return std::min(shared_->control.site_count.load(std::memory_order_acquire),
                  kMaxSites);
}

ScopeView Reader::Scope(uint32_t number) const {
  const ScopeEntry& entry = shared_->scopes[number];
  return {Text(entry.name, kPathLimit), entry.block != 0};
}

SiteView Reader::Site(uint32_t number) const {
  const SiteEntry& entry = shared_->sites[number];
  SiteView view;
  view.scope = entry.scope;
  view.pack_ordinal = entry.pack_ordinal;
  view.op = Text(entry.op.load(std::memory_order_acquire), kNameLimit);
  view.dtype = Text(entry.dtype, kDtypeLimit);
  const uint8_t category = entry.category;
  if (category < static_cast<uint8_t>(Category::kCount)) {
    view.category = static_cast<Category>(category);
  }
  return view;
}

uint32_t Reader::SiteStamp(uint32_t number) const {
  return shared_->sites[number].op.load(std::memory_order_relaxed);
}

uint32_t Reader::kernel_count() const {
  return std::min(shared_->control.kernel_count.load(std::memory_order_acquire),
                  kMaxKernels);
}

bool Reader::KernelChanged(uint32_t number, uint64_t stamp) const {
  const uint64_t version =
      shared_->control.kernels[number].version.load(std::memory_order_relaxed);
  return version != stamp && (version & 1) == 0;
}

bool Reader::Kernel(uint32_t number, uint64_t* stamp, KernelView* out) const {
  const KernelSlot& slot = shared_->control.kernels[number];
  const uint64_t version = slot.version.load(std::memory_order_acquire);
  if (version == *stamp || (version & 1) != 0) return false;
  KernelEntry entry;
  LoadWords(&entry, &slot.entry, sizeof(entry));
  if (slot.version.load(std::memory_order_relaxed) != version) return false;
  *stamp = version;
  out->op = Text(entry.op, kNameLimit);
  out->dtype = Text(entry.dtype, kDtypeLimit);
  out->device = Text(entry.device, kNameLimit);
  out->library = Text(entry.library, kDetailLimit);
  out->detail = Text(entry.detail, kDetailLimit);
  out->side_bits =
      static_cast<int32_t>(std::min(entry.side_bits, kMostSideBits));
  out->reason = static_cast<Reason>(entry.reason);
  out->stated_max = ErrorOrUnknown(entry.stated_max);
  out->stated_rms = ErrorOrUnknown(entry.stated_rms);
  out->floor_max = ErrorOrUnknown(entry.floor_max);
  out->floor_rms = ErrorOrUnknown(entry.floor_rms);
  out->error_max = ErrorOrUnknown(entry.error_max);
  out->error_rms = ErrorOrUnknown(entry.error_rms);
  return true;
}

bool Reader::ReadTable(const SiteTable (&tables)[2], uint32_t slot_untrusted,
                       uint64_t* stamp, TableView* out) const {
  const uint32_t slot = slot_untrusted & 1;
  const SiteTable& table = tables[slot];
  for (int attempt = 0; attempt < kTableTries; ++attempt) {
    const uint64_t version = table.version.load(std::memory_order_acquire);
    if (version == 0) return false;
    if (version & 1) continue;
    const uint64_t now = version << 1 | slot;
    if (now == *stamp) return false;
    LoadTable(table, out);
    if (table.version.load(std::memory_order_relaxed) != version) continue;
    *stamp = now;
    return true;
  }
  return false;
}

bool Reader::LastTable(uint64_t* stamp, TableView* out) const {
  return ReadTable(shared_->last,
                   shared_->last_slot.load(std::memory_order_acquire), stamp,
                   out);
}
bool Reader::MaxTable(uint64_t* stamp, TableView* out) const {
  return ReadTable(shared_->max,
                   shared_->max_slot.load(std::memory_order_acquire), stamp,
                   out);
}

bool Reader::LiveTable(TableView* out) const {
  LoadTable(shared_->live, out);
  const StepTotalsPod& totals = out->totals;
  return totals.complete == 0 &&
         (totals.begin_ns != 0 || totals.baseline_bytes != 0 ||
          totals.held_bytes != 0);
}

std::vector<ScopeSums> Reader::LastScopes() const {
  std::vector<ScopeSums> sums;
  for (uint32_t i = 0; i < scope_count(); ++i) {
    const ScopeEntry& scope = shared_->scopes[i];
    const uint32_t calls = scope.last_calls.load(std::memory_order_relaxed);
    if (scope.block == 0 || calls == 0) continue;
    sums.push_back({i, calls, Bound(scope.last_input_bytes.load(), kMostBytes),
                    Bound(scope.last_forward_ns.load(), kMostNs)});
  }
  return sums;
}

std::vector<ScopeSums> Reader::LiveScopes() const {
  std::vector<ScopeSums> sums;
  for (uint32_t i = 0; i < scope_count(); ++i) {
    const ScopeEntry& scope = shared_->scopes[i];
    const uint32_t calls = scope.calls.load(std::memory_order_relaxed);
    if (scope.block == 0 || calls == 0) continue;
    sums.push_back({i, calls, Bound(scope.input_bytes.load(), kMostBytes),
                    Bound(scope.forward_ns.load(), kMostNs)});
  }
  return sums;
}

}  // namespace invact
