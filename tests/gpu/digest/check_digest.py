#!/usr/bin/env python3
"""Digests of gradients on a GPU are those of the definition in docs/compare.md,
losses are told to the bit, and the job's numbers, generators and peak stay. With
OUT set writes $OUT/digest.json. --device cpu runs the same without a GPU."""
import argparse
import json
import os
import pathlib
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402

INVACT = support.BUILD / "bin" / "invact"
# docs/compare.md, and what a reduction takes for itself.
SCRATCH = 13 << 20


def environment(folder, **extra):
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith("INVACT_") and key != "LD_PRELOAD"}
    return {**kept, "INVACT_STATE_DIR": folder, "XDG_RUNTIME_DIR": folder,
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8", **extra}


def run(folder, device, **extra):
    done = subprocess.run([sys.executable, HERE / "digest_job.py", device],
                          env=environment(folder, **extra), text=True,
                          capture_output=True, timeout=200)
    lines = [line for line in done.stdout.splitlines()
             if line.startswith("RESULTS ")]
    if done.returncode != 0 or not lines:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
    return json.loads(lines[0][8:])


def fields(message):
    """(number, value) of a protobuf message: integers, or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            assert key & 7 == 2, key
            size = varint()
            yield key >> 3, message[at:at + size]
            at += size


def packed_varints(data):
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0


def told(folder):
    """step -> loss and gradients by name (v1.StepDigests)."""
    database = pathlib.Path(folder) / "invact.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        names = dict(db.execute("SELECT id, name FROM parameters"))
        blobs = db.execute(
            "SELECT step, message FROM digests ORDER BY step, pk").fetchall()
    steps = {}
    for number, blob in blobs:
        step = steps.setdefault(number, {"loss": None, "gradients": {},
                                         "unseen": 0})
        parts = {}
        for field, value in fields(blob):
            parts.setdefault(field, []).append(value)
        for ids, values in zip(parts.get(3, []), parts.get(4, [])):
            numbers = struct.unpack(f"<{len(values) // 8}Q", values)
            step["gradients"].update(
                {names[i]: n for i, n in zip(packed_varints(ids), numbers)})
        for losses in parts.get(6, []):
            step["loss"], = struct.unpack("<Q", losses)
        step["unseen"] += len(parts.get(7, []))
    return steps


def stored(folder):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done = subprocess.run([INVACT, "report", "@last", "--json"],
                              env=environment(folder), capture_output=True,
                              text=True, timeout=60)
        if done.returncode == 0:
            if json.loads(done.stdout)["run"]["state"] == "finished":
                return told(folder)
        time.sleep(0.1)
    sys.exit("the run was not stored within 60 s: " + done.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    device = parser.parse_args().device
    if device != "cpu":
        support.require_gpu()
    else:  # Verdicts names the device
        import torch
        torch.cuda.get_device_name = lambda: "cpu"
    verdicts = support.Verdicts("digest")
    with tempfile.TemporaryDirectory(prefix="ivd", dir="/tmp") as folder:
        plain = run(folder, device)
        seen = run(folder, device, LD_PRELOAD=str(support.PRELOAD),
                   INVACT_POLICY="observe", INVACT_DIGEST="1")
        steps = stored(folder)
        subprocess.run([INVACT, "daemon", "stop"], env=environment(folder),
                       check=False, capture_output=True)
    verdicts.check(sorted(steps) == list(range(len(seen["steps"]))),
                   f"every step was told: {sorted(steps)}")
    for number, want in enumerate(seen["steps"]):
        got = steps.get(number, {"loss": None, "gradients": {}, "unseen": -1})
        wrong = sorted(name for name in want["gradients"]
                       if got["gradients"].get(name) !=
                       want["gradients"][name])
        verdicts.row(step=number, wrong=wrong, unseen=got["unseen"])
        verdicts.check(not wrong and got["unseen"] == 0 and
                       got["gradients"].keys() == want["gradients"].keys(),
                       f"step {number}: {len(want['gradients'])} digests, "
                       f"wrong: {wrong}")
        verdicts.check(got["loss"] == want["loss"], f"step {number}: the loss")
    verdicts.check(plain["state"] == seen["state"],
                   "losses, gradients and generators are those of a plain run")
    verdicts.check(seen["peak"] - plain["peak"] <= SCRATCH,
                   f"peak {plain['peak'] / support.MIB:.1f} MiB plain, "
                   f"{seen['peak'] / support.MIB:.1f} MiB with digests")
    verdicts.finish()


if __name__ == "__main__":
    main()
