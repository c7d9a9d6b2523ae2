#!/usr/bin/env python3
"""Does a model trained under `invert` come out as one trained plain?

usage: [INVACT_BUILD_DIR=build] python tests/bench/parity/run.py
           [--seeds N] [--first-seed N] [--only DTYPE] [--steps N]
           [--device cpu|cuda] [--jobs N] [--out DIR]

Trains examples/train_lm.py, unmodified, with GELU and with SwiGLU, in float32
and bfloat16, plain and attached, from the same seeds, and compares the losses
on text that none of them saw. Prints, for each of the four, the mean of the
paired differences in per cent of the plain loss with its 95 % interval (which
shall contain 0 and lie within +-0.5 %), and the p of Mann and Whitney's test
between the two groups, corrected by Holm's method for being so many. With --out
writes parity.json and parity.svg there.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import statistics_of_pairs as pairs
from plot import plot

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("INVACT_BUILD_DIR", ROOT / "build"))
VARIANTS = [("gelu", "layer", "fp32"), ("gelu", "layer", "bf16"),
            ("swiglu", "rms", "fp32"), ("swiglu", "rms", "bf16")]
LIMIT = 0.5  # per cent


def train(variant, seed, policy, options, state):
    """The validation loss of one run."""
    mlp, norm, dtype = variant
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith("INVACT_") and key != "LD_PRELOAD"}
    environment["OMP_NUM_THREADS"] = "1"
    if policy != "plain":
        environment.update(LD_PRELOAD=str(BUILD / "lib" / "libinvact.so"),
                           INVACT_POLICY=policy, INVACT_STATE_DIR=state)
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "train_lm.py", "--mlp", mlp,
         "--norm", norm, "--dtype", dtype, "--seed", str(seed), "--steps",
         str(options.steps), "--batch", str(options.batch), "--device",
         options.device, "--lr", "5e-4", "--validate", "32"],
        env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"^validation loss (\S+)$", done.stdout, re.M)
    if done.returncode or not found:
        sys.exit(f"{variant} seed {seed} {policy} ended with "
                 f"{done.returncode}:\n{done.stderr[-2000:]}")
    if policy != "plain":
        saved = re.search(r"saved (\S+) of", done.stderr)
        if not saved or float(saved[1]) == 0:
            sys.exit(f"nothing was inverted: {done.stderr[-2000:]}")
    return float(found[1])


def compare(variant, losses):
    plain = [losses[variant, seed, "plain"] for seed in losses["seeds"]]
    ours = [losses[variant, seed, "invert"] for seed in losses["seeds"]]
    differences = [100 * (b - a) / a for a, b in zip(plain, ours)]
    mean, low, high = pairs.interval_of_mean(differences)
    return {"variant": "-".join(variant), "plain": plain, "invert": ours,
            "plain_mean": statistics.fmean(plain),
            "invert_mean": statistics.fmean(ours),
            "difference_percent": mean, "low": low, "high": high,
            "p": pairs.mann_whitney(plain, ours),
            "met": low <= 0 <= high and -LIMIT <= low and high <= LIMIT}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", choices=("fp32", "bf16"))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    first = options.first_seed
    losses = {"seeds": list(range(first, first + options.seeds))}
    variants = [variant for variant in VARIANTS
                if options.only in (None, variant[2])]
    with tempfile.TemporaryDirectory() as state, \
            concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        futures = {(variant, seed, policy): pool.submit(
            train, variant, seed, policy, options, state)
            for variant in variants for seed in losses["seeds"]
            for policy in ("plain", "invert")}
        for key, future in futures.items():
            losses[key] = future.result()
    rows = [compare(variant, losses) for variant in variants]
    for row, corrected in zip(rows, pairs.holm([row["p"] for row in rows])):
        row["p_holm"] = corrected
        print(f"{row['variant']:18} plain {row['plain_mean']:.5f} invert "
              f"{row['invert_mean']:.5f} difference "
              f"{row['difference_percent']:+.5f} % [{row['low']:+.5f}, "
              f"{row['high']:+.5f}] p {row['p']:.3f} Holm {corrected:.3f} "
              f"{'met' if row['met'] else 'MISSED'}", flush=True)
    if options.out:
        (options.out / "parity.json").write_text(json.dumps(rows, indent=1))
        (options.out / "parity.svg").write_text(plot(rows))
    sys.exit(not all(row["met"] for row in rows))


if __name__ == "__main__":
    main()
