"""Fails where an installed prefix does not work after it was moved.

Installs the build into a temporary folder, renames it, then looks at every
named file: it is there, it names no folder of the build or of this machine to
search for libraries, and the programs start. Where the plugin is among them, a
small torch job under the moved `invact run` becomes a finished run.

usage: check_install.py CMAKE BUILD_DIR FILE_NAME...
"""

import json
import os
import re
import subprocess
import sys
import tempfile

from source_files import report


def search_paths(file):
    """The library search path entries that a file carries."""
    out = subprocess.run(["readelf", "-d", file], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    found = re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", out)
    return [entry for value in found for entry in value.split(":") if entry]


def check_prefix(prefix, names):
    errors = []
    for name in names:
        folder = "lib" if ".so" in name else "bin"
        file = os.path.join(prefix, folder, name)
        if not os.path.exists(file):
            errors.append(f"{folder}/{name} was not installed")
            continue
        for entry in search_paths(file):
            if not entry.startswith("$ORIGIN"):
                errors.append(f"{folder}/{name} searches {entry}, which is not "
                              "relative to itself")
        if folder == "bin":
            run = subprocess.run([file, "--help"], text=True,
                                 stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, timeout=30)
            if run.returncode != 0:
                errors.append(f"bin/{name} --help ends with {run.returncode}: "
                              f"{run.stdout}")
    return errors


JOB = """
import torch
y = torch.nn.functional.gelu(torch.nn.Linear(64, 64)(torch.ones(32, 64)))
y.sum().backward()
"""


def check_attached_job(prefix, state):
    """Runs a job under the installed programs and looks for its run."""
    os.mkdir(state, mode=0o700)
    os.mkdir(os.path.join(state, "runtime"), mode=0o700)
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith("INVACT_")}
    environment.update(INVACT_STATE_DIR=state,
                       XDG_RUNTIME_DIR=os.path.join(state, "runtime"))

    def invact(*arguments):
        return subprocess.run(
            [os.path.join(prefix, "bin", "invact"), *arguments],
            env=environment, text=True, capture_output=True, timeout=120)

    try:
        job = invact("run", "--", sys.executable, "-c", JOB)
        if job.returncode != 0:
            return [f"invact run ends with {job.returncode}: {job.stderr}"]
        listed = invact("ls", "--json")
        if listed.returncode != 0:
            return [f"invact ls ends with {listed.returncode}: {listed.stderr}"
                    f"; the job said: {job.stderr}"]
        states = [run["state"] for run in json.loads(listed.stdout)["runs"]]
        if states != ["finished"]:
            return [f"a job under invact run left runs {states}, not one that "
                    f"is finished; it said: {job.stderr}"]
    finally:
        invact("daemon", "stop")
    return []


def main():
    cmake, build, *names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        before = os.path.join(folder, "before")
        after = os.path.join(folder, "after")
        subprocess.run([cmake, "--install", build, "--prefix", before],
                       check=True, stdout=subprocess.DEVNULL)
        os.rename(before, after)
        errors = check_prefix(after, names)
        if not errors and any("torch" in name for name in names):
            errors = check_attached_job(after, os.path.join(folder, "state"))
        return report(errors)


if __name__ == "__main__":
    sys.exit(main())
