#!/usr/bin/env python3
"""Losses and gradients under `rebuild` and `auto` are those of the plain job, to
the bit, on a GPU.

Started without the plugin: starts itself attached with INVACT_EXACT=1, which
also makes `auto` exact. Each model trains under `none`, then from the same start
under `rebuild`, first with ops run one by one, then with the kernels that these
were fused into; every loss and every gradient of every step is compared. With
attention by the math kernel, which agrees with itself from run to run; that it
does is checked by a second run under `none`.
"""
import os
import pathlib
import subprocess
import sys

import torch
import transformers as hf
from torch.nn.attention import SDPBackend, sdpa_kernel

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402

STEPS = 6


def tokens(vocabulary, shape):
    return lambda: {"input_ids": torch.randint(0, vocabulary, shape,
                                               device="cuda")}


def pictures(shape, dtype):
    return lambda: {"pixel_values": torch.randn(shape, device="cuda",
                                                dtype=dtype)}


def bert(_):
    return (hf.BertModel(hf.BertConfig(num_hidden_layers=2)),
            tokens(30000, (16, 256)))


def gpt2(_):
    return (hf.GPT2Model(hf.GPT2Config(n_layer=2, use_cache=False)),
            tokens(50000, (8, 512)))


def llama(_):
    return hf.LlamaModel(hf.LlamaConfig(
        hidden_size=1024, intermediate_size=3584, num_hidden_layers=2,
        num_attention_heads=8, num_key_value_heads=2, vocab_size=32000,
        use_cache=False)), tokens(32000, (4, 512))


def gemma(_):
    return hf.GemmaModel(hf.GemmaConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=2,
        num_attention_heads=8, num_key_value_heads=2, head_dim=128,
        vocab_size=32000, use_cache=False)), tokens(32000, (4, 512))


def phi3(_):
    return hf.Phi3Model(hf.Phi3Config(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=2,
        num_attention_heads=8, num_key_value_heads=8, vocab_size=32000,
        pad_token_id=0, use_cache=False)), tokens(32000, (4, 512))


def vit(dtype):
    return (hf.ViTModel(hf.ViTConfig(num_hidden_layers=2,
                                     hidden_dropout_prob=0.1)),
            pictures((32, 3, 224, 224), dtype))


MODELS = (bert, gpt2, llama, gemma, phi3, vit)
MODES = ("float32", "bfloat16", "float16", "autocast")


def train(library, policy, model, make_batch, start, autocast):
    """What every step computed, on the device."""
    assert library.invact_set_policy_for_test(policy.encode()) == 0
    model.load_state_dict(start)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    torch.manual_seed(1)
    seen = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            loss = model(**make_batch()).last_hidden_state.float().pow(2).mean()
        loss.backward()
        seen.append([loss.detach().clone()] +
                    [parameter.grad.clone() for parameter in
                     model.parameters() if parameter.grad is not None])
        optimizer.step()
    return seen


def differences(one, other):
    """Tensors that differ in a bit, NaN being equal to NaN."""
    def differ(a, b):
        bits = {2: torch.int16, 4: torch.int32}[a.element_size()]
        same = a.view(bits) == b.view(bits)
        return not (same | (a.isnan() & b.isnan())).all()
    return sum(differ(a, b) for step, also in zip(one, other)
               for a, b in zip(step, also))


def check(verdicts, library, make, mode):
    torch.manual_seed(0)
    dtype = torch.float32 if mode == "autocast" else getattr(torch, mode)
    with torch.device("cuda"):
        model, make_batch = make(dtype)
    model = model.to(dtype).train()
    start = {name: tensor.clone() for name, tensor in
             model.state_dict().items()}
    policies = ("none", "none", "observe", "rebuild", "rebuild", "auto")
    run = []
    for policy in policies:
        run.append(train(library, policy, model, make_batch, start,
                         mode == "autocast"))
        (ready, refused), kernels = support.wait_for_fused(library)
    totals = support.totals(library)
    name = f"{make.__name__} {mode}"
    count = sum(len(step) for step in run[0])
    stable = differences(run[0], run[1])
    verdicts.check(stable == 0, f"{name}: plain twice, {stable} of {count} "
                   "tensors differ (0)")
    for policy, seen in zip(policies[2:], run[2:]):
        bad = differences(run[0], seen)
        verdicts.check(bad == 0, f"{name}: {policy}, {bad} of {count} tensors "
                       "differ from plain (0)")
    verdicts.check(totals["eliminated"] > 0.2 * totals["baseline"],
                   f"{name}: {totals['eliminated'] / support.MIB:.1f} of "
                   f"{totals['baseline'] / support.MIB:.1f} MiB eliminated "
                   "(over a fifth)")
    print(f"{name}: {ready} kernels ready, {refused} refused", flush=True)
    verdicts.row(kernels=kernels, ready=ready, refused=refused, model=make.__name__, mode=mode, tensors=count, **totals)


def main():
    support.require_gpu()
    library = support.plugin()
    if library is None:
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("INVACT_")}
        environment.update(LD_PRELOAD=str(support.PRELOAD),
                           INVACT_POLICY="auto", INVACT_EXACT="1",
                           HF_HUB_OFFLINE="1",
                           CUBLAS_WORKSPACE_CONFIG=":4096:8")
        if "INVACT_STATE_DIR" in os.environ:
            environment["INVACT_STATE_DIR"] = os.environ["INVACT_STATE_DIR"]
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment,
                                check=False).returncode)
    torch.use_deterministic_algorithms(True, warn_only=True)
    verdicts = support.Verdicts("rebuild")
    with sdpa_kernel(SDPBackend.MATH):
        for make in MODELS:
            for mode in MODES:
                check(verdicts, library, make, mode)
                torch.cuda.empty_cache()
    verdicts.finish()


if __name__ == "__main__":
    main()
