#include "plugin/relay/batcher.h"

#include <algorithm>
#include <utility>

#include "plugin/relay/clock.h"
#include "plugin/relay/convert.h"

namespace invact {

namespace {

constexpr int64_t kBatchEveryNs = 50 * kMs;
constexpr size_t kStepsAtATime = 4096;
constexpr size_t kDigestsAtATime = 32768;
constexpr size_t kMemoryRowsAtATime = 4 * kMemoryRowSlots;
constexpr size_t kFullRecords = kBatchRecords * sizeof(Record);
constexpr size_t kFullMemoryRecords = kMostMemoryRecords * sizeof(MemoryRecord);
// The daemon opens what it has to join small batches with.
constexpr size_t kManyMemoryRecords = kFullMemoryRecords / 2;
constexpr int64_t kMemoryRecordsEveryNs = 500 * kMs;
// Of one look: a writer that never rests must not hold the relay.
constexpr int kMostPasses = 8;
// Enough for all rings, whatever their counters claim.
constexpr int kMostLastPasses = 64;
// The daemon writes each row of a table anew: at most 5,000 a second.
constexpr int64_t kTablesEveryNs = 100 * kMs;
constexpr int64_t kRowNs = 200'000;
// Where nobody acknowledges, tables only fill the spool: their number grows
// with the logarithm of the time. At worst, where the relay is killed, too,
// the layers are as they stood 5 % of the run before.
constexpr int64_t kPatience = 20;
constexpr size_t kMostOwnWarnings = 16;
// What is said again may be the very thing that got lost on the way.
constexpr int kMostSaidAgain = 8;

// Rows change while they are read, and a writer killed between a row and the
// totals leaves them apart: what is reported adds up to its rows.
void SumRows(const Reader& reader, TableView* table) {
  StepTotalsPod& totals = table->totals;
  totals.baseline_bytes = totals.held_bytes = totals.side_bytes = 0;
  std::fill(std::begin(totals.by_category), std::end(totals.by_category), 0);
  const uint32_t sites = reader.site_count();
  for (const auto& [number, row] : table->rows) {
    totals.baseline_bytes += row.baseline_bytes;
    totals.held_bytes += row.held_bytes;
    totals.side_bytes += row.side_bytes;
    const Category category =
        number < sites ? reader.Site(number).category : Category::kActivation;
    totals.by_category[static_cast<size_t>(category)] += row.baseline_bytes;
  }
}

}  // namespace

void Batcher::Take(const Room& room) {
  if (room.events) {
    reader_->TakeRecords(kBatchRecords - records_.size() / sizeof(Record),
                         &records_);
    reader_->TakeMemoryRecords(
        kMostMemoryRecords - memory_records_.size() / sizeof(MemoryRecord),
        &memory_records_);
  }
  if (room.steps && steps_.size() < kStepsAtATime) {
    reader_->TakeSteps(kStepsAtATime - steps_.size(), &steps_);
  }
  // With the totals of the steps that they belong to.
  if (room.steps && digests_.size() < kDigestsAtATime) {
    reader_->TakeDigests(kDigestsAtATime - digests_.size(), &digests_);
  }
  if (room.steps && memory_rows_.size() < kMemoryRowsAtATime) {
    reader_->TakeMemoryRows(kMemoryRowsAtATime - memory_rows_.size(),
                            &memory_rows_);
  }
  if (!records_.empty() || !steps_.empty()) tables_due_ = true;
}

bool Batcher::AnythingNew(int64_t now_ns, const Room& room) const {
  OomView oom;
  return !records_.empty() || !steps_.empty() || !digests_.empty() ||
         !memory_rows_.empty() || MemoryRecordsDue(now_ns) ||
         scopes_said_ != reader_->scope_count() ||
         site_stamps_.size() != reader_->site_count() ||
         warnings_said_ != reader_->Warnings().size() ||
         own_warnings_said_ != own_warnings_.size() ||
         device_said_ != reader_->Device() || AnyKernelNew() ||
         (!oom_said_ && reader_->Oom(&oom)) ||
         (room.tables && now_ns >= next_tables_ns_ &&
          (tables_due_ || Dropped() != dropped_said_));
}

bool Batcher::MemoryRecordsDue(int64_t now_ns) const {
  return memory_records_.size() >= kManyMemoryRecords ||
         (!memory_records_.empty() && now_ns >= next_memory_ns_);
}

bool Batcher::AnyKernelNew() const {
  for (uint32_t number = 0; number < reader_->kernel_count(); ++number) {
    const bool known = number < kernel_stamps_.size();
    if (reader_->KernelChanged(number, known ? kernel_stamps_[number] : 0)) {
      return true;
    }
  }
  return false;
}

void Batcher::Look(int64_t now_ns, int64_t acked_ns, const AskRoom& ask,
                   const Packer::Sink& sink) {
  for (int pass = 0; pass < kMostPasses; ++pass) {
    const Room room = ask();
    Take(room);
    const bool many = memory_records_.size() >= kManyMemoryRecords;
    const bool full = records_.size() == kFullRecords || many ||
                      digests_.size() == kDigestsAtATime;
    if (!full && (now_ns < next_batch_ns_ || !AnythingNew(now_ns, room))) {
      return;
    }
    const bool tables = room.tables && now_ns >= next_tables_ns_;
    Packer packer(Sealed(sink));
    Pack(&packer, tables, false);
    if (MemoryRecordsDue(now_ns)) {
      PackMemoryRecords(&packer);
      next_memory_ns_ = now_ns + kMemoryRecordsEveryNs;
    }
    packer.Finish(tables && Dropped() != dropped_said_);
    next_batch_ns_ = now_ns + kBatchEveryNs;
    if (tables) {
      next_tables_ns_ =
          now_ns +
          std::max({kTablesEveryNs, static_cast<int64_t>(table_rows_) * kRowNs,
                    (now_ns - acked_ns) / kPatience});
    }
    if (!full) return;
  }
}

void Batcher::Last(const v1::RunEnd& end, const AskRoom& ask,
                   const Packer::Sink& sink) {
  for (int pass = 0; pass < kMostLastPasses; ++pass) {
    const Room room = ask();
    Take(room);
    const uint64_t dropped = Discard(room);
    const bool full = records_.size() == kFullRecords ||
                      memory_records_.size() >= kManyMemoryRecords ||
                      steps_.size() == kStepsAtATime ||
                      digests_.size() == kDigestsAtATime;
    if (dropped == 0 && !full) break;
    Packer packer(Sealed(sink));
    Pack(&packer, false, false);
    PackMemoryRecords(&packer);
    packer.Finish(false);
  }
  Packer packer(Sealed(sink));
  Pack(&packer, true, true);
  PackMemoryRecords(&packer);
  packer.Add(end);
  packer.Finish(false);
}

void Batcher::Amend(const Packer::Sink& sink) {
  SayAgain();
  Packer packer(Sealed(sink));
  Pack(&packer, true, true);
  packer.Finish(true);
}

// Takes what there is no room for, nor ever will be, and counts it.
uint64_t Batcher::Discard(const Room& room) {
  std::string records;
  std::vector<StepTotalsPod> steps;
  uint64_t count = 0;
  if (!room.events) {
    count += reader_->TakeRecords(kBatchRecords, &records);
    const size_t changes =
        reader_->TakeMemoryRecords(kMostMemoryRecords, &records);
    // The daemon finds the hole, which is behind those that were taken.
    memory_records_lost_ += changes;
    count += changes;
  }
  if (!room.steps) count += reader_->TakeSteps(kStepsAtATime, &steps);
  std::vector<MemoryRowPod> rows;
  if (!room.steps) count += reader_->TakeMemoryRows(kMemoryRowsAtATime, &rows);
  dropped_ += count;
  return count;
}

void Batcher::Pack(Packer* packer, bool tables, bool last) {
  // Tables are read before names, so that every site in them has one.
  if (tables) PackTables(packer, last);
  PackNames(packer);
  for (const StepTotalsPod& totals : steps_) {
    v1::StepTotals step;
    ToProto(totals, &step);
    packer->Add(std::move(step));
  }
  steps_.clear();
  for (v1::StepDigests& digests : ToProto(digests_)) {
    packer->Add(std::move(digests));
  }
  digests_.clear();
  for (const MemoryRowPod& row : memory_rows_) packer->Add(row);
  memory_rows_.clear();
  packer->AddRecords(std::exchange(records_, std::string()));
  v1::RunUpdate update = Update();
  if (update.ByteSizeLong() > 0) packer->Add(std::move(update));
  OomView oom;
  if (!oom_said_ && reader_->Oom(&oom)) {
    v1::OutOfMemory message;
    ToProto(oom, &message);
    packer->Add(message);
    oom_said_ = true;
  }
}

void Batcher::PackMemoryRecords(Packer* packer) {
  const uint64_t before = memory_records_said_;
  memory_records_said_ += memory_records_.size() / sizeof(MemoryRecord);
  packer->AddMemoryRecords(std::exchange(memory_records_, std::string()),
                           before);
  memory_records_said_ += std::exchange(memory_records_lost_, 0);
}

void Batcher::PackNames(Packer* packer) {
  const uint32_t scopes = reader_->scope_count();
  for (; scopes_said_ < scopes; ++scopes_said_) {
    v1::Scope scope;
    ToProto(scopes_said_, reader_->Scope(scopes_said_), &scope);
    packer->Add(std::move(scope));
  }
  const uint32_t parameters = reader_->parameter_count();
  for (; parameters_said_ < parameters; ++parameters_said_) {
    v1::Parameter parameter;
    ToProto(parameters_said_, reader_->Parameter(parameters_said_), &parameter);
    packer->Add(std::move(parameter));
  }
  const uint32_t sites = reader_->site_count();
  for (uint32_t number = 0; number < sites; ++number) {
    const uint32_t stamp = reader_->SiteStamp(number);
    const bool known = number < site_stamps_.size();
    if (known && site_stamps_[number] == stamp) continue;
    if (!known) site_stamps_.push_back(0);
    site_stamps_[number] = stamp;
    v1::Site site;
    ToProto(number, reader_->Site(number), &site);
    packer->Add(std::move(site));
  }
}

void Batcher::PackTables(Packer* packer, bool last) {
  tables_due_ = false;
  const auto add = [&](Packer::Table which, const TableView& table,
                       const std::vector<ScopeSums>& scopes) {
    table_rows_ = table.rows.size();
    v1::SiteTable message;
    ToProto(table, scopes, &message);
    packer->Add(which, std::move(message));
  };
  TableView table;
  if (reader_->MaxTable(&max_stamp_, &table)) {
    add(Packer::Table::kMax, table, {});
  }
  if (reader_->LastTable(&last_stamp_, &table)) {
    add(Packer::Table::kLast, table, reader_->LastScopes());
  }
  // Who looks at a run before its first step was completed, or after its last
  // one was not, sees how far it came.
  OomView oom;
  if ((last || last_stamp_ == 0 || reader_->Oom(&oom)) &&
      reader_->LiveTable(&table)) {
    SumRows(*reader_, &table);
    add(Packer::Table::kLive, table, reader_->LiveScopes());
  }
}

v1::RunUpdate Batcher::Update() {
  v1::RunUpdate update;
  const std::string device = reader_->Device();
  if (device != device_said_) update.set_device(device_said_ = device);
  const std::vector<std::string> warnings = reader_->Warnings();
  for (; warnings_said_ < warnings.size(); ++warnings_said_) {
    update.add_warnings(warnings[warnings_said_]);
  }
  for (; own_warnings_said_ < own_warnings_.size(); ++own_warnings_said_) {
    update.add_warnings(own_warnings_[own_warnings_said_]);
  }
  kernel_stamps_.resize(reader_->kernel_count());
  for (uint32_t number = 0; number < kernel_stamps_.size(); ++number) {
    KernelView kernel;
    if (reader_->Kernel(number, &kernel_stamps_[number], &kernel)) {
      ToProto(kernel, update.add_kernels());
    }
  }
  return update;
}

uint64_t Batcher::Dropped() const {
  return reader_->events_dropped() + reader_->steps_dropped() + dropped_;
}

Packer::Sink Batcher::Sealed(const Packer::Sink& sink) {
  return [this, &sink](v1::Batch* batch) {
    dropped_said_ = Dropped();
    // A counter of the memory may claim anything; the daemon takes this much.
    batch->mutable_losses()->set_events_dropped(
        static_cast<int64_t>(std::min(dropped_said_, uint64_t{1} << 62)));
    batch->set_wall_time_ns(WallNs());
    batch->set_monotonic_time_ns(MonoNs());
    sink(batch);
  };
}

void Batcher::SayAgain() {
  if (++said_again_ > kMostSaidAgain) return;
  scopes_said_ = 0;
  parameters_said_ = 0;
  site_stamps_.clear();
  last_stamp_ = max_stamp_ = 0;
  device_said_.clear();
  warnings_said_ = own_warnings_said_ = 0;
  kernel_stamps_.clear();
  oom_said_ = false;
  tables_due_ = true;
}

void Batcher::Warn(std::string text) {
  if (own_warnings_.size() < kMostOwnWarnings) {
    own_warnings_.push_back(CleanText(text, 1000));
  }
}

}  // namespace invact
