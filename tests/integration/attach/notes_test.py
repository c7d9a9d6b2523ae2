"""What a job is told on stderr is found again in its report."""

import job

JOB = """
import torch
from torch import nn
model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))
for _ in range(2):
    model(torch.randn(4, 8)).sum().backward()
"""


def test_trouble_said_on_stderr_is_a_warning_of_the_report(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(JOB)
    state = tmp_path / "place"
    state.mkdir()
    with job.workplace(state) as place:
        done = place.attached(script, env={
            "INVACT_KERNELS": "/nowhere/libmine.so"}).check()
        report = place.report(done)

    said = [line for line in done.stderr.splitlines()
            if "/nowhere/libmine.so" in line]
    assert len(said) == 1
    assert said[0].removeprefix("invact: ") in report["warnings"]
    assert report["run"]["device"] == "cpu"
