"""INVACT_DIGEST=1: each loss and each gradient of a real job is told as numpy
makes it out, what can't be told is named, and the job computes what it does
without it."""

import json
import pathlib
import sqlite3
import struct
import sys

import pytest

import job

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "daemon"))
JOB = HERE / "digest_job.py"


class Told:
    """What the daemon has of the runs: run name -> parameters and steps."""

    def __init__(self, place):
        # The messages as the daemon's reflection service describes them.
        import os
        os.environ.setdefault("INVACT_BIN_DIR", str(job.BIN))
        from support import Client
        self._client = Client(f"unix:{place.runtime}/invact/d.sock")
        self._message = self._client.message("StepDigests")
        self._database = place.folder / "state" / "invact.db"

    def close(self):
        self._client.close()

    def of(self, result):
        with sqlite3.connect(f"file:{self._database}?mode=ro", uri=True) as db:
            (pk,), = db.execute("SELECT pk FROM runs WHERE name = ?",
                                (result.name,))
            parameters = {number: (name, kind) for number, name, kind in
                          db.execute("SELECT id, name, type FROM parameters "
                                     "WHERE run = ?", (pk,))}
            blobs = db.execute("SELECT message FROM digests WHERE run = ? "
                               "ORDER BY step, pk", (pk,)).fetchall()
        return parameters, [self._message.FromString(blob) for blob, in blobs]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    with job.workplace(tmp_path_factory.mktemp("digest")) as place:
        told = Told(place)
        runs = {"plain": place.plain(JOB).check()}
        for how, env in (("digest", {"INVACT_DIGEST": "1"}), ("without", {})):
            runs[how] = place.attached(JOB, policy="observe", env=env).check()
            assert place.report(runs[how])["run"]["state"] == "finished"
            runs[f"{how}.told"] = told.of(runs[how])
        told.close()
        yield runs


def said(result):
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def steps(seen):
    """step -> losses, gradients and reasons by name, of the run that told."""
    parameters, messages = seen["digest.told"]
    out = {}
    for message in messages:
        step = out.setdefault(message.step, {
            "losses": {}, "gradients": {}, "unseen": {}, "total": None})
        for place, loss in zip(message.roots, message.losses):
            step["losses"][str(place)] = struct.unpack(
                "<Q", struct.pack("<d", loss))[0]
        for number, value in zip(message.parameters, message.gradients):
            step["gradients"][parameters[number][0]] = value
        for one in message.unseen:
            assert not one.loss, one
            step["unseen"][parameters[one.id][0]] = one.reason
        if message.HasField("total"):
            step["total"] = message.total
    return out


def test_each_gradient_has_the_digest_that_numpy_gives_it(seen, steps):
    expected = {index: step for index, step in
                enumerate(said(seen["digest"])["steps"]) if step is not None}

    assert set(steps) == set(expected)
    for index, want in expected.items():
        got = dict(steps[index]["gradients"])
        leaves = sorted(got.pop(name) for name in list(got)
                        if name.startswith("leaf "))
        assert got == want["gradients"], index
        assert leaves == want.get("leaves", []), index
    names = set(expected[0]["gradients"])
    assert {"embed.weight", "conv.weight", "wide.weight", "low", "small",
            "scale", "phase"} <= names
    assert not any(name.startswith(("head.", "unused.")) for name in names)
    assert "unused.weight" in expected[6]["gradients"]


def test_each_loss_is_told_to_the_bit(seen, steps):
    for index, want in enumerate(said(seen["digest"])["steps"]):
        if want is not None:
            assert steps[index]["losses"] == want["losses"], index


def test_what_has_no_digest_is_named_with_its_reason(seen, steps):
    for index, want in enumerate(said(seen["digest"])["steps"]):
        if want is not None:
            assert steps[index]["unseen"] == want["unseen"], index
    assert steps[0]["unseen"] == {"sparse.weight": "SPARSE"}


def test_each_step_says_how_much_it_told(steps):
    for step in steps.values():
        assert step["total"] == sum(
            len(step[kind]) for kind in ("losses", "gradients", "unseen"))


def test_parameters_are_told_with_type_and_shape(seen):
    parameters, _ = seen["digest.told"]
    kinds = dict(parameters.values())

    assert kinds["wide.weight"] == "float32[70001, 16]"
    assert kinds["low"] == "bfloat16[5, 7]"
    assert kinds["scale"] == "float64[]"


def test_the_job_computes_what_it_does_without(seen):
    states = {how: said(seen[how])["state"]
              for how in ("plain", "without", "digest")}

    assert len(set(states.values())) == 1, states
    assert said(seen["digest"])["steps"] == said(seen["plain"])["steps"]


def test_without_being_asked_nothing_is_told(seen):
    assert seen["without.told"] == ({}, [])
