"""invact doctor and version."""

import json
import os
import subprocess
import sys

import pytest

from place import BIN, LIBRARY

NAMES = ["state_dir", "spool_dir", "socket", "invactd", "daemon", "spools",
         "libinvact", "relay", "plugin", "preload", "gpu"]


def checks(place, *arguments, env=None):
    done = place("doctor", "--json", *arguments, env=env)
    assert done.stderr == ""
    out = json.loads(done.stdout)
    assert out["schema"] == "invact.doctor/v1"
    failed = any(c["status"] == "fail" for c in out["checks"])
    assert done.returncode == (1 if failed else 0)
    return {c["name"]: c for c in out["checks"]}


def test_every_check_says_what_it_saw(place):
    found = checks(place)
    assert list(found) == NAMES
    assert str(place.state) in found["state_dir"]["detail"]
    assert "free" in found["state_dir"]["detail"]
    assert str(place.state / "spool") in found["spool_dir"]["detail"]
    assert str(place.socket) in found["socket"]["detail"]
    assert found["daemon"]["status"] == "ok"
    assert "none runs" in found["daemon"]["detail"]
    assert found["libinvact"]["detail"] == str(LIBRARY)
    assert found["preload"]["status"] == "ok"
    # To look is not to touch.
    assert not place.answers() and not place.state.exists()
    for name in NAMES:
        if found[name]["status"] == "ok":
            assert found[name]["fix"] is None
        else:
            assert found[name]["fix"], found[name]


def test_text_has_a_line_a_check_and_a_fix_below(place):
    place.state.mkdir(mode=0o700)
    place.state.chmod(0o755)
    done = place("doctor")
    assert done.returncode == 1
    for name in NAMES:
        assert f" {name} " in done.stdout, name
    assert f"fix: chmod 700 {place.state}" in done.stdout


def test_a_running_daemon_is_described(place):
    place.ok("daemon", "start")
    found = checks(place)["daemon"]
    assert str(place.daemon_pid()) in found["detail"]


def test_what_is_wrong_comes_with_what_repairs_it(place):
    def one(name, env):
        found = checks(place, env=env)[name]
        assert found["status"] == "fail", found
        return found["detail"], found["fix"]

    detail, fix = one("socket", {"INVACT_DAEMON": "unix:/" + "x" * 200})
    assert "107" in detail and "INVACT_DAEMON" in fix
    detail, fix = one("daemon", {"INVACT_DAEMON": "127.0.0.1:1"})
    assert "127.0.0.1:1" in detail and "unset" in fix
    detail, fix = one("state_dir", {"INVACT_STATE_DIR": "/proc/nowhere"})
    assert "/proc" in detail and "INVACT_STATE_DIR" in fix
    file = place.folder / "file"
    file.write_text("")
    detail, fix = one("spool_dir", {"INVACT_SPOOL_DIR": str(file)})
    assert str(file) in detail and "INVACT_SPOOL_DIR" in fix or "rm" in fix
    detail, _ = one("state_dir", {"INVACT_STATE_DIR": None, "HOME": None})
    assert "HOME" in detail


def test_another_user_s_folder_fails(place):
    if os.geteuid() != 0:
        pytest.skip("needs root to give a folder away")
    place.state.mkdir(mode=0o700)
    os.chown(place.state, 65534, 65534)
    found = checks(place)["state_dir"]
    assert found["status"] == "fail" and "uid 65534" in found["detail"]


def test_spools_that_wait_are_counted(place):
    spool = place.state / "spool" / ("a" * 16)
    spool.mkdir(parents=True, mode=0o700)
    for folder in place.state, place.state / "spool":
        folder.chmod(0o700)
    (spool / "0000000000000001.spool").write_bytes(b"x" * 2048)
    found = checks(place)["spools"]
    assert found["status"] == "warn"
    assert "1 run waits" in found["detail"] and "2 KiB" in found["detail"]


def test_the_plugin_is_looked_up_for_the_given_python(place):
    site = place.folder / "site"
    (site / "torch").mkdir(parents=True)
    (site / "torch" / "__init__.py").write_text("raise SystemExit(9)")
    version = site / "torch" / "version.py"
    env = {"PYTHONPATH": str(site)}

    version.write_text("__version__ = '1.13.1+cpu'\n")
    found = checks(place, "--python", sys.executable, env=env)["plugin"]
    assert found["status"] == "fail"
    assert "1.13.1+cpu" in found["detail"] and sys.executable in found["detail"]
    assert "scripts/setup --torch 1.13.1" in found["fix"]

    missing = checks(place, "--python", "/no/python")["plugin"]
    assert missing["status"] == "fail" and "/no/python" in missing["detail"]


def test_the_plugin_of_a_version_is_found_by_major_and_minor(place):
    for folder in "bin", "lib", "site/torch":
        (place.folder / "root" / folder).mkdir(parents=True)
    root = place.folder / "root"
    for program in "invact", "invactd":
        subprocess.run(["cp", BIN / program, root / "bin"], check=True)
    subprocess.run(["cp", LIBRARY, root / "lib"], check=True)
    plugin = root / "lib" / "libinvact-torch2.11.so"
    plugin.write_text("")
    (root / "site/torch/__init__.py").write_text("")
    (root / "site/torch/version.py").write_text(
        "from typing import Optional\n__version__ = '2.11.4+cu130'\n")
    env = place.environment(PYTHONPATH=str(root / "site"))

    out = subprocess.run([root / "bin/invact", "doctor", "--python",
                          sys.executable], env=env, capture_output=True,
                         text=True, timeout=60).stdout
    line = next(x for x in out.splitlines() if " plugin " in x)
    assert line.startswith("ok") and str(plugin) in line
    # No relay was copied.
    relay = next(x for x in out.splitlines() if " relay " in x)
    assert relay.startswith("fail") and str(root / "bin/invact-relay") in relay

    out = subprocess.run([root / "bin/invact", "version"], env=env, text=True,
                         capture_output=True, timeout=60).stdout
    assert "torch 2.11 in " in out


def test_version_starts_no_daemon(place):
    version = place.json("version")
    assert version["schema"] == "invact.version/v1"
    assert version["protocol"] == "1.4" and version["database"] >= 1
    assert place.ok("--version") == f"invact {version['version']}\n"
    assert f"invact {version['version']}\n" in place.ok("version")
    assert not place.answers()


@pytest.mark.parametrize("verb", [
    "", "run", "env", "daemon", "ls", "report", "diff", "check",
    "kernels", "watch", "export", "rm", "doctor", "version"])
def test_help_comes_on_stdout_and_needs_nothing(place, verb):
    out = place.ok(*verb.split(), "--help")
    assert "Usage: invact" in out
    assert not place.answers()
    assert all(len(line) <= 80 for line in out.splitlines()), out
