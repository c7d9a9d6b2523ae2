#!/usr/bin/env python3
"""Saved bytes and step time of HF-shaped models on a GPU, per policy.

Run attached: the plugin switches policies between steps of this one process,
so that every ratio compares neighbours in time.

  LD_PRELOAD=<lib>/libinvact.so INVACT_POLICY=invert \
      python tests/gpu/models/bench_models.py [bert vit llama] [--rounds N]

Prints one table; with OUT set also writes $OUT/models.json. Figures:
  baseline, held   the ledger's, last step under each policy, MiB
  allocator        torch.cuda.memory_allocated before backward - before forward
  error            (held + what existed before the step or is no saved tensor
                   - allocator) / allocator; see `ledger_error`
  ratio            median over rounds of step time / its round's `none`, with
                   the 95 % interval of the median by resampling
"""
import argparse
import ctypes
import json
import os
import random
import statistics
import sys
import time

import torch
import transformers as hf

MIB = 1 << 20
POLICIES = ("none", "observe", "invert")


def plugin():
    """The plugin that this process was started with."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].strip()
            if "libinvact-torch" in path:
                return ctypes.CDLL(path)
    sys.exit("not attached: start with LD_PRELOAD=<lib>/libinvact.so")


def bert():
    config = hf.BertConfig(num_hidden_layers=6, hidden_dropout_prob=0.1)
    ids = torch.randint(0, 30000, (32, 512), device="cuda")
    return hf.BertModel(config), lambda m: m(ids).last_hidden_state


def vit():
    config = hf.ViTConfig(num_hidden_layers=6)
    pixels = torch.randn(128, 3, 224, 224, device="cuda", dtype=torch.bfloat16)
    return hf.ViTModel(config), lambda m: m(pixels).last_hidden_state


def llama():
    config = hf.LlamaConfig(hidden_size=4096, intermediate_size=14336,
                            num_hidden_layers=4, num_attention_heads=32,
                            num_key_value_heads=8, vocab_size=32000)
    ids = torch.randint(0, 32000, (4, 2048), device="cuda")
    return hf.LlamaModel(config), lambda m: m(ids).last_hidden_state


def totals(library):
    out = (ctypes.c_int64 * 8)()
    library.invact_totals_for_test(out)
    return dict(zip(("baseline", "held", "side", "eliminated", "step"), out))


def one_step(model, forward):
    """One timed step. Returns seconds, saved bytes by the allocator, loss."""
    model.zero_grad(set_to_none=True)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    begin.record()
    loss = forward(model).float().mean()
    saved = torch.cuda.memory_allocated() - before
    loss.backward()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3, saved, loss.item()


def interval(ratios):
    """95 % interval of the median, by resampling with a fixed seed."""
    rng = random.Random(1)
    medians = sorted(
        statistics.median(rng.choices(ratios, k=len(ratios)))
        for _ in range(1000))
    return medians[24], medians[974]


def measure(name, library, rounds):
    torch.manual_seed(0)
    model, forward = globals()[name]()
    model = model.to("cuda", torch.bfloat16).train()
    rows = {p: {"seconds": [], "saved": 0} for p in POLICIES}
    for round_number in range(rounds + 3):
        for policy in random.sample(POLICIES, len(POLICIES)):
            assert library.invact_set_policy_for_test(policy.encode()) == 0
            seconds, saved, loss = one_step(model, forward)
            row = rows[policy]
            row["loss"] = loss
            if policy != "none":
                row.update(totals(library))
            if round_number >= 3:  # the first rounds warm up and settle sites
                row["seconds"].append(seconds)
                row["saved"] = saved
    result = {"model": name, "rounds": rounds}
    for policy, row in rows.items():
        ratios = [a / b for a, b in
                  zip(row["seconds"], rows["none"]["seconds"])]
        low, high = interval(ratios)
        result[policy] = {
            "step_ms": statistics.median(row["seconds"]) * 1e3,
            "ratio": statistics.median(ratios), "ratio_low": low,
            "ratio_high": high, "allocator_mib": row["saved"] / MIB,
            **{k: row[k] / MIB for k in
               ("baseline", "held", "side", "eliminated") if k in row}}
    del model, forward
    torch.cuda.empty_cache()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["bert", "vit", "llama"])
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("skipped: no CUDA device")
        return
    library = plugin()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, "
          f"transformers {hf.__version__}, {time.strftime('%Y-%m-%d')}")
    results = []
    for name in options.models:
        result = measure(name, library, options.rounds)
        results.append(result)
        for policy in POLICIES:
            row = result[policy]
            ledger = "" if policy == "none" else (
                f" ledger baseline {row['baseline']:.1f} held {row['held']:.1f}"
                f" side {row['side']:.1f} eliminated {row['eliminated']:.1f}")
            print(f"{name:6} {policy:8} step {row['step_ms']:.3f} ms, ratio "
                  f"{row['ratio']:.4f} [{row['ratio_low']:.4f}, "
                  f"{row['ratio_high']:.4f}], allocator "
                  f"{row['allocator_mib']:.1f} MiB{ledger}", flush=True)
    if os.environ.get("OUT"):
        with open(os.path.join(os.environ["OUT"], "models.json"), "w") as out:
            json.dump(results, out, indent=1)


if __name__ == "__main__":
    main()
