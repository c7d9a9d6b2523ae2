#include "tests/unit/report/models.h"

namespace invact {
namespace {

void Times(RunBuilder* builder, int64_t forward_ns, int64_t step_ns) {
  v1::StepTotals& totals = builder->totals();
  totals.set_begin_ns(1'000 * kMs);
  totals.set_backward_begin_ns(totals.begin_ns() + forward_ns);
  totals.set_end_ns(totals.begin_ns() + step_ns);
}

}  // namespace

// Each layer: q, k, v, attention output and its log-sum-exp, both norms'
// inputs, their outputs, the GELU's input and output and two dropout masks:
// 34 B a token and unit (without the log-sum-exp), as in Korthikanti et al.
RunBuilder BertRun(bool invert) {
  RunBuilder run;
  const int64_t tokens = 32 * 512, width = 768;
  const int64_t unit = tokens * width;  // bytes of one byte a value
  run.run().set_policy(invert ? "invert" : "observe");
  run.Keep("bert.embeddings.LayerNorm", {"NativeLayerNormBackward0", 2 * unit});
  run.Keep("bert.embeddings.dropout", {"NativeDropoutBackward0", unit, "bool"});
  for (int i = 0; i < 6; ++i) {
    const std::string layer = "bert.encoder.layer." + std::to_string(i);
    run.Block(layer, 2 * unit, 800'000);
    const std::string self = layer + ".attention.self";
    run.Keep(self + ".query", {"AddmmBackward0", 2 * unit});  // its input
    run.Shared(self + ".key", "AddmmBackward0");
    run.Shared(self + ".value", "AddmmBackward0");
    const char* sdpa = "ScaledDotProductFlashAttentionBackward0";
    for (int j = 0; j < 4; ++j) run.Keep(self, {sdpa, 2 * unit});
    run.Keep(self, {sdpa, 32 * 12 * 512 * 4, "float32"});
    run.Shared(layer + ".attention.output.dense", "AddmmBackward0");
    run.Keep(layer + ".attention.output.dropout",
             {"NativeDropoutBackward0", unit, "bool"});
    run.Keep(layer + ".attention.output.LayerNorm",
             {"NativeLayerNormBackward0", 2 * unit});
    run.Keep(layer + ".intermediate.dense", {"AddmmBackward0", 2 * unit});
    const RunBuilder::Save gelu = {"GeluBackward0", 8 * unit};
    const std::string act = layer + ".intermediate.intermediate_act_fn";
    if (invert) {
      run.Invert(act, gelu);
    } else {
      run.Keep(act, gelu);
    }
    run.Keep(layer + ".output.dense", {"AddmmBackward0", 8 * unit});
    run.Keep(layer + ".output.dropout",
             {"NativeDropoutBackward0", unit, "bool"});
    run.Keep(layer + ".output.LayerNorm",
             {"NativeLayerNormBackward0", 2 * unit});
  }
  Times(&run, 6 * kMs, 16 * kMs);  // blocks: 4.8 of 6 ms of the host
  run.totals().set_device_forward_seconds(0.006);
  run.totals().set_device_backward_seconds(0.010);
  run.totals().set_device_step_seconds(0.016);
  return run;
}

// HF's tensors: per norm an fp32 copy and the normalised values besides the
// output; attention with 8 of 32 heads for keys and values.
RunBuilder LlamaRun(int layers, bool invert) {
  RunBuilder run;
  const int64_t tokens = 4 * 2048, width = 4096, ffn = 14336;
  const int64_t unit = tokens * width;
  run.run().set_name("pretrain.py");
  run.run().set_policy(invert ? "invert" : "observe");
  run.Keep("model.embed_tokens",
           {"EmbeddingBackward0", tokens * 8, "int64", "input"});
  for (int i = 0; i < layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i);
    run.Block(layer, 2 * unit, 900'000);
    for (const char* norm : {".input_layernorm", ".post_attention_layernorm"}) {
      run.Keep(layer + norm, {"PowBackward0", 4 * unit, "float32"});
      run.Keep(layer + norm, {"MulBackward0", tokens * 4, "float32"});
      run.Keep(layer + norm, {"MulBackward0", 2 * unit});
    }
    run.Keep(layer + ".self_attn.q_proj", {"MmBackward0", 2 * unit});
    run.Shared(layer + ".self_attn.k_proj", "MmBackward0");
    run.Shared(layer + ".self_attn.v_proj", "MmBackward0");
    const char* sdpa = "ScaledDotProductFlashAttentionBackward0";
    run.Keep(layer + ".self_attn", {sdpa, 2 * unit});
    for (int j = 0; j < 2; ++j) {
      run.Keep(layer + ".self_attn", {sdpa, unit / 2});
    }
    run.Keep(layer + ".self_attn", {sdpa, 2 * unit});
    run.Keep(layer + ".mlp.gate_proj", {"MmBackward0", 2 * unit});
    const RunBuilder::Save silu = {"SiluBackward0", 2 * tokens * ffn};
    if (invert) {
      run.Invert(layer + ".mlp.act_fn", silu);
    } else {
      run.Keep(layer + ".mlp.act_fn", silu);
    }
    for (int j = 0; j < 2; ++j) {
      run.Keep(layer + ".mlp", {"MulBackward0", 2 * tokens * ffn});
    }
    run.Keep(layer + ".mlp.down_proj", {"MmBackward0", 2 * tokens * ffn});
  }
  run.Keep("model.norm", {"PowBackward0", 4 * unit, "float32"});
  run.Keep("model.norm", {"MulBackward0", 2 * unit});
  run.Shared("lm_head", "MmBackward0");
  Times(&run, layers * kMs, layers * 3 * kMs);
  return run;
}

}  // namespace invact
