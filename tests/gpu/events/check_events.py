#!/usr/bin/env python3
"""The account of device memory by allocator events is torch's own to the byte,
at every boundary of a step, in every mode of the allocator; and its cost. With
OUT set writes $OUT/events.json and $OUT/events.invmem (a recorded file)."""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402

REPLAY = support.BUILD / "tests" / "invact_replay_events"
LOOP = support.BUILD / "tests" / "libinvact_alloc_loop.so"
# mode -> what the allocator is told
MODES = {
    "plain": "", "expandable": "expandable_segments:True",
    "roundup": "roundup_power2_divisions:4", "streams": "",
    "empty_cache": "", "mempool": "", "graph": "", "oom": "", "history": "",
    "history_skip": "", "autocast": "",
}
EVENTS_OF_A_PAIR = 3  # alloc, free, free_completed
ROUNDS = 5


def run(folder, mode, events="1", config="", policy="observe"):
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith(("INVACT_", "PYTORCH_CUDA_ALLOC"))
            and key != "LD_PRELOAD"}
    more = {"LD_PRELOAD": str(support.PRELOAD), "INVACT_STATE_DIR": folder,
            "INVACT_SPOOL_DIR": folder, "XDG_RUNTIME_DIR": folder,
            "INVACT_POLICY": policy, "EVENTS_ALLOC_LOOP": str(LOOP)}
    if events:
        more["INVACT_EVENTS"] = events
    if config:
        more["PYTORCH_CUDA_ALLOC_CONF"] = config
    done = subprocess.run([sys.executable, HERE / "events_job.py", mode],
                          env={**kept, **more}, text=True,
                          capture_output=True, timeout=200)
    lines = [line for line in done.stdout.splitlines()
             if line.startswith("RESULTS ")]
    if done.returncode != 0 or not lines:
        return None, done.stdout[-1000:] + done.stderr[-3000:]
    return json.loads(lines[0][8:]), done.stderr


def judge(verdicts, name, result, said):
    if result is None:
        verdicts.check(False, f"{name}: the job failed: {said}")
        return
    if not result["attached"]:
        verdicts.check(False, f"{name}: events were not attached: {said}")
        return
    account = result["account"]
    verdicts.row(mode=name, boundaries=result["boundaries"], account=account,
                 wrong=result["wrong"], facts=result["facts"])
    verdicts.check(not result["wrong"],
                   f"{name}: {result['boundaries']} boundaries are torch's to "
                   f"the byte; wrong: {result['wrong'][:5]}")
    verdicts.check(account["mismatches"] == 0 and account["corrected"] == 0,
                   f"{name}: marks differed {account['mismatches']} times, "
                   f"{account['corrected']} blocks corrected")
    wrong = [fact for fact in result["facts"] if fact[1] != fact[2]]
    verdicts.check(not wrong, f"{name}: parameters, gradients and optimizer "
                              f"state by category; wrong: {wrong[:4]}")
    print(f"     {name}: now {account['now']}, at peak {account['at_peak']}",
          flush=True)


def recorded(verdicts, folder):
    """A file of events gives the account that the job had."""
    path = os.path.join(folder, "events.invmem")
    result, said = run(folder, "plain", f"file:{path}")
    judge(verdicts, "recorded", result, said)
    done = subprocess.run([REPLAY, path], text=True, capture_output=True,
                          timeout=60)
    if done.returncode != 0 or result is None or not result["attached"]:
        verdicts.check(False, f"replay: {done.stderr}")
        return
    device = json.loads(done.stdout.splitlines()[0])
    account = result["account"]
    verdicts.row(mode="replay", device=device,
                 file_bytes=os.path.getsize(path))
    # What the job's end released came after the last boundary.
    peaks = {step["step"]: step["peak"] for step in device["steps"]}
    verdicts.check(peaks.get(account["step"]) == account["peak"] and
                   device["mismatches"] == 0 and device["marks"] >= 8 and
                   device["unknown_frees"] == 0,
                   f"replay: {os.path.getsize(path)} bytes, {device['marks']} "
                   f"marks equal torch's, peaks {peaks}, in the job "
                   f"{account['peak']} at step {account['step']}")
    if os.environ.get("OUT"):
        shutil.copy(path, os.environ["OUT"])


def cost(verdicts, folder):
    pairs = {"": {}, "1": {}}
    seconds = {"": [], "1": []}
    for _ in range(ROUNDS):
        for events in ("", "1"):
            result, said = run(folder, "cost", events)
            if result is None:
                verdicts.check(False, f"cost: the job failed: {said}")
                return
            for size, nanoseconds in result["pairs"].items():
                pairs[events].setdefault(size, []).append(
                    statistics.median(nanoseconds))
            seconds[events].append(statistics.median(result["seconds"]))
    for size in pairs["1"]:
        without = statistics.median(pairs[""][size])
        more = statistics.median(pairs["1"][size]) - without
        verdicts.row(mode="cost", bytes=int(size), pair_ns_without=without,
                     pair_ns_more=more, all=[pairs[""][size],
                                             pairs["1"][size]])
        verdicts.check(more / EVENTS_OF_A_PAIR <= 100,
                       f"cost of {size} bytes: {without:.0f} ns a pair, "
                       f"{more:.0f} more with events, "
                       f"{more / EVENTS_OF_A_PAIR:.0f} ns an event")
    without, with_events = (statistics.median(seconds[e]) for e in ("", "1"))
    verdicts.row(mode="step", seconds_without=seconds[""],
                 seconds_with=seconds["1"])
    verdicts.check(with_events <= 1.005 * without or
                   min(seconds["1"]) <= 1.005 * min(seconds[""]),
                   f"step: {without * 1e3:.3f} ms without, "
                   f"{with_events * 1e3:.3f} ms with events")


def main():
    support.require_gpu()
    verdicts = support.Verdicts("events")
    with tempfile.TemporaryDirectory(prefix="ive", dir="/tmp") as folder:
        for mode, config in MODES.items():
            result, said = run(folder, mode, config=config)
            judge(verdicts, mode, result, said)
            if mode.startswith("history") and result is not None:
                verdicts.check(result.get("history", 0) > 100,
                               f"{mode}: the user's history has "
                               f"{result.get('history')} entries")
            if mode == "oom" and result is not None and result["attached"]:
                verdicts.check(result["account"]["out_of_memory"] >= 1 and
                               "device 0: out of memory in forward" in said,
                               f"oom: it was told and said: {said[-700:]}")
            if mode == "plain":
                verdicts.check("device 0: peak of" in said,
                               f"the peak is said at the end: {said[-700:]}")
        for policy in ("invert", "rebuild"):
            result, said = run(folder, "plain", policy=policy)
            judge(verdicts, f"policy {policy}", result, said)
        result, said = run(folder, "plain", config="backend:cudaMallocAsync")
        verdicts.check(result is not None and not result["attached"] and
                       "does not tell of single blocks" in said,
                       f"cudaMallocAsync: the line that says so: {said[-300:]}")
        recorded(verdicts, folder)
        cost(verdicts, folder)
    verdicts.finish()


if __name__ == "__main__":
    main()
