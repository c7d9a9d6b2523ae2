#!/usr/bin/env python3
"""The check of kernels before their first use, on a GPU: it leaves generators
and allocator as they were, stays out of captures, and what it lets pass is
right. With OUT set writes $OUT/calibration.json."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402

# Largest gradient error, PyTorch's rounding of dx in it.
BOUND = {"fp32": 2.5e-4, "bf16": 2.2e-2, "fp16": 8e-3}
# Of it with the branch bits in y.
MANTISSA_LOSS = 1.5


def run(folder, bits):
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith("INVACT_") and key != "LD_PRELOAD"}
    environment.update(LD_PRELOAD=str(support.PRELOAD),
                       INVACT_POLICY="invert", INVACT_STATE_DIR=folder,
                       INVACT_BITS=bits)
    done = subprocess.run([sys.executable, HERE / "calibration_job.py"],
                          env=environment, capture_output=True, text=True,
                          timeout=120)
    lines = [line for line in done.stdout.splitlines()
             if line.startswith("RESULTS ")]
    if done.returncode != 0 or not lines:
        print(done.stdout[-2000:], done.stderr[-4000:])
        sys.exit(1)
    print(done.stderr, end="")
    return json.loads(lines[0][8:])


def main():
    support.require_gpu()
    verdicts = support.Verdicts("calibration")
    for bits in ("packed", "mantissa"):
        with tempfile.TemporaryDirectory() as folder:
            judge(verdicts, bits, run(folder, bits))
    verdicts.finish()


def judge(verdicts, bits, results):
    for name, call in results["calls"].items():
        verdicts.row(name=name, bits=bits, **call)
        dtype = name.rsplit("_", 1)[1]
        name = f"{name}, {bits}"
        verdicts.check(call["served"] == [True, True], f"{name} is served")
        verdicts.check(call["allocator"] and call["random"],
                       f"{name}: allocator and generator are left alone")
        verdicts.check(call["forward"], f"{name} gives PyTorch's y")
        bound = BOUND[dtype] * (MANTISSA_LOSS if bits == "mantissa" else 1)
        verdicts.check(call["error"] <= bound,
                       f"{name}: gradient error {call['error']:.3g} <= {bound}")
    captured = results["captured"]
    verdicts.row(name="captured", bits=bits, **captured)
    verdicts.check(not captured["inside"], "a capture is left alone")
    verdicts.check(captured["error"] < 2e-3, "a captured call is right")
    verdicts.check(captured["after"], "after the capture it is served")


if __name__ == "__main__":
    main()
