// Against figures that were measured with torch.utils.checkpoint around each
// block: BERT-base 180, ViT-B 296, GPT-2 180, Llama 449 MiB held.
#include "daemon/analysis/checkpoint_model.h"

#include <gtest/gtest.h>

#include "tests/unit/report/models.h"

namespace invact {
namespace {

v1::Checkpoint Model(RunBuilder builder) {
  const StoredRun run = builder.Complete(0).Take();
  return ModelCheckpoint(run, *run.last_step, BuildLayers(run, *run.last_step));
}

TEST(CheckpointModel, BertBaseHolds180MiB) {
  const v1::Checkpoint model = Model(BertRun(false));

  EXPECT_EQ(model.held_bytes(), 180 * kMiB);
  EXPECT_EQ(model.blocks(), "bert.encoder.layer.* (6)");
  EXPECT_EQ(model.source(), "modelled");
  // 34 B a token and unit of width, and 0.75 MiB of log-sum-exps.
  EXPECT_EQ(model.recompute_peak_bytes(), 34 * 12 * kMiB + 768 * kKiB);
  // 4.8 of 6 ms of forward, which is 6 of 16 ms of the step.
  EXPECT_NEAR(model.extra_time_fraction(), 0.3, 1e-9);
}

TEST(CheckpointModel, LlamaHolds449MiBWithinOnePercent) {
  const v1::Checkpoint model = Model(LlamaRun(4, false));

  EXPECT_NEAR(static_cast<double>(model.held_bytes()), 449.0 * kMiB,
              4.5 * kMiB);
  EXPECT_EQ(model.blocks(), "model.layers.* (4)");
}

TEST(CheckpointModel, ViTHolds296MiB) {
  RunBuilder vit;  // 128 images of 197 tokens of width 768 in bf16
  const int64_t hidden = 128LL * 197 * 768 * 2;
  vit.Keep("vit.embeddings.patch",
           {"ConvolutionBackward0", hidden, "bfloat16", "input"});
  for (int i = 0; i < 6; ++i) {
    const std::string layer = "vit.encoder.layer." + std::to_string(i);
    vit.Block(layer, hidden, kMs);
    vit.Keep(layer + ".layernorm_before", {"NativeLayerNormBackward0", hidden});
    vit.Keep(layer + ".mlp", {"GeluBackward0", 4 * hidden});
  }
  vit.Keep("vit.layernorm", {"NativeLayerNormBackward0", hidden});

  const v1::Checkpoint model = Model(std::move(vit));

  EXPECT_NEAR(static_cast<double>(model.held_bytes()), 296.0 * kMiB,
              1.0 * kMiB);
}

// The column is what plain PyTorch with checkpointing would do, whatever this
// run did.
TEST(CheckpointModel, IsTheSameUnderInvert) {
  const v1::Checkpoint observe = Model(BertRun(false));
  const v1::Checkpoint invert = Model(BertRun(true));

  EXPECT_EQ(invert.held_bytes(), observe.held_bytes());
  EXPECT_EQ(invert.recompute_peak_bytes(), observe.recompute_peak_bytes());
}

TEST(CheckpointModel, TakesTheListThatNeedsLeastNotItsParts) {
  RunBuilder builder;
  // An outermost Sequential of three, the middle one with the layers, each
  // with a Sequential of its own.
  builder.Keep("0", {"EmbeddingBackward0", 10});
  for (const char* part : {"0", "1", "2"}) builder.Block(part, 100, kMs);
  for (int i = 0; i < 2; ++i) {
    const std::string layer = "1.layers." + std::to_string(i);
    builder.Block(layer, 100, kMs);
    builder.Keep(layer + ".attention", {"MmBackward0", 1000});
    for (int j = 0; j < 5; ++j) {
      const std::string part = layer + ".mlp." + std::to_string(j);
      builder.Block(part, 100, kMs);
      builder.Keep(part, {"MmBackward0", 200});
    }
  }

  const v1::Checkpoint model = Model(std::move(builder));

  EXPECT_EQ(model.blocks(), "1.layers.* (2)");
  EXPECT_EQ(model.held_bytes(), 10 + 2 * 100);
  EXPECT_EQ(model.recompute_peak_bytes(), 2000);
}

TEST(CheckpointModel, TakesTheListsOfEncoderAndDecoder) {
  RunBuilder builder;
  for (const char* half : {"encoder", "decoder"}) {
    for (int i = 0; i < 3; ++i) {
      const std::string block =
          std::string(half) + ".block." + std::to_string(i);
      builder.Block(block, 10, kMs);
      builder.Keep(block + ".layer", {"MmBackward0", 100});
    }
  }
  builder.Keep("head", {"MmBackward0", 7});

  const v1::Checkpoint model = Model(std::move(builder));

  EXPECT_EQ(model.blocks(), "decoder.block.* (3), encoder.block.* (3)");
  EXPECT_EQ(model.held_bytes(), 6 * 10 + 7);
  EXPECT_EQ(model.recompute_peak_bytes(), 100);
}

TEST(CheckpointModel, ABlockCalledOftenRecomputesOneCallAtATime) {
  RunBuilder builder;
  builder.Block("layers.0", 10, kMs, /*calls=*/12);
  builder.Keep("layers.0.mlp", {"MmBackward0", 1200});

  const v1::Checkpoint model = Model(std::move(builder));

  EXPECT_EQ(model.held_bytes(), 120);
  EXPECT_EQ(model.recompute_peak_bytes(), 100);
}

TEST(CheckpointModel, NamesThatOnlyBeginAlikeAreOutside) {
  RunBuilder builder;
  builder.Block("layers.1", 10, kMs);
  builder.Keep("layers.1", {"MmBackward0", 100});
  builder.Keep("layers.10.mlp", {"MmBackward0", 1000});

  const v1::Checkpoint model = Model(std::move(builder));

  EXPECT_EQ(model.held_bytes(), 1010);
}

TEST(CheckpointModel, IsUnsetWithoutBlocks) {
  RunBuilder builder;
  builder.Keep("mlp", {"MmBackward0", 100});

  const v1::Checkpoint model = Model(std::move(builder));

  EXPECT_FALSE(model.has_held_bytes());
  EXPECT_FALSE(model.has_recompute_peak_bytes());
  EXPECT_FALSE(model.has_extra_time_fraction());
}

TEST(CheckpointModel, IsUnsetWhereTheJobCheckpointsAlready) {
  RunBuilder builder = BertRun(false);
  builder.Decline("bert.encoder.layer.0.intermediate", {"GeluBackward0", 1},
                  "IN_CHECKPOINT_REGION");

  EXPECT_FALSE(Model(std::move(builder)).has_held_bytes());
}

TEST(CheckpointModel, IsUnsetBeforeTheInstant) {
  RunBuilder builder = BertRun(false);
  const StoredRun run = builder.Live(0, "forward").Take();

  EXPECT_FALSE(ModelCheckpoint(run, *run.live, BuildLayers(run, *run.live))
                   .has_held_bytes());
}

TEST(CheckpointModel, TimeIsByTheHostWhereNoDeviceTells) {
  RunBuilder builder = BertRun(false);
  builder.totals().clear_device_forward_seconds();
  builder.totals().set_backward_begin_ns(builder.totals().begin_ns() + 8 * kMs);

  // 4.8 ms in blocks, of a step of 16 ms.
  EXPECT_NEAR(Model(std::move(builder)).extra_time_fraction(), 0.3, 1e-9);
}

TEST(CheckpointModel, TimeIsUnsetWhereBlocksWereNotTimed) {
  RunBuilder builder;
  builder.Block("layers.0", 10, 0);
  builder.Keep("layers.0.mlp", {"MmBackward0", 100});
  builder.totals().set_begin_ns(1);
  builder.totals().set_backward_begin_ns(2);
  builder.totals().set_end_ns(3);

  const v1::Checkpoint model = Model(std::move(builder));

  EXPECT_EQ(model.held_bytes(), 10);
  EXPECT_FALSE(model.has_extra_time_fraction());
}

}  // namespace
}  // namespace invact
