#!/usr/bin/env python3
"""CUPTI beside torch's profiler, the device's bytes taken apart, and the cost of
both. One line a criterion; nothing stops at the first failure. Figures for
docs/gpu-events.md are printed as lines that begin with E1 to E6. With OUT set
writes $OUT/cupti.json.

usage: check_cupti.py [PART...]
  PART   profile residual nccl history cost doors killed; all where none is named
"""
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402

MIB = support.MIB
REPLAY = support.BUILD / "tests" / "invact_replay_events"
ON = {"INVACT_EVENTS": "1", "INVACT_CUPTI": "1"}
SOURCES = {"INVACT_EVENTS": "1", "INVACT_CUPTI": "sources"}
EVENTS = {"INVACT_EVENTS": "1"}
OBSERVE = {}
ROUNDS = 4


def environment(folder, invact, config="", more=None):
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith(("INVACT_", "PYTORCH_CUDA_ALLOC"))
            and key not in ("LD_PRELOAD", "CUDA_INJECTION64_PATH")}
    if invact is not None:
        kept.update({"LD_PRELOAD": str(support.PRELOAD),
                     "INVACT_STATE_DIR": folder, "INVACT_SPOOL_DIR": folder,
                     "XDG_RUNTIME_DIR": folder, "INVACT_POLICY": "observe"})
        kept.update(invact)
    if config:
        kept["PYTORCH_CUDA_ALLOC_CONF"] = config
    kept.update(more or {})
    return {key: value for key, value in kept.items() if value is not None}


def results(stdout):
    lines = [line for line in stdout.splitlines()
             if line.startswith("RESULTS ")]
    return json.loads(lines[0][8:]) if lines else None


def run(folder, mode, invact, config="", more=None, timeout=150):
    """What the job printed, or None, and what was said on stderr."""
    try:
        done = subprocess.run(
            [sys.executable, HERE / "cupti_job.py", mode],
            env=environment(folder, invact, config, more), text=True,
            capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired as expired:
        return None, f"no end after {timeout} s: {expired.stderr}"
    result = results(done.stdout)
    if result is None or done.returncode != 0:
        return None, (f"exit {done.returncode}: {done.stdout[-500:]} "
                      f"{done.stderr[-2500:]}")
    return result, done.stderr


def ours(said):
    return [line for line in said.splitlines() if line.startswith("invact: ")]


def mib(value):
    return None if value is None else round(value / MIB, 1)


# --- torch's profiler ----------------------------------------------------------

def counts_of(result):
    return [session["events"] for session in result["sessions"]]


def same_kernels(verdicts, name, plain, result, said):
    verdicts.row(part="profile", name=name, result=result)
    verdicts.check(counts_of(result) == counts_of(plain),
                   f"{name}: CUDA events of each session {counts_of(result)}, "
                   f"without invact {counts_of(plain)}")
    different = {}
    for got, want in zip(result["sessions"], plain["sessions"]):
        for kernel in got["names"].keys() | want["names"].keys():
            pair = got["names"].get(kernel, 0), want["names"].get(kernel, 0)
            if pair[0] != pair[1]:
                different[kernel] = pair
    verdicts.check(not different, f"{name}: every kernel as often as without; "
                                  f"different: {list(different.items())[:4]}")
    verdicts.check(result["scheduled"] == plain["scheduled"],
                   f"{name}: with a schedule {result['scheduled']}, without "
                   f"invact {plain['scheduled']}")
    loud = [line for line in said.splitlines()
            if "Unexpected activity" in line or "unknown buffer" in line
            or "max GPU buffer" in line]
    verdicts.check(not loud, f"{name}: Kineto complains of nothing: {loud[:3]}")


def seen_throughout(verdicts, name, result):
    """MEMORY2 went on: 512 MiB made inside of each session, freed after it."""
    for number, session in enumerate(result["sessions"]):
        if "after" not in session:
            continue
        before, inside, after, freed = (
            session[key] or {} for key in ("before", "inside", "after",
                                           "freed"))
        print(f"E3 {name} session {number}: records "
              f"{before.get('records')} -> {inside.get('records')} (inside) -> "
              f"{after.get('records')} -> {freed.get('records')}, live MiB "
              f"{mib(before.get('live'))} -> {mib(after.get('live'))} -> "
              f"{mib(freed.get('live'))}, state inside {inside.get('state')}, "
              f"after {after.get('state')}", flush=True)
        grew = (after.get("live") or 0) - (before.get("live") or 0)
        verdicts.check(grew >= 512 * MIB,
                       f"{name} session {number}: the 512 MiB made inside are "
                       f"in CUPTI's live bytes afterwards (+{mib(grew)} MiB)")
        fell = (after.get("live") or 0) - (freed.get("live") or 0)
        verdicts.check(fell >= 512 * MIB,
                       f"{name} session {number}: and gone when they are freed "
                       f"(-{mib(fell)} MiB)")
        verdicts.check(after.get("state") == 1,
                       f"{name} session {number}: the channel is its own again "
                       f"(state {after.get('state')})")


def profile(verdicts, folder):
    plains = {}
    for mode in ("profile", "early"):
        plains[mode], said = run(folder, mode, None)
        verdicts.check(plains[mode] is not None and
                       min(counts_of(plains[mode])) > 0,
                       f"{mode} without invact: " +
                       (str(counts_of(plains[mode])) if plains[mode] else said))
    for name, mode, invact in (
            ("observe", "profile", OBSERVE), ("events", "profile", EVENTS),
            ("cupti", "profile", ON), ("sources", "profile", SOURCES),
            ("profiler first", "early", ON)):
        if plains[mode] is None:
            continue
        result, said = run(folder, mode, invact)
        if result is None:
            verdicts.check(False, f"{name}: the job failed: {said}")
            continue
        same_kernels(verdicts, name, plains[mode], result, said)
        if "INVACT_CUPTI" not in invact:
            continue
        end = result["end"] or {}
        print(f"E3 {name}: at the end {end}", flush=True)
        verdicts.check(end.get("multiplexes") == 1 and end.get("gaps") == 0,
                       f"{name}: multiplexed without a gap ({end.get('gaps')})")
        verdicts.check(end.get("unread") == 0 and end.get("dropped") == 0,
                       f"{name}: {end.get('unread')} records unread, "
                       f"{end.get('dropped')} dropped")
        seen_throughout(verdicts, name, result)
    teardown = {"TEARDOWN_CUPTI": "1"}
    plain, _ = run(folder, "profile", None, more=teardown)
    result, said = run(folder, "profile", ON, more=teardown)
    if plain is None or result is None:
        verdicts.check(plain is None,
                       f"TEARDOWN_CUPTI=1: fails with invact alone: {said}")
        print(f"E3 TEARDOWN_CUPTI=1 without invact: {plain is not None}",
              flush=True)
    else:
        same_kernels(verdicts, "TEARDOWN_CUPTI=1", plain, result, said)
        print(f"E3 TEARDOWN_CUPTI=1: at the end {result['end']}", flush=True)
        verdicts.check((result["end"] or {}).get("state") in (1, 4),
                       "TEARDOWN_CUPTI=1: active again or a marked gap")
    result, said = run(folder, "subscribed", None)
    words = [line for line in (said or "").splitlines() if "CUPTI" in line]
    print(f"E4 a subscriber held by another as the profiler begins: {result}, "
          f"said {words[:2]}", flush=True)
    verdicts.check(result is not None, f"E4 could be tried: {said[-300:]}")


# --- the device's bytes --------------------------------------------------------

def judge_bars(verdicts, name, mark, now):
    got = now["reserved"] + now["foreign"] + now["untracked"]
    want = now["mem_get_info"]
    print(f"     {name} {mark}: used {mib(want)} MiB = torch "
          f"{mib(now['reserved'])} + foreign {mib(now['foreign'])} + untracked "
          f"{mib(now['untracked'])}; CUPTI live {mib(now['live'])}, matched "
          f"{mib(now['matched'])}, assumed {mib(now['assumed'])}, pools "
          f"{mib(now['pools'])}, pinned {mib(now['pinned'])}, managed "
          f"{mib(now['managed'])}; {now['libraries']}", flush=True)
    verdicts.check(abs(got - want) <= want / 100,
                   f"{name} {mark}: bars {mib(got)} MiB, the device says "
                   f"{mib(want)} MiB")
    verdicts.check(now["reserved"] == now["torch_reserved"],
                   f"{name} {mark}: torch's reserved {now['reserved']}, it "
                   f"says {now['torch_reserved']}")
    verdicts.check(now["untracked"] >= -want / 100,
                   f"{name} {mark}: untracked is {mib(now['untracked'])} MiB")


def residual(verdicts, folder):
    modes = {"plain": ("", ON), "sources": ("", SOURCES),
             "expandable": ("expandable_segments:True", ON),
             "expandable sources": ("expandable_segments:True", SOURCES),
             "cudaMallocAsync": ("backend:cudaMallocAsync", ON),
             "graph": ("", ON), "pinned": ("", ON), "without CUPTI": ("",
                                                                     EVENTS)}
    for name, (config, invact) in modes.items():
        mode = name if name in ("graph", "pinned") else "plain"
        result, said = run(folder, mode, invact, config)
        if result is None or not result.get("attached"):
            verdicts.check(False, f"{name}: the job failed: {said}")
            continue
        verdicts.row(part="residual", name=name, result=result)
        marks = result["marks"]
        for mark, now in marks.items():
            judge_bars(verdicts, name, mark, now)
        lines = [line for line in ours(said) if " used after step " in line]
        verdicts.check(len(lines) >= 1, f"{name}: the end line: {lines}")
        if invact is EVENTS:
            verdicts.check(marks["trained"]["known"] == 0,
                           f"{name}: foreign is not told")
            continue
        if "raw" in marks:
            more = marks["raw"]["foreign"] - marks["trained"]["foreign"]
            verdicts.check(
                256 * MIB <= more <= 320 * MIB,
                f"{name}: 256 MiB by cudaMalloc are foreign: +{mib(more)} MiB")
            less = marks["raw"]["foreign"] - marks["back"]["foreign"]
            verdicts.check(256 * MIB <= less <= 320 * MIB,
                           f"{name}: and gone again: -{mib(less)} MiB")
            pinned = marks["host"]["pinned"] - marks["back"]["pinned"]
            managed = marks["host"]["managed"] - marks["back"]["managed"]
            verdicts.check(pinned == 48 * MIB and managed == 32 * MIB,
                           f"{name}: pinned +{mib(pinned)} of 48 MiB, managed "
                           f"+{mib(managed)} of 32 MiB")
        trained = marks["trained"]
        verdicts.check(trained["unread"] == 0 and trained["dropped"] == 0,
                       f"{name}: {trained['unread']} unread, "
                       f"{trained['dropped']} dropped of {trained['records']}")
        if name == "pinned":
            verdicts.check(trained["pinned"] > 0,
                           f"{name}: the loader's pinned bytes are seen: "
                           f"{mib(trained['pinned'])} MiB")
        if name == "cudaMallocAsync":
            verdicts.check(trained["pools"] > 0 or "off" in " ".join(ours(said)),
                           f"{name}: its pool is seen ({mib(trained['pools'])} "
                           f"MiB) or it is said: {ours(said)[:3]}")
        if name.startswith("expandable") or name in ("plain", "sources"):
            by_address = trained["matched"] == trained["reserved"]
            print(f"E1 {name}: torch's segments by address "
                  f"{mib(trained['matched'])} of {mib(trained['reserved'])} MiB"
                  f" reserved (all: {by_address}), by arithmetic "
                  f"{mib(trained['assumed'])} MiB", flush=True)
            verdicts.check(
                trained["matched"] + trained["assumed"] >= trained["reserved"],
                f"{name}: CUPTI tells of all that torch reserved")


def nccl(verdicts, folder):
    import torch
    for world in (1, 2) if torch.cuda.device_count() > 1 else (1,):
        store = os.path.join(folder, f"store{world}")
        ranks = []
        for rank in range(world):
            more = {"RANK": str(rank), "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(world), "CUPTI_STORE": store}
            ranks.append(subprocess.Popen(
                [sys.executable, HERE / "cupti_job.py", "nccl"],
                env=environment(folder, SOURCES, more=more), text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        for rank, process in enumerate(ranks):
            try:
                stdout, said = process.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
                stdout, said = process.communicate()
            result = results(stdout)
            name = f"NCCL, rank {rank} of {world}"
            if result is None or "bars" not in result:
                verdicts.check(False, f"{name}: the job failed: {said[-1500:]}")
                continue
            verdicts.row(part="nccl", name=name, result=result)
            named = result["libraries"].split("\n")
            print(f"E1 {name}: {named}", flush=True)
            verdicts.check("libnccl" in result["libraries"],
                           f"{name}: its buffers carry its name: {named}")
            now = result["bars"]
            verdicts.check(abs(now["used"] - result["mem_get_info"]) <=
                           result["mem_get_info"] / 100,
                           f"{name}: used {mib(now['used'])} = torch "
                           f"{mib(now['reserved'])} + foreign "
                           f"{mib(now['foreign'])} + untracked "
                           f"{mib(now['untracked'])}; the device says "
                           f"{mib(result['mem_get_info'])} MiB")
    if torch.cuda.device_count() < 2:
        print("E6 2 ranks: not tried, there is one GPU", flush=True)


def history(verdicts, folder):
    plain, _ = run(folder, "history", None)
    result, said = run(folder, "history", ON)
    verdicts.check(plain is not None and result is not None and
                   plain["kinds"] == result["kinds"],
                   f"_record_memory_history: {result and result['kinds']}, "
                   f"without invact {plain and plain['kinds']} "
                   f"{'' if result else said}")


# --- cost ----------------------------------------------------------------------

def cost(verdicts, folder):
    ways = {"without invact": None, "observe": OBSERVE, "events": EVENTS,
            "cupti": ON, "sources": SOURCES}
    seconds = {way: [] for way in ways}
    used, pairs = {way: [] for way in ways}, {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, invact in ways.items():
            result, said = run(folder, "cost", invact)
            if result is None:
                verdicts.check(False, f"cost {way}: the job failed: {said}")
                continue
            seconds[way].append(statistics.median(result["seconds"]))
            used[way].append(result["used"])
            pairs[way].append(statistics.median(result["pairs"])
                              if result["pairs"] else 0)
            if way == "cupti":
                counted = result["memory"] or {}
    if not all(seconds.values()):
        return
    print(f"     cost: CUPTI's counts of the last job: {counted}", flush=True)
    for way in ways:
        print(f"E5 {way}: step {statistics.median(seconds[way]) * 1e3:.3f} ms "
              f"(rounds {[round(s * 1e3, 3) for s in seconds[way]]}), "
              f"cudaMalloc + cudaFree {statistics.median(pairs[way]) / 1e3:.1f}"
              f" us, device used {mib(statistics.median(used[way]))} MiB",
              flush=True)
        verdicts.row(part="cost", way=way, seconds=seconds[way],
                     used=used[way], pairs=pairs[way])
    for way in ("cupti", "sources"):
        ratios = [got / base for got, base in
                  zip(seconds[way], seconds["observe"])]
        verdicts.check(
            statistics.median(ratios) <= 1.005 or
            min(seconds[way]) <= 1.005 * min(seconds["observe"]),
            f"cost of a step, {way} over observe, paired: "
            f"{(statistics.median(ratios) - 1) * 100:+.2f} % (rounds "
            f"{[round((r - 1) * 100, 2) for r in ratios]})")
        more = statistics.median(used[way]) - statistics.median(
            used["without invact"])
        verdicts.check(more < 64 * MIB,
                       f"device memory added by {way}: {mib(more)} MiB")


# --- doors, other tools, a killed job ------------------------------------------

def doors(verdicts, folder):
    door = {"LD_PRELOAD": None,
            "CUDA_INJECTION64_PATH": str(support.PRELOAD)}
    result, said = run(folder, "plain", ON, more=door)
    records = (result or {}).get("marks", {}).get("trained", {}).get("records")
    print(f"E2 CUDA_INJECTION64_PATH alone: records {records}, said "
          f"{ours(said)[:3]}", flush=True)
    verdicts.check(result is not None and bool(records or ours(said)),
                   f"CUDA_INJECTION64_PATH alone: {records} records, or a line "
                   f"that says why not {'' if result else said}")
    missing = {"CUDA_INJECTION64_PATH": "/nonexistent/libother_tool.so"}
    result, said = run(folder, "plain", ON, more=missing)
    print(f"E2 an injection library that is not there: the job "
          f"{'ran' if result else 'failed: ' + said[-300:]}", flush=True)
    verdicts.check("belongs to libother_tool.so" in said or result is None,
                   f"another injector: CUPTI is off and it is said: "
                   f"{[line for line in ours(said) if 'CUPTI' in line]}")
    if result is not None:
        verdicts.check(result["marks"]["trained"]["records"] == 0,
                       "another injector: CUPTI was not started")
    for tool in ("nsys", "ncu"):
        path = shutil.which(tool)
        if path is None:
            print(f"E3 {tool}: not on this machine", flush=True)
            continue
        arguments = {"nsys": ["profile", "-o", f"{folder}/nsys", "-f", "true"],
                     "ncu": ["--launch-count", "1"]}[tool]
        done = subprocess.run(
            [path, *arguments, sys.executable, HERE / "cupti_job.py", "plain"],
            env=environment(folder, ON), text=True, capture_output=True,
            timeout=180)
        lines = [line for line in (done.stdout + done.stderr).splitlines()
                 if line.startswith("invact: ") and "CUPTI" in line]
        print(f"E3 {tool}: exit {done.returncode}, said {lines}", flush=True)
        verdicts.check(any("CUPTI is off" in line for line in lines),
                       f"{tool}: CUPTI is off and it is said: {lines}")


def killed(verdicts, folder):
    path = os.path.join(folder, "killed.invmem")
    process = subprocess.Popen(
        [sys.executable, HERE / "cupti_job.py", "killed"],
        env=environment(folder, {**ON, "INVACT_EVENTS": f"file:{path}"}),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    line = process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = subprocess.run([REPLAY, path], text=True, capture_output=True,
                          timeout=60)
    first = done.stdout.splitlines()[0] if done.stdout else "{}"
    print(f"E6 after SIGKILL: {first[:300]}", flush=True)
    verdicts.check(line.startswith("RESULTS") and done.returncode == 0,
                   f"a killed job leaves its events: {done.stderr}")
    size, used, cupti = os.path.getsize(path) - 64, 0, 0
    with open(path, "rb") as file:
        data = file.read()[64:]
    names = kinds()
    for at in range(0, size - 47, 48):
        name = names.get(data[at + 40], "")
        if not name:
            break
        used += name == "device_used"
        cupti += name in ("cupti_alloc", "cupti_free")
    verdicts.check(used >= 4 and cupti >= 1,
                   f"and in them {used} samples of the device and {cupti} "
                   "records of CUPTI")


def kinds():
    """Number of an event's kind -> name, by proto/codes.h."""
    import re
    text = (support.ROOT / "proto" / "codes.h").read_text(encoding="utf-8")
    table = re.search(r"#define INVACT_EVENTS\(X\)(.*?)\n\n", text, re.S)[1]
    return dict(enumerate(re.findall(r'X\("(\w+)"', table), start=1))


PARTS = {"profile": profile, "residual": residual, "nccl": nccl,
         "history": history, "doors": doors, "killed": killed, "cost": cost}


def main():
    support.require_gpu()
    verdicts = support.Verdicts("cupti")
    with tempfile.TemporaryDirectory(prefix="ivc", dir="/tmp") as folder:
        for name in sys.argv[1:] or PARTS:
            print(f"-- {name}", flush=True)
            try:
                PARTS[name](verdicts, folder)
            except Exception:  # the other parts are judged all the same
                verdicts.check(False, f"{name}: {traceback.format_exc()}")
    verdicts.finish()


if __name__ == "__main__":
    main()
