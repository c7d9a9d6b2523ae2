#!/usr/bin/env python3
"""The same training job plain, observed and inverted on a GPU.

observe must leave every loss and gradient bit-equal; invert must leave the
first forward bit-equal, gradients within rounding, and break nothing. A second
plain run shows that the job itself repeats. With OUT set writes $OUT/jobs.json.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402

TIMEOUT = 150  # seconds, for all jobs together: they run side by side
# Norm of the difference / norm of the gradient, largest over the parameters.
# A layer's bf16 gradients are themselves off by about 4e-3.
BOUND = {"fp32": 2e-4, "bf16": 2e-2, "fp16": 4e-3}
BOUND_OF = {"gelu_bf16": "bf16", "gelu_tanh_bf16": "bf16",
            "silu_gated_bf16": "bf16", "gelu_fp16": "fp16",
            "autocast": "bf16", "scaled_fp16": "fp16"}
# What invert has to gain something in; the others may be declined:
# checkpointing and save_on_cpu are the job's own.
SERVED = {"gelu_fp32", "gelu_bf16", "gelu_fp16", "gelu_tanh_bf16",
          "silu_gated_bf16", "channels_last", "autocast", "scaled_fp16",
          "retain_graph", "side_stream"}
EXACT = {"gelu_fp64", "save_on_cpu", "compiled"}  # left to PyTorch: bit-equal


def environment(**extra):
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith("INVACT_") and key not in
            ("LD_PRELOAD", "CUDA_INJECTION64_PATH")}
    return {**kept, "CUBLAS_WORKSPACE_CONFIG": ":4096:8", **extra}


class Job:
    """A started job, and what it printed once it is done."""

    def __init__(self, folder, name, *arguments, script="train_cases.py",
                 **extra):
        self.gradients_file = folder / f"{name}.pt"
        arguments = arguments if script != "train_cases.py" else (
            self.gradients_file, *arguments)
        extra.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / name))
        self.process = subprocess.Popen(
            [sys.executable, HERE / script, *map(str, arguments)],
            env=environment(INVACT_STATE_DIR=str(folder / "state"), **extra),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self, deadline):
        try:
            self.stdout, self.stderr = self.process.communicate(
                timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.stdout, self.stderr = self.process.communicate()
            self.stderr += f"\nkilled after {TIMEOUT} s"
        self.results = {}
        for line in self.stdout.splitlines():
            if line.startswith("RESULTS "):
                self.results = json.loads(line[8:])
        self.gradients = (torch.load(self.gradients_file)
                          if self.gradients_file.exists() else {})
        return self


def attached(policy):
    return {"LD_PRELOAD": str(support.PRELOAD), "INVACT_POLICY": policy}


def distance(plain, other):
    """Largest relative difference of a parameter's gradient; inf for NaN. A
    gradient that is zero but for rounding (a bias before a BatchNorm) is set
    against the size of the others."""
    norms = [tensor.double().norm().item() for tensor in plain.values()]
    least = 1e-3 * max(norms)
    worst = 0.0
    for (name, truth), norm in zip(plain.items(), norms):
        difference = other[name].double() - truth.double()
        value = difference.norm().item() / max(norm, least)
        worst = max(worst, value if value == value else float("inf"))
    return worst


def judge_case(verdicts, name, plain, control, observed, inverted):
    for job, what in ((plain, "plain"), (control, "plain again"),
                      (observed, "observe"), (inverted, "invert")):
        result = job.results.get(name, {"error": "no result\n" +
                                        job.stderr[-1500:]})
        if "error" in result:
            verdicts.check(False, f"{name}: {what} failed: {result['error']}")
            return
    same = [job.results[name][key] == plain.results[name][key]
            for job in (control, observed) for key in ("losses", "digest")]
    verdicts.check(all(same[:2]), f"{name}: the plain job repeats itself")
    verdicts.check(all(same[2:]), f"{name}: observe is bit-equal")
    result = inverted.results[name]
    losses = [float.fromhex(x) for x in result["losses"]]
    truths = [float.fromhex(x) for x in plain.results[name]["losses"]]
    off = max(abs(a / b - 1) for a, b in zip(losses, truths))
    far = distance(plain.gradients[name], inverted.gradients[name])
    verdicts.row(case=name, gradient_distance=far, loss_distance=off,
                 eliminated=result["eliminated"] if name in SERVED else None)
    if name in EXACT:
        verdicts.check(result["losses"] == plain.results[name]["losses"],
                       f"{name}: invert leaves it to PyTorch, bit-equal")
        return
    verdicts.check(losses[0] == truths[0],
                   f"{name}: the first loss under invert is bit-equal")
    bound = BOUND[BOUND_OF.get(name, "fp32")]
    verdicts.check(far <= bound and off <= 1e-2,
                   f"{name}: invert's gradients are {far:.2e} off (at most "
                   f"{bound:.0e}), losses {off:.1e}")
    if name in SERVED:
        verdicts.check(
            result["eliminated"] > 0 and
            result["baseline"] == observed.results[name]["baseline"],
            f"{name}: invert eliminates {result['eliminated']} of "
            f"{result['baseline']} bytes")


def judge_door(verdicts, door, plain):
    result = door.results.get("gelu_fp32", {})
    verdicts.check("invact: run" in door.stderr and
                   result.get("eliminated", 0) > 0,
                   "CUDA_INJECTION64_PATH attaches: " +
                   " | ".join(door.stderr.splitlines()[-2:]))
    verdicts.check(result.get("losses", [0])[0] ==
                   plain.results["gelu_fp32"]["losses"][0],
                   "CUDA_INJECTION64_PATH: the first loss is bit-equal")


def judge_oom_report(verdicts, folder):
    """What the report says of a job that an out-of-memory ended."""
    cli = support.BUILD / "bin" / "invact"
    if not cli.exists():
        print(f"not run: the report after an out-of-memory, no {cli}")
        return
    (folder / "runtime").mkdir(mode=0o700)
    settings = environment(INVACT_STATE_DIR=str(folder / "state"),
                           XDG_RUNTIME_DIR=str(folder / "runtime"))

    def invact(*arguments):
        return subprocess.run([cli, *arguments], env=settings, text=True,
                              capture_output=True, timeout=60, check=False)

    job = invact("run", "--name", "oom", "--", sys.executable,
                 str(HERE / "memory_job.py"), "die")
    report = invact("report", "oom")
    invact("daemon", "stop")
    verdicts.check(job.returncode == 1 and
                   "Out of memory in forward of step 0" in report.stdout,
                   "report after an out-of-memory: " +
                   (report.stdout or report.stderr or job.stderr)[:300])


def main():
    support.require_gpu()
    verdicts = support.Verdicts("jobs")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        deadline = time.monotonic() + TIMEOUT
        every = [Job(folder, "plain"), Job(folder, "control"),
                 Job(folder, "observe", **attached("observe")),
                 Job(folder, "invert", **attached("invert")),
                 # The kernels' first launch lies inside a capture.
                 Job(folder, "cold", "graph", JOB_WARM_UP="0",
                     **attached("invert")),
                 Job(folder, "cold_plain", "graph", JOB_WARM_UP="0"),
                 Job(folder, "door", "gelu_fp32", CUDA_INJECTION64_PATH=str(
                     support.PRELOAD)),
                 Job(folder, "guest", script="guest_job.py",
                     **attached("invert")),
                 Job(folder, "guest_plain", script="guest_job.py"),
                 Job(folder, "memory", script="memory_job.py",
                     **attached("invert"))]
        (plain, control, observed, inverted, cold, cold_plain, door, guest,
         guest_plain, memory) = (job.wait(deadline) for job in every)
        judge_oom_report(verdicts, folder)
    sys.path.insert(0, str(HERE))
    import train_cases
    for name in train_cases.CASES:
        judge_case(verdicts, name, plain, control, observed, inverted)
    for job, what in ((cold_plain, "plain"), (cold, "attached")):
        result = job.results.get("graph", {"error": job.stderr[-1500:]})
        verdicts.check("error" not in result,
                       f"graph without warm-up, {what}: " +
                       result.get("error", "captured and replayed"))
    if plain.results:
        judge_door(verdicts, door, plain)
    for job, what in ((guest_plain, "plain"), (guest, "attached")):
        verdicts.check(job.process.returncode == 0,
                       "no CUDA context before the job's, other devices "
                       f"served, {what}: " +
                       (job.stdout.strip() or job.stderr[-800:]))
    verdicts.check(memory.process.returncode == 0,
                   "out of memory: " +
                   (memory.stdout.strip() or memory.stderr[-800:]))
    verdicts.finish()


if __name__ == "__main__":
    main()
