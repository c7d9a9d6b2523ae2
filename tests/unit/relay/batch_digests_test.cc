// Digests leave the memory in batches that the daemon takes, after the names of
// what they are of, and a step's end tells how many it has.
#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <map>
#include <memory>
#include <set>

#include "plugin/relay/batcher.h"
#include "plugin/relay/clock.h"
#include "plugin/ring/text_arena.h"
#include "plugin/ring/writer.h"

namespace invact {
namespace {

DigestRecord Of(DigestKind kind, int64_t step, uint32_t subject,
                uint64_t value) {
  return {step, value, subject, static_cast<uint16_t>(kind), 0};
}

class BatchDigests : public testing::Test {
 protected:
  void Look() {
    now_ns_ += 3600 * kSecond;
    batcher_.Look(
        now_ns_, now_ns_, [] { return Room(); },
        [this](v1::Batch* batch) {
          EXPECT_LE(batch->ByteSizeLong(), size_t{1} << 20);
          batches_.push_back(*batch);
        });
  }
  void Push(const DigestRecord& record) {
    ASSERT_EQ(PushDigests(shared_.get(), &record, 1), 1u);
  }

  std::unique_ptr<SharedRun> shared_ = std::make_unique<SharedRun>();
  Reader reader_{shared_.get()};
  Batcher batcher_{&reader_};
  int64_t now_ns_ = 0;
  std::vector<v1::Batch> batches_;
};

TEST_F(BatchDigests, AStepIsToldWithItsNamesItsNumbersAndWhatIsMissing) {
  AppendParameter(shared_.get(), {AppendText(shared_.get(), "weight"),
                                  AppendText(shared_.get(), "float32[2]")});
  const double nan = -std::numeric_limits<double>::quiet_NaN();
  Push(Of(DigestKind::kLoss, 4, 0, std::bit_cast<uint64_t>(nan)));
  Push(Of(DigestKind::kGradient, 4, 0, UINT64_MAX));
  DigestRecord unseen = Of(DigestKind::kGradient, 4, 1, 0);
  unseen.unseen = static_cast<uint16_t>(NoDigest::kSparse);
  Push(unseen);
  Push(Of(DigestKind::kStep, 4, 0, 3));

  Look();

  ASSERT_EQ(batches_.size(), 1u);
  const v1::Batch& batch = batches_[0];
  ASSERT_EQ(batch.parameters_size(), 1);
  EXPECT_EQ(batch.parameters(0).name(), "weight");
  EXPECT_EQ(batch.parameters(0).type(), "float32[2]");
  ASSERT_EQ(batch.digests_size(), 1);
  const v1::StepDigests& step = batch.digests(0);
  EXPECT_EQ(step.step(), 4);
  EXPECT_EQ(step.total(), 3u);
  EXPECT_EQ(step.parameters(0), 0u);
  EXPECT_EQ(step.gradients(0), UINT64_MAX);
  EXPECT_EQ(std::bit_cast<uint64_t>(step.losses(0)),
            std::bit_cast<uint64_t>(nan));
  ASSERT_EQ(step.unseen_size(), 1);
  EXPECT_EQ(step.unseen(0).id(), 1u);
  EXPECT_FALSE(step.unseen(0).loss());
  EXPECT_EQ(step.unseen(0).reason(), "SPARSE");

  Look();
  EXPECT_EQ(batches_.size(), 1u) << "nothing is said twice";
}

TEST_F(BatchDigests, ManyAreCutIntoBatchesWithoutALoss) {
  constexpr uint32_t kParameters = 15'000;
  const uint32_t type = AppendText(shared_.get(), "bfloat16[4096, 4096]");
  for (uint32_t i = 0; i < kParameters; ++i) {
    AppendParameter(
        shared_.get(),
        {AppendText(shared_.get(), "model.layers." + std::to_string(i) +
                                       ".feed_forward.projection.weight"),
         type});
  }
  for (int64_t step = 0; step < 4; ++step) {
    for (uint32_t i = 0; i < kParameters; ++i) {
      Push(Of(DigestKind::kGradient, step, i, step << 32 | i));
    }
    Push(Of(DigestKind::kStep, step, 0, kParameters));
  }

  Look();
  Look();  // what the first one left

  std::set<uint32_t> known;
  std::map<int64_t, uint32_t> counts;
  for (const v1::Batch& batch : batches_) {
    for (const v1::Parameter& parameter : batch.parameters()) {
      known.insert(parameter.id());
    }
    for (const v1::StepDigests& some : batch.digests()) {
      for (int i = 0; i < some.parameters_size(); ++i) {
        const uint32_t id = some.parameters(i);
        ASSERT_TRUE(known.contains(id)) << "named before";
        ASSERT_EQ(id, counts[some.step()]++);
        ASSERT_EQ(some.gradients(i), uint64_t(some.step()) << 32 | id);
      }
      if (some.has_total()) {
        EXPECT_EQ(some.total(), counts[some.step()]);
      }
    }
  }
  EXPECT_EQ(counts.size(), 4u);
  EXPECT_EQ(counts[3], kParameters);
}

}  // namespace
}  // namespace invact
