#!/usr/bin/env python3
"""Starts bench_models.py attached, and takes its exit code."""
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import support  # noqa: E402

support.require_gpu()
environment = {key: value for key, value in os.environ.items()
               if not key.startswith("INVACT_")}
environment.update(LD_PRELOAD=str(support.PRELOAD), INVACT_POLICY="auto",
                   HF_HUB_OFFLINE="1")
sys.exit(subprocess.run(
    [sys.executable, HERE / "bench_models.py", *sys.argv[1:]],
    env=environment, check=False).returncode)
