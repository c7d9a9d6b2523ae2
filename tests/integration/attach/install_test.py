"""Where something of invact is missing or broken the job runs plain, and one
line says why and what to do next."""

import shutil
import threading

import pytest

import job
from attach_support import JOBS, both_at_once, fake_install, plugin_name


def without_plugin(folder):
    return fake_install(folder, plugin=False)


def of_another_torch(folder):
    preload = fake_install(folder, plugin=False)
    shutil.copy(job.LIB / plugin_name(), preload.with_name(
        "libinvact-torch1.0.so"))
    return preload


def garbage(folder):
    preload = fake_install(folder, plugin=False)
    preload.with_name(plugin_name()).write_bytes(b"\x7fELF is all of it")
    return preload


def cut_off(folder):
    """As an interrupted copy leaves it: mapped, it would raise SIGBUS."""
    preload = fake_install(folder, plugin=False)
    whole = (job.LIB / plugin_name()).read_bytes()
    preload.with_name(plugin_name()).write_bytes(whole[:200_000])
    return preload


def another_library(folder):
    preload = fake_install(folder, plugin=False)
    shutil.copy(job.PRELOAD, preload.with_name(plugin_name()))
    return preload


def without_relay(folder):
    return fake_install(folder, relay=False)


BROKEN = {
    without_plugin: ("no plugin for torch ", "scripts/setup --torch "),
    of_another_torch: ("no plugin for torch ", "scripts/setup --torch "),
    garbage: ("is not a whole library", "install invact again"),
    cut_off: ("is not a whole library", "install invact again"),
    another_library: ("does not load", "invact doctor"),
    without_relay: ("no relay at ", "invact doctor"),
}


@pytest.fixture(scope="module")
def runs(place):
    def attached(breaks):
        preload = breaks(place.folder / breaks.__name__)
        return lambda: place.attached(JOBS / "train.py", "3", preload=preload)
    done = both_at_once(lambda: place.plain(JOBS / "train.py", "3"),
                        *[attached(breaks) for breaks in BROKEN])
    return dict(zip([None, *BROKEN], done))


@pytest.mark.parametrize("breaks", BROKEN)
def test_one_line_and_the_job_runs_plain(runs, breaks):
    plain, seen = runs[None], runs[breaks]

    assert len(seen.lines) == 1, seen.stderr
    what, next_step = BROKEN[breaks]
    assert what in seen.lines[0]
    assert next_step in seen.lines[0]
    assert "the job runs plain" in seen.lines[0]
    for fact in ("losses", "digest", "tasks", "descriptors"):
        assert seen.answer[fact] == plain.answer[fact], fact
    assert seen.own_stderr == plain.own_stderr


def test_the_line_is_said_once_though_every_worker_stands_there(place):
    """Spawned workers import torch; a server of forks without torch makes
    some that do; a launcher's agent does as well, and each of its ranks."""
    preload = without_plugin(place.folder / "once")
    workers, ranks = both_at_once(
        lambda: place.attached(JOBS / "workers.py", preload=preload),
        lambda: place.attached(
            "-m", "torch.distributed.run", "--standalone",
            "--nproc-per-node", "2", JOBS / "rank.py", preload=preload))

    assert workers.returncode == ranks.returncode == 0, ranks.stderr
    assert len(workers.lines) == 1, workers.stderr
    assert len(ranks.lines) == 1, ranks.stderr
