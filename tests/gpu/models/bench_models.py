#!/usr/bin/env python3
"""Saved bytes and step time of HF-shaped models on a GPU, per policy.

Run attached (run_models.py does): the plugin switches policies between steps of
this one process, so that every ratio compares neighbours in time.

  LD_PRELOAD=<lib>/libinvact.so INVACT_POLICY=auto \\
      python tests/gpu/models/bench_models.py [bert gpt2_autocast ...]
          [--policies none observe rebuild] [--rounds N]

A step makes its own batch, so that all that autograd keeps is allocated inside
it; gradients are there before it. With OUT set writes $OUT/models.json. Figures:
  baseline, held   the ledger's, last step under each policy, MiB
  allocator        torch.cuda.memory_allocated before backward - before forward
  requested        the same of the bytes asked for, without the allocator's
                   rounding
  peak             torch.cuda.max_memory_allocated in the step - before forward
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
POLICIES = ("none", "observe", "invert", "rebuild", "auto")
WARM_UP = 4  # rounds: kernels are loaded, the allocator and the sites settle
# Eliminated by a prototype that overrides the two ops, in whole MiB.
LEAST_ELIMINATED = {"bert": 540, "bert_large_batch": 4 * 540, "vit": 831,
                    "llama": 840}
# Held at most, MiB, and step time over `none`: under rebuild, under auto.
GOALS = {
    "bert": ((1530, 1.05), (1560, 1.02)),
    "llama": ((3020, 1.025), (3080, 1.02)),
    "gpt2": ((1700, 1.05), (1700, 1.05)),
    "vit": ((2270, 1.04), (2300, 1.015)),
    "bert_autocast": ((1746, 1.06), (1746, 1.03)),
    "llama_autocast": ((3590, 1.035), (3590, 1.03)),
    "gpt2_autocast": ((2082, 1.06), (2082, 1.06)),
    "vit_autocast": ((2785, 1.05), (2785, 1.025)),
}
PEAK_SHARE = 0.9  # of what saved falls, by which the peak falls
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


def gpt2():
    config = hf.GPT2Config(n_layer=6, use_cache=False)
    return hf.GPT2Model(config), lambda: {
        "input_ids": torch.randint(0, 50000, (16, 1024), device="cuda")}


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
          "llama": llama, "gpt2": gpt2}
AUTOCAST = "_autocast"  # behind a model's name: fp32 weights, bf16 compute
NAMES = list(MODELS) + [name + AUTOCAST for name in
                        ("bert", "vit", "llama", "gpt2")]


def allocated():
    return (torch.cuda.memory_allocated(),
            torch.cuda.memory_stats()["requested_bytes.all.current"])


def one_step(model, make_batch, autocast):
    """One timed step. Seconds, the bytes that it keeps for backward, peak."""
    model.zero_grad(set_to_none=False)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = allocated()
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    begin.record()
    batch = make_batch()
    with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        loss = model(**batch).last_hidden_state.float().mean()
    del batch
    saved = [now - then for now, then in zip(allocated(), before)]
    loss.backward()
    end.record()
    torch.cuda.synchronize()
    return (begin.elapsed_time(end) / 1e3, saved,
            torch.cuda.max_memory_allocated() - before[0])


def measure(name, library, policies, rounds):
    torch.manual_seed(0)
    with torch.device("cuda"):
        model, make_batch = MODELS[name.removesuffix(AUTOCAST)]()
    autocast = name.endswith(AUTOCAST)
    model = model.to(torch.float32 if autocast else torch.bfloat16).train()
    rows = {policy: {"seconds": []} for policy in policies}
    for round_number in range(rounds + WARM_UP):
        support.wait_for_fused(library)
        for policy in random.sample(policies, len(policies)):
            assert library.invact_set_policy_for_test(policy.encode()) == 0
            seconds, saved, peak = one_step(model, make_batch, autocast)
            row = rows[policy]
            row["peak"] = peak
            row["allocator"], row["requested"] = saved
            if policy != "none":
                row.update(support.totals(library))
            if round_number >= WARM_UP:
                row["seconds"].append(seconds)
    library.invact_set_policy_for_test(b"auto")
    plain = rows["none"]["seconds"]
    for row in rows.values():
        ratios = [a / b for a, b in zip(row["seconds"], plain)]
        row["ratio"] = statistics.median(ratios)
        row["low"], row["high"] = support.interval(ratios)
        row["step_ms"] = statistics.median(row.pop("seconds")) * 1e3
    return rows


def judge_rebuild(verdicts, name, policy, rows, most_held, most_ratio):
    if policy not in rows:
        return
    row = rows[policy]
    held = row["held"] / MIB
    verdicts.check(held <= most_held, f"{name} {policy}: held {held:.1f} MiB "
                   f"(at most {most_held})")
    verdicts.check(row["ratio"] <= most_ratio,
                   f"{name} {policy}: step time {row['ratio'] - 1:+.2%} "
                   f"[{row['low'] - 1:+.2%}, {row['high'] - 1:+.2%}] "
                   f"(at most {most_ratio - 1:+.1%})")
    plain = rows["none"]
    saved = plain["allocator"] - row["allocator"]
    fell = plain["peak"] - row["peak"]
    verdicts.check(fell >= PEAK_SHARE * saved,
                   f"{name} {policy}: the peak falls by {fell / saved:.0%} of "
                   f"the {saved / MIB:.1f} MiB by which saved falls (at least "
                   f"{PEAK_SHARE:.0%})")
    error = row["held"] / row["allocator"] - 1
    verdicts.check(abs(error) <= LEDGER_ERROR,
                   f"{name} {policy}: held is {error:+.3%} off the "
                   "allocator (at most 0.5 %)")


def judge(verdicts, name, rows):
    for policy, row in rows.items():
        text = (f"{name:6} {policy:8} step {row['step_ms']:.3f} ms, ratio "
                f"{row['ratio']:.4f} [{row['low']:.4f}, {row['high']:.4f}], "
                f"allocator {row['allocator'] / MIB:.1f} MiB, requested "
                f"{row['requested'] / MIB:.1f}, peak {row['peak'] / MIB:.1f}")
        if policy != "none":
            text += "".join(f", {what} {row[what] / MIB:.1f}" for what in
                            ("baseline", "held", "side", "eliminated"))
        print(text, flush=True)
        verdicts.row(model=name, policy=policy, **row)
    for policy, goals in zip(("rebuild", "auto"), GOALS.get(name, ())):
        judge_rebuild(verdicts, name, policy, rows, *goals)
    for policy in ("observe", "invert"):
        if policy not in rows or name.endswith(AUTOCAST) or name == "gpt2":
            continue
        row = rows[policy]
        error = row["held"] / row["allocator"] - 1
        verdicts.check(abs(error) <= LEDGER_ERROR,
                       f"{name} {policy}: held is {error:+.3%} off the "
                       "allocator (at most 0.5 %)")
        verdicts.check(row["ratio"] <= MOST_OVER_NONE,
                       f"{name} {policy}: step time {row['ratio'] - 1:+.2%} "
                       f"[{row['low'] - 1:+.2%}, {row['high'] - 1:+.2%}] "
                       "(at most +0.5 %)")
    if name not in LEAST_ELIMINATED or not {"observe", "invert"} <= rows.keys():
        return
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
    parser.add_argument("models", nargs="*", default=NAMES)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES))
    parser.add_argument("--rounds", type=int, default=80)
    options = parser.parse_args()
    support.require_gpu()
    library = support.plugin()
    if library is None:
        sys.exit("not attached: start with LD_PRELOAD=<lib>/libinvact.so")
    verdicts = support.Verdicts("models")
    print(f"transformers {hf.__version__}, {options.rounds} rounds")
    for name in options.models:
        judge(verdicts, name, measure(name, library, options.policies,
                                      options.rounds))
        torch.cuda.empty_cache()
    verdicts.finish()


if __name__ == "__main__":
    main()
