#!/usr/bin/env python3
"""A GPU job comes by either door, or by both, and is attached once.

CUDA_INJECTION64_PATH is opened by the real driver inside cuInit, with torch
imported before or after; LD_PRELOAD starts nothing of CUDA's. The C++ example
is tried where it is built and its libraries are found.
With OUT set writes $OUT/doors.json. usage: open_doors.py
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402

DOORS = {"injection": ("CUDA_INJECTION64_PATH",), "preload": ("LD_PRELOAD",),
         "both": ("CUDA_INJECTION64_PATH", "LD_PRELOAD"), "none": ()}
EXAMPLE = support.BUILD / "bin" / "invact_example_cpp"


class Job:
    def __init__(self, folder, command, doors, **extra):
        kept = {key: value for key, value in os.environ.items()
                if not key.startswith("INVACT_") and
                key not in DOORS["both"]}
        kept.update({door: str(support.PRELOAD) for door in DOORS[doors]},
                    INVACT_STATE_DIR=str(folder), INVACT_POLICY="observe",
                    **extra)
        self.ledger = pathlib.Path(tempfile.mktemp(dir=folder))
        kept["INVACT_LOG"] = f"ledger:{self.ledger}"
        done = subprocess.run(list(map(str, command)), env=kept, text=True,
                              capture_output=True, timeout=120, check=False)
        self.returncode, self.stdout = done.returncode, done.stdout
        self.lines = [line for line in done.stderr.splitlines()
                      if line.startswith("invact: ")]
        self.stderr = done.stderr

    def scopes(self):
        if not self.ledger.exists():
            return set()
        with open(self.ledger, encoding="utf-8") as file:
            entries = [json.loads(line) for line in file]
        return {e["scope"] for e in entries if e["e"] == "pack"}

    def attached_once(self):
        return (self.returncode == 0 and len(self.lines) == 2 and
                ", policy observe" in self.lines[0] and
                " saved " in self.lines[1])


def main():
    support.require_gpu()
    verdicts = support.Verdicts("doors")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)

        def python(order, doors):
            job = Job(folder, [sys.executable, HERE / "door_job.py", order],
                      doors)
            if job.returncode != 0:
                print(job.stderr[-2000:])
            return job

        plain = python("torch-first", "none")
        verdicts.check(plain.returncode == 0 and plain.lines == [],
                       "without a door nothing is said")
        verdicts.check(python("fork", "none").stdout == plain.stdout,
                       "without a door a forked child may use the GPU")
        for order, doors in (
                ("torch-first", "injection"), ("cuda-first", "injection"),
                ("thread", "injection"), ("torch-first", "both"),
                ("cuda-first", "preload"), ("fork", "preload")):
            job = python(order, doors)
            verdicts.check(job.attached_once(), f"{order} by {doors}: one run")
            verdicts.check({"", "0", "1", "2"} <= job.scopes(),
                           f"{order} by {doors}: modules have their names")
            verdicts.check(job.stdout == plain.stdout,
                           f"{order} by {doors}: the losses are equal")
        if EXAMPLE.exists():
            import torch
            library = os.path.join(torch.__path__[0], "lib")
            command = [EXAMPLE, "--device", "cuda", "--steps", "3", "--text",
                       os.path.dirname(os.__file__)]
            for doors in ("none", "injection", "preload"):
                job = Job(folder, command, doors, LD_LIBRARY_PATH=library)
                verdicts.check(
                    job.attached_once() if doors != "none" else
                    job.returncode == 0 and job.lines == [],
                    f"C++ by {doors}" + ("" if job.returncode == 0 else
                                         f": {job.stderr[-300:]}"))
        else:
            print(f"not built, left out: {EXAMPLE}")
    verdicts.finish()


if __name__ == "__main__":
    main()
