"""Trains an unmodified job under `invert` and reads its report.

Fails unless the report is of that torch version, complete, and shows more than
a fifth of the activations eliminated.

usage: attached_job.py BUILD_DIR TORCH_VERSION
"""

import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def invact(build, state, *arguments):
    """Runs the command line with a state of its own; returns its stdout."""
    environment = dict(os.environ, INVACT_STATE_DIR=state,
                       XDG_RUNTIME_DIR=os.path.join(state, "runtime"))
    return subprocess.run(
        [os.path.join(build, "bin", "invact"), *arguments], env=environment,
        check=True, text=True, stdout=subprocess.PIPE, timeout=600).stdout


def check(report, version):
    """What is wrong with the report of the job."""
    errors = []
    run, saved = report["run"], report["saved"]
    if not run["torch_version"].startswith(version):
        errors.append(f"it ran on torch {run['torch_version']}")
    if run["state"] != "finished":
        errors.append(f"its run is {run['state']}")
    if not report["step"]["complete"]:
        errors.append("no step was completed")
    if not saved["eliminated_fraction"] > 0.2:
        errors.append(f"it eliminated only {saved['eliminated_fraction']}")
    return errors


def main():
    build, version = sys.argv[1:]
    job = [sys.executable, os.path.join(ROOT, "examples", "train_lm.py"),
           "--mlp", "gelu", "--steps", "5"]
    with tempfile.TemporaryDirectory() as state:
        os.mkdir(os.path.join(state, "runtime"), 0o700)
        try:
            print(invact(build, state, "run", "--policy", "invert", "--", *job))
            print(invact(build, state, "report", "@last"))
            report = json.loads(
                invact(build, state, "report", "@last", "--json"))
        finally:
            invact(build, state, "daemon", "stop")
    errors = check(report, version)
    for error in errors:
        print(f"attached job on torch {version}: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
