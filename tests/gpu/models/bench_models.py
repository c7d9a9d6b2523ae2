#!/usr/bin/env python3
"""Saved bytes and step time of HF-shaped models on a GPU, per policy.

Run attached (run_models.py does): the plugin switches policies between steps of
this one process, so that every ratio compares neighbours in time.

  LD_PRELOAD=<lib>/libinvact.so INVACT_POLICY=invert \\
      python tests/gpu/models/bench_models.py [bert vit llama] [--rounds N]

A step makes its own batch, so that all that autograd keeps is allocated inside
it. With OUT set writes $OUT/models.json. Figures:
  baseline, held   the ledger's, last step under each policy, MiB
  allocator        torch.cuda.memory_allocated before backward - before forward
  requested        the same of the bytes asked for, without the allocator's
                   rounding
  ratio            median over rounds of step time / its round's `none`, with
                   the 95 % interval of the median by resampling
"""
import argparse
import pathlib
import random
import statistics
import sys

import torch
import transformers as hf

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import support  # noqa: E402

MIB = support.MIB
POLICIES = ("none", "observe", "invert")
WARM_UP = 4  # rounds: kernels are loaded, the allocator and the sites settle
# Eliminated by a prototype that overrides the two ops, in whole MiB.
LEAST_ELIMINATED = {"bert": 540, "bert_large_batch": 4 * 540, "vit": 831,
                    "llama": 840}
LEDGER_ERROR = 0.005
MOST_OVER_NONE = 1.005


def bert():
    config = hf.BertConfig(num_hidden_layers=6)
    return hf.BertModel(config), lambda: {
        "input_ids": torch.randint(0, 30000, (32, 512), device="cuda")}


def bert_large_batch():
    """Four times the tokens: its kernels, not Python, decide how long it
    takes."""
    model, _ = bert()
    return model, lambda: {
        "input_ids": torch.randint(0, 30000, (128, 512), device="cuda")}


def vit():
    config = hf.ViTConfig(num_hidden_layers=6)
    return hf.ViTModel(config), lambda: {"pixel_values": torch.randn(
        128, 3, 224, 224, device="cuda", dtype=torch.bfloat16)}


def llama():
    config = hf.LlamaConfig(hidden_size=4096, intermediate_size=14336,
                            num_hidden_layers=4, num_attention_heads=32,
                            num_key_value_heads=8, vocab_size=32000,
                            use_cache=False)
    return hf.LlamaModel(config), lambda: {
        "input_ids": torch.randint(0, 32000, (4, 2048), device="cuda")}


MODELS = {"bert": bert, "bert_large_batch": bert_large_batch, "vit": vit,
          "llama": llama}


def allocated():
    return (torch.cuda.memory_allocated(),
            torch.cuda.memory_stats()["requested_bytes.all.current"])


def one_step(model, make_batch):
    """One timed step. Seconds and the bytes that it keeps for backward."""
    model.zero_grad(set_to_none=True)
    torch.cuda.synchronize()
    before = allocated()
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    begin.record()
    batch = make_batch()
    loss = model(**batch).last_hidden_state.float().mean()
    del batch
    saved = [now - then for now, then in zip(allocated(), before)]
    loss.backward()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3, saved


def measure(name, library, rounds):
    torch.manual_seed(0)
    with torch.device("cuda"):
        model, make_batch = MODELS[name]()
    model = model.to(torch.bfloat16).train()
    rows = {policy: {"seconds": []} for policy in POLICIES}
    for round_number in range(rounds + WARM_UP):
        for policy in random.sample(POLICIES, len(POLICIES)):
            assert library.invact_set_policy_for_test(policy.encode()) == 0
            seconds, saved = one_step(model, make_batch)
            row = rows[policy]
            row["allocator"], row["requested"] = saved
            if policy != "none":
                row.update(support.totals(library))
            if round_number >= WARM_UP:
                row["seconds"].append(seconds)
    library.invact_set_policy_for_test(b"invert")
    plain = rows["none"]["seconds"]
    for row in rows.values():
        ratios = [a / b for a, b in zip(row["seconds"], plain)]
        row["ratio"] = statistics.median(ratios)
        row["low"], row["high"] = support.interval(ratios)
        row["step_ms"] = statistics.median(row.pop("seconds")) * 1e3
    return rows


def judge(verdicts, name, rows):
    for policy, row in rows.items():
        text = (f"{name:6} {policy:8} step {row['step_ms']:.3f} ms, ratio "
                f"{row['ratio']:.4f} [{row['low']:.4f}, {row['high']:.4f}], "
                f"allocator {row['allocator'] / MIB:.1f} MiB, requested "
                f"{row['requested'] / MIB:.1f}")
        if policy != "none":
            text += "".join(f", {what} {row[what] / MIB:.1f}" for what in
                            ("baseline", "held", "side", "eliminated"))
        print(text, flush=True)
        verdicts.row(model=name, policy=policy, **row)
    for policy in ("observe", "invert"):
        row = rows[policy]
        error = row["held"] / row["allocator"] - 1
        verdicts.check(abs(error) <= LEDGER_ERROR,
                       f"{name} {policy}: held is {error:+.3%} off the "
                       "allocator (at most 0.5 %)")
        verdicts.check(row["ratio"] <= MOST_OVER_NONE,
                       f"{name} {policy}: step time {row['ratio'] - 1:+.2%} "
                       f"[{row['low'] - 1:+.2%}, {row['high'] - 1:+.2%}] "
                       "(at most +0.5 %)")
    plain, inverted = rows["observe"], rows["invert"]
    difference = plain["allocator"] - inverted["allocator"]
    error = inverted["eliminated"] / difference - 1 if difference else 1
    verdicts.check(abs(error) <= LEDGER_ERROR,
                   f"{name}: eliminated {inverted['eliminated'] / MIB:.1f} MiB "
                   f"is {error:+.3%} off the allocator's "
                   f"{difference / MIB:.1f} (at most 0.5 %)")
    verdicts.check(inverted["baseline"] == plain["baseline"],
                   f"{name}: the same baseline under observe and invert")
    eliminated = inverted["eliminated"] / MIB
    verdicts.check(round(eliminated) >= LEAST_ELIMINATED[name],
                   f"{name}: invert eliminates {eliminated:.1f} MiB (at least "
                   f"{LEAST_ELIMINATED[name]})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=80)
    options = parser.parse_args()
    support.require_gpu()
    library = support.plugin()
    if library is None:
        sys.exit("not attached: start with LD_PRELOAD=<lib>/libinvact.so")
    verdicts = support.Verdicts("models")
    print(f"transformers {hf.__version__}, {options.rounds} rounds")
    for name in options.models:
        judge(verdicts, name, measure(name, library, options.rounds))
        torch.cuda.empty_cache()
    verdicts.finish()


if __name__ == "__main__":
    main()
