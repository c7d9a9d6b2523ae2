// The gate, from bytes alone: what it lets through is inside every limit.
#include "daemon/ingest/validate.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <random>

#include "proto/codes.h"
#include "proto/memory_record.h"

namespace invact {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

v1::Hello GoodHello() {
  v1::Hello hello;
  hello.set_protocol_major(1);
  hello.set_run_secret("0123456789abcdef");
  hello.mutable_run()->set_id("00000000000000a1");
  hello.mutable_run()->set_pid(7);
  return hello;
}

v1::Batch GoodBatch() {
  v1::Batch batch;
  batch.set_seq(1);
  batch.set_records(std::string(96, 'r'));
  batch.set_record_bytes(48);
  return batch;
}

std::string Refused(const std::function<void(v1::Hello&)>& spoil) {
  v1::Hello hello = GoodHello();
  spoil(hello);
  return std::string(ValidateHello(hello).message());
}

std::string RefusedBatch(const std::function<void(v1::Batch&)>& spoil) {
  v1::Batch batch = GoodBatch();
  spoil(batch);
  return std::string(ValidateBatch(batch).message());
}

TEST(Validate, DigestsOfUnequalListsAreRefused) {
  EXPECT_EQ(RefusedBatch([](v1::Batch& batch) {
              v1::StepDigests* digests = batch.add_digests();
              digests->add_parameters(0);
              digests->add_gradients(1);
              digests->add_roots(0);
              digests->add_losses(std::nan(""));
              batch.add_parameters()->set_name("weight");
            }),
            "");
  EXPECT_THAT(RefusedBatch([](v1::Batch& batch) {
                batch.add_digests()->add_parameters(0);
              }),
              StartsWith("digests: "));
  EXPECT_THAT(RefusedBatch(
                  [](v1::Batch& batch) { batch.add_digests()->add_losses(1); }),
              StartsWith("digests: "));
  EXPECT_THAT(
      RefusedBatch([](v1::Batch& batch) { batch.add_digests()->set_step(-1); }),
      StartsWith("digests.step: "));
  EXPECT_THAT(RefusedBatch([](v1::Batch& batch) {
                batch.add_parameters()->set_type(std::string(300, 'x'));
              }),
              StartsWith("parameter.type: "));
}

TEST(Validate, MemoryOutOfItsLimitsIsRefused) {
  const auto refused = [](const std::function<void(v1::MemoryStep&)>& spoil) {
    return RefusedBatch([&](v1::Batch& batch) {
      v1::MemoryStep& step = *batch.add_memory_steps();
      step.set_step(-1);
      step.set_peak_phase("optimizer");
      spoil(step);
    });
  };
  EXPECT_EQ(refused([](v1::MemoryStep&) {}), "");
  EXPECT_THAT(refused([](v1::MemoryStep& step) { step.set_step(-2); }),
              StartsWith("memory.step: "));
  EXPECT_THAT(refused([](v1::MemoryStep& step) { step.set_device(200); }),
              StartsWith("memory.device: "));
  EXPECT_THAT(refused([](v1::MemoryStep& step) { step.set_peak_phase(""); }),
              StartsWith("memory.phase: "));
  EXPECT_THAT(refused([](v1::MemoryStep& step) {
                auto& bytes = *step.mutable_end()->mutable_by_category();
                bytes["activation"] = -1;
              }),
              StartsWith("memory.by_category: "));
  EXPECT_THAT(
      refused([](v1::MemoryStep& step) { step.add_holders()->set_bytes(-1); }),
      StartsWith("memory.holder.bytes: "));
  EXPECT_THAT(RefusedBatch([](v1::Batch& batch) {
                batch.add_memory_failures()->set_phase("forward");
                batch.mutable_memory_failures(0)->set_asked_bytes(-1);
              }),
              StartsWith("memory.asked_bytes: "));
}

TEST(Validate, MemoryRecordsOutOfTheirLimitsAreRefused) {
  const auto refused = [](const std::function<void(MemoryRecord&)>& spoil,
                          size_t count = 2) {
    MemoryRecord record = {};
    record.time_ns = 1;
    record.bytes = -5;
    record.scope = record.site = kNoMemoryPlace;
    record.kind = static_cast<uint8_t>(EventKind::kFree);
    spoil(record);
    return RefusedBatch([&](v1::Batch& batch) {
      const std::string bytes(reinterpret_cast<const char*>(&record),
                              sizeof(record));
      for (size_t i = 0; i < count; ++i)
        *batch.mutable_memory_records() += bytes;
      batch.set_memory_record_bytes(sizeof(record));
    });
  };
  using Record = MemoryRecord;
  const auto gap = static_cast<uint8_t>(EventKind::kGap);
  EXPECT_EQ(refused([](Record&) {}), "");
  EXPECT_EQ(refused([](Record&) {}, kMostMemoryRecords), "");
  EXPECT_EQ(refused([](Record& r) { r.kind = 250; }), "")
      << "of a later plugin";
  EXPECT_EQ(refused([](Record& r) { r.category = kReservedBytes; }), "");
  EXPECT_EQ(refused([&](Record& r) {
              r.kind = gap;
              r.bytes = 7;
              r.device = kEveryDevice;
            }),
            "");
  const std::pair<const char*, std::function<void(Record&)>> wrong[] = {
      {"bytes", [](Record& r) { r.bytes = INT64_MIN; }},
      {"bytes", [](Record& r) { r.bytes = (int64_t{1} << 56) + 1; }},
      {"bytes", [&](Record& r) { r.kind = gap; }},
      {"time_ns", [](Record& r) { r.time_ns = UINT64_MAX; }},
      {"scope", [](Record& r) { r.scope = kMostMemoryPlaces; }},
      {"site", [](Record& r) { r.site = kNoMemoryPlace - 1; }},
      {"category", [](Record& r) { r.category = kMostMemoryCategories; }},
      {"device", [](Record& r) { r.device = -1; }},
      {"more", [](Record& r) { r.more = 2; }}};
  for (const auto& [field, spoil] : wrong) {
    EXPECT_THAT(refused(spoil),
                StartsWith(std::string("memory_record.") + field))
        << field;
  }
  EXPECT_THAT(refused([](Record&) {}, kMostMemoryRecords + 1),
              StartsWith("memory_records: 16385 entries"));
  const auto odd = [](uint32_t each, size_t bytes, uint64_t before = 0) {
    return RefusedBatch([&](v1::Batch& batch) {
      batch.set_memory_records(std::string(bytes, '\0'));
      batch.set_memory_record_bytes(each);
      batch.set_memory_before(before);
    });
  };
  EXPECT_EQ(odd(56, 112), "");
  EXPECT_THAT(odd(40, 41), StartsWith("memory_records: ends inside"));
  EXPECT_THAT(odd(0, 40), StartsWith("memory_record_bytes: 0 is outside"));
  EXPECT_THAT(odd(39, 78), StartsWith("memory_record_bytes: 39 is outside"));
  EXPECT_THAT(odd(257, 257), StartsWith("memory_record_bytes: 257"));
  EXPECT_THAT(odd(40, 0, UINT64_MAX), StartsWith("memory_before: "));
}

TEST(Validate, GoodMessagesPass) {
  EXPECT_TRUE(ValidateHello(GoodHello()).ok());
  EXPECT_TRUE(ValidateBatch(GoodBatch()).ok());
  v1::Batch bare;
  bare.set_seq(1);
  EXPECT_TRUE(ValidateBatch(bare).ok()) << "nothing but its number";
}

TEST(Validate, TheOlderSideOfAnotherProtocolIsNamed) {
  EXPECT_THAT(Refused([](auto& h) { h.set_protocol_major(0); }),
              HasSubstr("the relay is older"));
  EXPECT_THAT(Refused([](auto& h) { h.set_protocol_major(2); }),
              HasSubstr("the daemon is older"));
  EXPECT_EQ(Refused([](auto& h) { h.set_protocol_minor(99); }), "");
}

TEST(Validate, AHellosFieldsHaveLimits) {
  using H = v1::Hello;
  const std::pair<std::function<void(H&)>, const char*> kCases[] = {
      {[](H& h) { h.mutable_run()->set_id("00000000000000A1"); }, "run.id"},
      {[](H& h) { h.mutable_run()->set_id("../../../../etc1"); }, "run.id"},
      {[](H& h) { h.mutable_run()->set_id(""); }, "run.id"},
      {[](H& h) { h.set_run_secret("short"); }, "run_secret"},
      {[](H& h) { h.mutable_run()->set_name(std::string(257, 'n')); },
       "run.name"},
      {[](H& h) { h.mutable_run()->set_host(std::string("a\0b", 3)); },
       "run.host"},
      {[](H& h) { h.mutable_run()->set_pid(0); }, "run.pid"},
      {[](H& h) { h.mutable_run()->set_rank(-1); }, "run.rank"},
      {[](H& h) { h.mutable_run()->mutable_started_at()->set_seconds(-1); },
       "run.started_at"},
      {[](H& h) {
         for (int i = 0; i < 257; ++i) h.add_kernels();
       },
       "kernels"},
      {[](H& h) { h.add_kernels()->set_op(std::string(257, 'o')); },
       "kernel.op"},
  };
  for (const auto& [spoil, field] : kCases) {
    EXPECT_THAT(Refused(spoil), StartsWith(field));
  }
}

TEST(Validate, ABatchsFieldsHaveLimits) {
  using B = v1::Batch;
  const std::pair<std::function<void(B&)>, const char*> kCases[] = {
      {[](B& b) { b.set_seq(0); }, "seq"},
      {[](B& b) { b.set_seq(uint64_t{1} << 63); }, "seq"},
      {[](B& b) { b.set_record_bytes(0); }, "record_bytes"},
      {[](B& b) { b.set_record_bytes(47); }, "record_bytes"},
      {[](B& b) { b.set_record_bytes(257); }, "record_bytes"},
      {[](B& b) { b.set_records("12345"); }, "records"},
      {[](B& b) { b.set_records(std::string(16385 * 48, 'r')); }, "records"},
      {[](B& b) { b.add_steps()->set_phase("soon"); }, "step.phase"},
      {[](B& b) {
         b.add_steps()->set_phase("done");
         b.mutable_steps(0)->set_held_bytes(INT64_MAX);
       },
       "step.held_bytes"},
      {[](B& b) {
         b.add_steps()->set_phase("done");
         b.mutable_steps(0)->set_device_step_seconds(INFINITY);
       },
       "step.device_step_seconds"},
      {[](B& b) {
         b.mutable_live()->mutable_totals()->set_phase("forward");
         b.mutable_live()->add_rows()->set_action(std::string(65, 'a'));
       },
       "row.action"},
      {[](B& b) {
         b.mutable_max_step()->mutable_totals()->set_phase("done");
         b.mutable_max_step()->add_scopes()->set_forward_ns(-1);
       },
       "scope_row.forward_ns"},
      {[](B& b) { b.mutable_losses()->set_events_dropped(-1); }, "losses"},
      {[](B& b) { b.mutable_update()->add_warnings(std::string(4097, 'w')); },
       "update.warnings"},
      {[](B& b) {
         for (int i = 0; i < 257; ++i) b.mutable_update()->add_kernels();
       },
       "kernels"},
      {[](B& b) {
         b.mutable_update()->add_kernels()->set_detail(std::string(4097, 'd'));
       },
       "kernel.detail"},
      {[](B& b) { b.mutable_update()->add_kernels()->set_side_bits(-1); },
       "kernel.side_bits"},
      {[](B& b) { b.mutable_update()->add_kernels()->set_floor_rms(-1e-9); },
       "kernel: an error"},
      {[](B& b) { b.mutable_update()->add_kernels()->set_error_max(NAN); },
       "kernel: an error"},
      {[](B& b) { b.mutable_end()->set_state("gone"); }, "end.state"},
      {[](B& b) { b.mutable_out_of_memory()->set_phase("done?"); },
       "out_of_memory.phase"},
  };
  for (const auto& [spoil, field] : kCases) {
    EXPECT_THAT(RefusedBatch(spoil), StartsWith(field));
  }
}

TEST(Validate, AMebibyteIsTheMost) {
  v1::Batch batch = GoodBatch();
  batch.set_record_bytes(64);
  batch.set_records(std::string((1 << 20) - 64, 'r'));
  EXPECT_TRUE(ValidateBatch(batch).ok());
  batch.set_records(std::string(1 << 20, 'r'));
  EXPECT_TRUE(absl::IsResourceExhausted(ValidateBatch(batch)));
}

// Whatever bytes come: no crash, and what passes is inside the limits.
TEST(Validate, RandomBytesNeverHarm) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  v1::StreamRequest base;
  *base.mutable_batch() = GoodBatch();
  base.mutable_batch()->mutable_live()->mutable_totals()->set_phase("done");
  base.mutable_batch()->mutable_live()->add_rows()->set_action("keep");
  const std::string encoded = base.SerializeAsString();
  int passed = 0, parsed = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = encoded;
    const int flips = 1 + random() % 4;
    for (int k = 0; k < flips; ++k) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    v1::StreamRequest request;
    if (!request.ParseFromString(bytes)) continue;
    ++parsed;
    if (!ValidateBatch(request.batch()).ok()) continue;
    ++passed;
    const v1::Batch& batch = request.batch();
    EXPECT_GE(batch.seq(), 1u);
    if (!batch.records().empty()) {
      ASSERT_GE(batch.record_bytes(), 48u);
      EXPECT_EQ(batch.records().size() % batch.record_bytes(), 0u);
    }
    for (const v1::SiteRow& row : batch.live().rows()) {
      EXPECT_GE(row.held_bytes(), 0);
    }
  }
  EXPECT_GT(parsed, 1000);
  EXPECT_GT(passed, 100);
}

}  // namespace
}  // namespace invact
