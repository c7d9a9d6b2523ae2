"""The scripts refuse wrong use and say all that is missing at once."""

import os
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SETUP = os.path.join(ROOT, "scripts", "setup")


def run(*command, **environment):
    return subprocess.run(command, text=True, capture_output=True, timeout=60,
                          env=dict(os.environ, **environment), check=False)


@pytest.mark.parametrize("script", ["setup", "test", "demo"])
def test_help_names_every_option_and_exits_0(script):
    result = run(os.path.join(ROOT, "scripts", script), "--help")

    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: scripts/{script}")
    assert "--torch" in result.stdout and "--python" in result.stdout


@pytest.mark.parametrize("script", ["setup", "test", "demo"])
@pytest.mark.parametrize("arguments, word", [
    (["--nonsense"], "--nonsense"),
    (["--torch"], "needs a value"),
    (["--torch", "2.11"], "full version"),
    (["--python", "/no/such/python"], "/no/such/python"),
])
def test_wrong_use_exits_2_and_names_it(script, arguments, word):
    result = run(os.path.join(ROOT, "scripts", script), *arguments)

    assert result.returncode == 2
    assert word in result.stderr


def test_without_root_all_that_is_missing_is_one_message(tmp_path):
    for tool in ("bash", "cat", "dirname", "grep", "sed", "sort", "head",
                 "printf", "g++", "pkg-config", "as", "ld", "env"):
        os.symlink(shutil.which(tool), tmp_path / tool)
    fake_id = tmp_path / "id"
    fake_id.write_text("#!/bin/sh\necho 1000\n")
    fake_id.chmod(0o755)

    result = run(shutil.which("bash"), SETUP, "--quick", "--no-build",
                 PATH=str(tmp_path))

    assert result.returncode == 2
    for missing in ("program cmake", "program ninja", "program protoc",
                    "program grpc_cpp_plugin"):
        assert missing in result.stderr
    assert result.stderr.count("missing on this machine") == 1
    assert "apt-get install" in result.stderr
    assert "CMAKE_PREFIX_PATH" in result.stderr


def test_each_skip_is_listed_with_its_reason(tmp_path):
    log = tmp_path / "LastTest.log"
    log.write_text("""3/4 Testing: kernels_cuda_test
Output:
[ RUN      ] Kernels/All.Gradient/0
harness.cc:12: Skipped
no CUDA device here

[  SKIPPED ] Kernels/All.Gradient/0 (0 ms)
[ RUN      ] Kernels/All.Gradient/1
harness.cc:12: Skipped
no CUDA device here
[  SKIPPED ] Kernels/All.Gradient/1 (0 ms)
4/5 Testing: gpu.attach
SKIPPED [3] tests/gpu/attach_test.py:12: no CUDA device: none here
3 skipped in 0.02s
5/5 Testing: gpu.models
skipped: no CUDA device
""")

    result = run("python3", os.path.join(ROOT, "scripts", "list_skips.py"),
                 str(log))

    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["3", "gpu.attach: no CUDA device: none here"],
        ["1", "gpu.models: no CUDA device"],
        ["2", "kernels_cuda_test: no CUDA device here"]]


def test_losses_apart_by_more_than_a_per_cent_fail(tmp_path):
    compare = os.path.join(ROOT, "scripts", "compare_losses.py")
    (tmp_path / "a").write_text("step 1 loss 5.0\nfinal loss 2.0000\n")
    (tmp_path / "b").write_text("step 1 loss 5.0\nfinal loss 2.0100\n")
    (tmp_path / "c").write_text("step 1 loss 2.0\nfinal loss 2.0500\n")

    near = run("python3", compare, str(tmp_path / "a"), str(tmp_path / "b"))
    far = run("python3", compare, str(tmp_path / "a"), str(tmp_path / "c"))

    assert near.returncode == 0 and "0.5000 %" in near.stdout
    assert far.returncode == 1 and "2.5000 %" in far.stdout
