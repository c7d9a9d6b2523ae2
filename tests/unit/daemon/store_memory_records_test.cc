// Single changes of device memory, from batches to curves, against a recount of
// the changes by their sums alone.
#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <utility>

#include "proto/codes.h"
#include "proto/memory_record.h"
#include "tests/unit/daemon/store_fixture.h"

namespace invact {
namespace {

constexpr uint32_t kNone = kNoMemoryPlace;

// What a curve may be of.
struct What {
  ChangeCurveFilter filter;
  // Whether a change belongs to it, without levels.
  std::function<bool(const MemoryRecord&)> has;
};

// A job that never was: blocks of layers and call sites on two devices, labels,
// segments.
class Job {
 public:
  explicit Job(uint64_t seed) : random_(seed) {}

  void Step() {
    const int64_t count = Pick(150, 400);
    for (int64_t i = 0; i < count; ++i) Change();
    ++step_;
  }
  void Change() {
    const auto device = static_cast<int8_t>(Pick(0, 9) == 0);
    std::vector<MemoryRecord>& live = live_[device];
    const int64_t choice = live.empty() ? 0 : Pick(0, 99);
    if (choice < 45) {
      MemoryRecord block = New(EventKind::kAlloc, device);
      block.address = ++addresses_ << 9;
      block.bytes = Pick(1, 1 << 20);
      block.scope = Pick(0, 9) == 0 ? kNone : static_cast<uint32_t>(Pick(0, 7));
      block.category = static_cast<uint8_t>(MemoryCategory::kTemporary);
      live.push_back(block);
      records_.push_back(block);
    } else if (choice < 55) {
      MemoryRecord segment = New(EventKind::kSegmentAlloc, device);
      segment.bytes = Pick(0, 1) == 0 ? 2 << 20 : -(2 << 20);
      segment.category = kReservedBytes;
      records_.push_back(segment);
    } else {
      const auto last = static_cast<int64_t>(live.size()) - 1;
      const auto at = static_cast<size_t>(Pick(0, last));
      MemoryRecord block = live[at];
      Remove(block, choice < 70 ? EventKind::kLabel : EventKind::kFree);
      if (choice < 70) {
        records_.back().more = 1;
        block.scope = static_cast<uint32_t>(Pick(0, 7));
        block.site = block.scope * 2 + static_cast<uint32_t>(Pick(0, 1));
        block.category = static_cast<uint8_t>(Pick(1, 6));
        block.time_ns = now_;
        block.step = step_;
        block.kind = static_cast<uint8_t>(EventKind::kLabel);
        records_.push_back(block);
        live[at] = block;
      } else {
        live[at] = live.back();
        live.pop_back();
      }
    }
  }
  // A whole set of levels, as the plugin tells it.
  void Levels() {
    for (int8_t device : {0, 1}) {
      std::map<std::pair<uint32_t, uint8_t>, int64_t> shares;
      std::map<uint32_t, int64_t> sites;
      int64_t reserved = 0;
      for (const MemoryRecord& one : all_) {
        if (one.device != device) continue;
        if (one.category == kReservedBytes) {
          reserved += one.bytes;
        } else {
          shares[{one.scope, one.category}] += one.bytes;
          if (one.site != kNone) sites[one.site] += one.bytes;
        }
      }
      const auto level = [&](uint32_t scope, uint32_t site, uint8_t category,
                             int64_t bytes) {
        MemoryRecord out = New(EventKind::kLevel, device);
        out.scope = scope;
        out.site = site;
        out.category = category;
        out.bytes = bytes;
        records_.push_back(out);
      };
      for (const auto& [key, bytes] : shares) {
        level(key.first, kNone, key.second, bytes);
      }
      for (const auto& [site, bytes] : sites) level(site / 2, site, 0, bytes);
      level(kNone, kNone, kReservedBytes, reserved);
      records_.push_back(New(EventKind::kLevels, device));
    }
  }
  // What came since the last call.
  std::vector<MemoryRecord> Take() {
    Settle();
    settled_ = 0;
    return std::exchange(records_, {});
  }
  // Makes what comes part of what levels tell.
  void Settle() {
    for (; settled_ < records_.size(); ++settled_) {
      const MemoryRecord& one = records_[settled_];
      if (one.kind != static_cast<uint8_t>(EventKind::kLevel)) {
        all_.push_back(one);
      }
    }
  }
  int64_t Pick(int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random_);
  }
  uint32_t step() const { return step_; }

 private:
  MemoryRecord New(EventKind kind, int8_t device) {
    MemoryRecord out = {};
    out.time_ns = ++now_;
    out.scope = out.site = kNone;
    out.step = step_;
    out.kind = static_cast<uint8_t>(kind);
    out.device = device;
    return out;
  }
  void Remove(const MemoryRecord& block, EventKind kind) {
    MemoryRecord out = block;
    out.time_ns = ++now_;
    out.step = step_;
    out.kind = static_cast<uint8_t>(kind);
    out.bytes = -block.bytes;
    records_.push_back(out);
  }

  std::mt19937_64 random_;
  uint64_t now_ = 1000, addresses_ = 100;
  uint32_t step_ = 0;
  std::map<int8_t, std::vector<MemoryRecord>> live_;
  std::vector<MemoryRecord> records_, all_;
  size_t settled_ = 0;
};

class StoreMemoryRecords : public StoreTest {
 protected:
  static void Put(const std::vector<MemoryRecord>& records, size_t each,
                  v1::Batch* batch) {
    for (const MemoryRecord& record : records) {
      std::string bytes(each, '\x55');
      std::memcpy(bytes.data(), &record, sizeof(record));
      *batch->mutable_memory_records() += bytes;
    }
    batch->set_memory_record_bytes(static_cast<uint32_t>(each));
  }
  // `lost`: records that never came, before these.
  absl::Status Add(const std::vector<MemoryRecord>& records, uint64_t lost = 0,
                   size_t each = sizeof(MemoryRecord)) {
    v1::Batch batch = Batch(++seq_);
    Put(records, each, &batch);
    batch.set_memory_before(told_ += lost);
    told_ += records.size();
    absl::Status status = Append(*store_, run_, batch);
    if (status.ok()) all_.insert(all_.end(), records.begin(), records.end());
    return status;
  }
  absl::Status AddNames() {
    v1::Batch batch = Batch(++seq_);
    for (uint32_t scope = 0; scope < 8; ++scope) {
      v1::Scope& one = *batch.add_scopes();
      one.set_id(scope);
      // The last two have one name: two models of a job.
      one.set_name("layer" + std::to_string(std::min(scope, 6u)));
      for (uint32_t ordinal : {0, 1}) {
        v1::Site& site = *batch.add_sites();
        site.set_id(scope * 2 + ordinal);
        site.set_scope(scope);
        site.set_pack_ordinal(ordinal);
      }
    }
    return Append(*store_, run_, batch);
  }
  absl::StatusOr<std::vector<v1::MemoryCurve>> Ask(
      const ChangeCurveFilter& filter) {
    Reader reader(options_.path, options_.sharing);
    auto session = reader.Start(absl::InfiniteFuture());
    EXPECT_TRUE(session.ok()) << session.status();
    return session->ChangeCurves(run_, filter);
  }

  std::unique_ptr<Store> store_ = Open();
  int64_t run_ = OpenRun(*store_, Hello());
  uint64_t seq_ = 0, told_ = 0;
  std::vector<MemoryRecord> all_;
};

struct Value {
  int64_t bytes, step, time;
  bool event;
};

bool IsChange(const MemoryRecord& record) {
  return record.kind != static_cast<uint8_t>(EventKind::kLevel) &&
         record.kind != static_cast<uint8_t>(EventKind::kLevels);
}

// What was alive after each moment of the device, by the changes alone: where
// nothing is lost, levels must say the same.
std::vector<Value> Recount(const std::vector<MemoryRecord>& records,
                           const What& what, int8_t device) {
  std::vector<Value> out;
  int64_t sum = 0, events = 0;
  for (const MemoryRecord& record : records) {
    if (record.device != device) continue;
    if (IsChange(record)) {
      ++events;
      if (what.has(record)) sum += record.bytes;
    }
    if (record.more != 0) continue;
    const bool inside = record.step >= what.filter.first_step &&
                        record.step <= what.filter.last_step;
    if (inside) {
      // A label is two events of one moment.
      for (int64_t i = 1; i < events; ++i) {
        out.push_back({sum, record.step, int64_t(record.time_ns), true});
      }
      out.push_back({sum, record.step, int64_t(record.time_ns), events > 0});
    }
    events = 0;
  }
  return out;
}

// The buckets cut the values into pieces; each has the least, the most and the
// last of its own.
void Check(const v1::MemoryCurve& curve, const std::vector<Value>& values,
           int64_t buckets) {
  ASSERT_LE(curve.buckets_size(), buckets);
  size_t at = 0;
  for (const v1::MemoryBucket& bucket : curve.buckets()) {
    int64_t events = 0;
    const size_t first = at;
    while (at < values.size() &&
           (events < bucket.events() || !values[at].event)) {
      events += values[at++].event;
    }
    ASSERT_GT(at, first);
    ASSERT_EQ(events, bucket.events());
    const auto begin = values.begin() + first, end = values.begin() + at;
    const auto less = [](const Value& a, const Value& b) {
      return a.bytes < b.bytes;
    };
    const Value most = *std::max_element(begin, end, less);
    ASSERT_EQ(bucket.min_bytes(), std::min_element(begin, end, less)->bytes);
    ASSERT_EQ(bucket.max_bytes(), most.bytes);
    ASSERT_EQ(bucket.max_step(), most.step);
    ASSERT_EQ(bucket.last_bytes(), values[at - 1].bytes);
    ASSERT_EQ(bucket.begin_ns(), values[first].time);
    ASSERT_EQ(bucket.end_ns(), values[at - 1].time);
    ASSERT_EQ(bucket.first_step(), values[first].step);
    ASSERT_EQ(bucket.last_step(), values[at - 1].step);
    ASSERT_FALSE(bucket.gap());
    ASSERT_EQ(bucket.lost(), 0);
  }
  ASSERT_EQ(at, values.size());
}

std::vector<What> AllOf(int64_t first_step, int64_t last_step,
                        int64_t buckets) {
  ChangeCurveFilter base;
  base.first_step = first_step;
  base.last_step = last_step;
  base.buckets = buckets;
  const auto bytes = [](const MemoryRecord& r) {
    return r.category != kReservedBytes;
  };
  std::vector<What> out = {{base, bytes}, {base, [](const MemoryRecord& r) {
                                             return r.category ==
                                                    kReservedBytes;
                                           }}};
  out[1].filter.category = "reserved";
  const auto add = [&](auto has) -> ChangeCurveFilter& {
    out.push_back({base, [=](const auto& r) { return bytes(r) && has(r); }});
    return out.back().filter;
  };
  add([](const MemoryRecord& r) { return r.category == 4; }).category =
      "activation";
  add([](const MemoryRecord& r) { return r.category == 7; }).category =
      "temporary";
  add([](const MemoryRecord&) { return false; }).category = "other";
  add([](const MemoryRecord& r) { return r.scope == 3; }).layer = "layer3";
  add([](const MemoryRecord& r) {
    return r.scope >= 6 && r.scope <= 7;
  }).layer = "layer6";
  add([](const MemoryRecord& r) { return r.scope == kNone; }).no_layer = true;
  ChangeCurveFilter& both = add(
      [](const MemoryRecord& r) { return r.scope == 2 && r.category == 7; });
  both.layer = "layer2";
  both.category = "temporary";
  ChangeCurveFilter& site =
      add([](const MemoryRecord& r) { return r.site == 9; });
  site.layer = "layer4";
  site.ordinal = 1;
  return out;
}

constexpr int64_t kEver = INT64_MAX;

// In batches of all sizes, and of a whole step at once.
class StoredJob : public StoreMemoryRecords {
 protected:
  void Tell(uint32_t steps) {
    ASSERT_TRUE(AddNames().ok());
    while (job_.step() < steps) {
      job_.Step();
      job_.Settle();
      if (job_.step() % 7 == 0) job_.Levels();
      std::vector<MemoryRecord> records = job_.Take();
      while (!records.empty() && job_.step() % 3 != 0) {
        auto count = std::min<size_t>(records.size(),
                                      static_cast<size_t>(job_.Pick(1, 200)));
        while (count < records.size() && records[count - 1].more != 0) ++count;
        const auto end = records.begin() + static_cast<ptrdiff_t>(count);
        ASSERT_TRUE(
            Add({records.begin(), end}, 0, job_.Pick(0, 1) == 0 ? 40 : 56)
                .ok());
        records.erase(records.begin(), end);
      }
      if (!records.empty()) {
        ASSERT_TRUE(Add(records).ok());
      }
    }
  }
  void ExpectRecount(int64_t first, int64_t last, int64_t buckets,
                     int64_t open_records) {
    for (What& what : AllOf(first, last, buckets)) {
      what.filter.open_records = open_records;
      SCOPED_TRACE(what.filter.category + " of " +
                   what.filter.layer.value_or("all") + " in " +
                   std::to_string(buckets));
      auto curves = Ask(what.filter);
      ASSERT_TRUE(curves.ok()) << curves.status();
      ASSERT_EQ(curves->size(), 2u);
      for (const v1::MemoryCurve& curve : *curves) {
        Check(curve, Recount(all_, what, static_cast<int8_t>(curve.device())),
              buckets);
        if (HasFatalFailure()) return;
      }
    }
  }
  Job job_{1};
};

TEST_F(StoredJob, CurvesHaveTheLeastAndTheMostOfEveryChange) {
  Tell(60);

  using Steps = std::pair<int64_t, int64_t>;
  for (const auto& [first, last] : {Steps{0, kEver}, Steps{0, 0}, Steps{17, 17},
                                    Steps{20, 41}, Steps{59, 70}}) {
    for (const int64_t buckets : {1, 7, 100, 100'000}) {
      ExpectRecount(first, last, buckets, 1'000'000);
      ExpectRecount(first, last, buckets, 0);
      if (HasFatalFailure()) return;
    }
  }
  ChangeCurveFilter filter = {0, kEver, 100'000, 1, "", {}, {}};
  EXPECT_EQ(Ask(filter)->size(), 1u);
  EXPECT_EQ(Ask(filter)->at(0).device(), 1);
}

TEST_F(StoredJob, ManySmallBatchesHaveFewBlobs) {
  Tell(30);
  ASSERT_TRUE(store_ != nullptr);
  store_->Close();
  store_.reset();
  store_ = Open();
  Tell(60);

  EXPECT_GT(seq_, 150u);
  EXPECT_LE(Count("SELECT COUNT(*) FROM memory_blobs"), 16);
  EXPECT_EQ(Count("SELECT SUM(events) FROM memory_blobs"),
            static_cast<int64_t>(all_.size()));
  EXPECT_EQ(Count("SELECT SUM(memory_events) FROM batches_v1 "
                  "WHERE memory_events_kept"),
            static_cast<int64_t>(all_.size()));
  ExpectRecount(0, kEver, 1000, 1'000'000);
  ExpectRecount(10, 50, 1000, 0);
}

class MemoryGap : public StoreMemoryRecords {
 protected:
  void Tell() {
    ASSERT_TRUE(AddNames().ok());
    Job job(5);
    while (job.step() < 4) job.Step();
    const std::vector<MemoryRecord> before = job.Take();
    while (job.step() < 5) job.Step();
    lost_ = job.Take();
    while (job.step() < 8) job.Step();
    const std::vector<MemoryRecord> after = job.Take();
    job.Levels();
    const std::vector<MemoryRecord> levels = job.Take();
    while (job.step() < 12) job.Step();
    ASSERT_TRUE(Add(before).ok());
    all_.insert(all_.end(), lost_.begin(), lost_.end());
    ASSERT_TRUE(Add(after, lost_.size()).ok());
    ASSERT_TRUE(Add(levels).ok());
    ASSERT_TRUE(Add(job.Take()).ok());
  }
  std::vector<MemoryRecord> lost_;
};

TEST_F(MemoryGap, IsShownUntilLevelsAreToldAndRightAfterThem) {
  Tell();
  for (const int64_t open_records : {0, 1'000'000}) {
    for (What& what : AllOf(0, kEver, 100'000)) {
      what.filter.open_records = open_records;
      SCOPED_TRACE(what.filter.category + " of " +
                   what.filter.layer.value_or("all"));
      auto curves = Ask(what.filter);
      ASSERT_TRUE(curves.ok()) << curves.status();
      for (const v1::MemoryCurve& curve : *curves) {
        int64_t lost = 0;
        for (const v1::MemoryBucket& bucket : curve.buckets()) {
          lost += bucket.lost();
          if (open_records == 0) continue;
          // Steps 5 to 7 came after the loss, levels in step 8.
          if (bucket.last_step() < 5) {
            EXPECT_FALSE(bucket.gap());
          }
          if (bucket.first_step() >= 5 && bucket.last_step() < 8) {
            EXPECT_TRUE(bucket.gap());
          }
          if (bucket.first_step() > 8) {
            EXPECT_FALSE(bucket.gap());
          }
        }
        EXPECT_EQ(lost, static_cast<int64_t>(lost_.size()));
        EXPECT_TRUE(curve.buckets(0).gap() == (open_records == 0) ||
                    curve.buckets_size() > 1);
      }
    }
    for (What& what : AllOf(9, kEver, 100)) {
      what.filter.open_records = open_records;
      auto curves = Ask(what.filter);
      ASSERT_TRUE(curves.ok()) << curves.status();
      for (const v1::MemoryCurve& curve : *curves) {
        const auto values =
            Recount(all_, what, static_cast<int8_t>(curve.device()));
        EXPECT_EQ(curve.buckets().rbegin()->last_bytes(), values.back().bytes);
        if (open_records > 0) Check(curve, values, 100);
      }
    }
  }
}

TEST_F(MemoryGap, ThatThePluginTellsOfIsShown) {
  MemoryRecord one = {};
  one.time_ns = 1;
  one.bytes = 100;
  one.scope = one.site = kNone;
  one.kind = static_cast<uint8_t>(EventKind::kAlloc);
  MemoryRecord gap = {};
  gap.bytes = 12345;
  gap.scope = gap.site = kNone;
  gap.kind = static_cast<uint8_t>(EventKind::kGap);
  gap.device = kEveryDevice;
  MemoryRecord two = one;
  two.time_ns = 2;

  ASSERT_TRUE(Add({one, gap, two}).ok());

  for (const int64_t open_records : {0, 10}) {
    auto curves = Ask({0, kEver, 10, {}, "", {}, {}, false, open_records});
    ASSERT_TRUE(curves.ok() && curves->size() == 1);
    const auto& buckets = curves->at(0).buckets();
    EXPECT_EQ(buckets.rbegin()->lost(), 12345);
    EXPECT_TRUE(buckets.rbegin()->gap());
    EXPECT_EQ(buckets.rbegin()->last_bytes(), 200);
    EXPECT_EQ(buckets.size(), open_records == 0 ? 1 : 2);
  }
}

TEST_F(StoreMemoryRecords, TheLargestThatTheGateLetsThroughDoesNotOverflow) {
  MemoryRecord one = {};
  one.bytes = int64_t{1} << 56;
  one.scope = one.site = 0;
  MemoryRecord gap = one;
  gap.kind = static_cast<uint8_t>(EventKind::kGap);
  gap.device = kEveryDevice;
  std::vector<MemoryRecord> records;
  for (int i = 0; i < 100; ++i) records.insert(records.end(), {one, gap});
  ASSERT_TRUE(Add(records, uint64_t{1} << 61).ok());
  ASSERT_TRUE(Add(records, uint64_t{1} << 61).ok());

  for (const int64_t open_records : {0, 1000}) {
    auto curves = Ask({0, kEver, 1000, {}, "", {}, {}, false, open_records});
    ASSERT_TRUE(curves.ok() && curves->size() == 1);
    int64_t lost = 0;
    for (const v1::MemoryBucket& bucket : curves->at(0).buckets()) {
      EXPECT_LE(bucket.min_bytes(), bucket.max_bytes());
      EXPECT_GE(bucket.lost(), 0);
      lost += bucket.lost();
    }
    EXPECT_EQ(curves->at(0).buckets().rbegin()->last_bytes(), int64_t{1} << 60);
    EXPECT_GT(lost, 0);
  }
}

TEST_F(StoreMemoryRecords, WhatCanNotBeAskedForIsRefusedWithItsReason) {
  ASSERT_TRUE(AddNames().ok());
  const auto code = [&](const char* category, std::optional<std::string> layer,
                        std::optional<int64_t> ordinal) {
    return Ask({0, kEver, 10, {}, category, std::move(layer), ordinal})
        .status()
        .code();
  };
  using absl::StatusCode;
  EXPECT_EQ(code("", {}, {}), StatusCode::kOk);  // and it has no curves
  EXPECT_EQ(code("gpu", {}, {}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("reserved", "layer1", {}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("", {}, 1), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("other", "layer1", 1), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("", "", {}), StatusCode::kNotFound);
  EXPECT_EQ(code("", "nowhere", {}), StatusCode::kNotFound);
  EXPECT_EQ(code("", "layer1", 7), StatusCode::kNotFound);
}

TEST_F(StoredJob, TheQuotaTakesTheOldestChangesAndKeepsTheRestRight) {
  Tell(60);
  store_.reset();
  const int64_t events = Count("SELECT SUM(events) FROM memory_blobs");
  options_.quota_bytes = Count(
                             "SELECT page_count * page_size FROM "
                             "pragma_page_count, pragma_page_size") -
                         1;
  store_ = Open();

  auto dropped = store_->EnforceQuota();

  ASSERT_TRUE(dropped.ok()) << dropped.status();
  EXPECT_GT(*dropped, 0);
  EXPECT_EQ(Count("SELECT SUM(events) FROM memory_blobs"), events - *dropped);
  EXPECT_EQ(Count("SELECT events_expired FROM runs"), *dropped);
  const int64_t first = Count("SELECT MIN(first_step) FROM memory_blobs");
  ASSERT_LT(first, 59);
  ExpectRecount(first + 1, kEver, 100, 1'000'000);
  ExpectRecount(first + 1, kEver, 100, 0);
}

}  // namespace
}  // namespace invact
