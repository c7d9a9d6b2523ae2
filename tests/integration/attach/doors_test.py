"""Every door through which a job comes, and only torch's start comes through
the one that Python opens."""

import json

import pytest

from attach_support import (
    JOBS, PRELOAD, both_at_once, fake_install, scopes_by_step)

OTHERS = PRELOAD.parents[1] / "tests"


@pytest.mark.parametrize("order", ["after-torch", "before-torch"])
def test_cuda_s_door_starts_a_python_job(place, order):
    door = place.attached(JOBS / "injected.py", order, PRELOAD, preload="",
                          policy="observe", ledger=True)

    assert door.answer["answers"] == [1]
    assert len(door.starts) == len(door.ends) == 1
    # Modules have their names, so Python's side was reached as well.
    assert "1" in scopes_by_step(door.entries())[1]


def test_torch_imported_by_two_threads_at_once_starts_one_run(place):
    done = place.attached(JOBS / "imported_in_threads.py", policy="observe",
                          ledger=True)

    assert done.answer["same"]
    assert len(done.starts) == len(done.ends) == 1
    assert "1" in scopes_by_step(done.entries())[1]


def test_initmodule_of_other_extensions_is_their_own(place):
    def load(first, second):
        return lambda: place.attached(JOBS / "other_module.py", first, second,
                                      OTHERS, policy="observe")

    for done in both_at_once(load("invact_other_jumps", "invact_other_calls"),
                             load("invact_other_calls", "invact_other_jumps")):
        assert done.answer["made"] == [True, True]
        assert len(done.starts) == 1
        assert done.own_stderr == []


def test_a_relative_path_and_a_link_find_the_plugin_after_chdir(place):
    lib = fake_install(place.folder / "moved").parent
    link = place.folder / "link.so"
    link.symlink_to(lib / PRELOAD.name)
    script = ("import os, json; os.chdir('/'); import tiny; "
              "print(json.dumps(tiny.train(1)))")

    def run(preload):
        return lambda: place.attached(
            "-c", script, preload=preload, policy="observe", cwd=lib.parent,
            env={"PYTHONPATH": str(JOBS)})

    for done in both_at_once(run("lib/libinvact.so"), run(link)):
        assert json.loads(done.stdout)["losses"]
        assert len(done.starts) == 1, done.stderr
