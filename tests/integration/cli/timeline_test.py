"""Curves of single changes of device memory, from a relay's records to what
`invact timeline` prints."""

import struct

import grpc
import pytest

from place import Place, Relay

NONE = 0xffffffff
ALLOC, FREE, SEGMENT, GAP, LEVEL, LEVELS = 8, 9, 10, 15, 35, 36
PARAMETER, ACTIVATION, TEMPORARY, RESERVED = 1, 4, 7, 255
MIB = 1 << 20


def record(time, size, step, kind=ALLOC, category=TEMPORARY, scope=NONE,
           site=NONE, device=0):
    return struct.pack("<QQqIIIBBbB", time, 0x7f0000000000, size, scope, site,
                       step, kind, category, device, 0)


# What is alive after each: 4, 12, 8, 2 reserved, 6, 9, then 7 are lost, then
# one changes what is not known for sure, and levels say what there is.
TOLD = [
    record(1000, 4 * MIB, 0, category=PARAMETER),
    record(2000, 8 * MIB, 0, category=ACTIVATION, scope=1, site=2),
    record(3000, -4 * MIB, 0, FREE, category=PARAMETER),
    record(4000, 2 * MIB, 1, SEGMENT, category=RESERVED),
    record(5000, -2 * MIB, 1, FREE, category=ACTIVATION, scope=1, site=2),
    record(6000, 3 * MIB, 1, scope=1)]
LATER = [
    record(9000, 1 * MIB, 5),
    record(9001, 5 * MIB, 5, LEVEL, ACTIVATION, scope=1),
    record(9002, 5 * MIB, 5, LEVEL, ACTIVATION, scope=1, site=2),
    record(9003, 0, 5, LEVEL, TEMPORARY, scope=1),
    record(9004, 1 * MIB, 5, LEVEL, TEMPORARY),
    record(9005, 0, 5, LEVELS, 0),
    record(9006, 1 * MIB, 6)]


def send(relay, records, before, end=False):
    request = relay.batch()
    batch = request.batch
    if before == 0:
        batch.scopes.add(id=0, name="")
        batch.scopes.add(id=1, name="model.mlp")
        batch.sites.add(id=2, scope=1, pack_ordinal=3, op="GeluBackward0")
    batch.memory_records = b"".join(records)
    batch.memory_record_bytes = 40
    batch.memory_before = before
    if end:
        batch.end.state, batch.end.end_reason = "finished", "exit"
    relay.send(request)


@pytest.fixture(scope="module")
def told():
    place = Place()
    place.ok("daemon", "start")
    relay = Relay(place.client(), run_id="aaaa000000000001", minor=4)
    relay.welcome()
    relay.send_step(0)
    send(relay, TOLD, 0)
    send(relay, LATER, len(TOLD) + 7, end=True)
    relay.wait_ack()
    relay.finish()
    place.record(run_id="bbbb000000000001", name="quiet.py")
    yield place
    place.close()


def buckets(told, *options):
    shown = told.json("timeline", "aaaa", *options)
    assert shown["schema"] == "invact.timeline/v1"
    assert shown["run_id"] == "aaaa000000000001"
    return [bucket for device in shown["devices"]
            for bucket in device["buckets"]]


def alive(told, *options):
    return [bucket["last_bytes"] / MIB for bucket in buckets(told, *options)]


@pytest.mark.parametrize("options, expected", [
    ([], [4, 12, 8, 8, 6, 9, 6, 7]),
    (["--category", "parameter"], [4, 4, 0, 0, 0, 0, 0, 0]),
    (["--category", "activation"], [0, 8, 8, 8, 6, 6, 5, 5]),
    (["--category", "reserved"], [0, 0, 0, 2, 2, 2, 2, 2]),
    (["--layer", "model.mlp"], [0, 8, 8, 8, 6, 9, 5, 5]),
    (["--layer", "model.mlp", "--category", "temporary"],
     [0, 0, 0, 0, 0, 3, 0, 0]),
    (["--layer", "model.mlp", "--ordinal", "3"], [0, 8, 8, 8, 6, 6, 5, 5]),
    (["--no-layer"], [4, 4, 0, 0, 0, 0, 1, 2]),
    (["--layer", ""], [0] * 8),
    (["--steps", "0"], [4, 12, 8]),
    (["--steps", "1-1"], [8, 6, 9]),
    (["--steps", "1-4"], [8, 6, 9]),
    (["--steps", "6-"], [7]),
    (["--device", "1"], [])])
def test_each_curve_has_what_was_alive(told, options, expected):
    assert alive(told, *options) == expected


def test_few_buckets_keep_the_peak_and_say_where_changes_were_lost(told):
    one, = buckets(told, "--buckets", "1")
    assert (one["min_bytes"], one["max_bytes"], one["max_step"]) == (
        4 * MIB, 12 * MIB, 0)
    assert (one["first_step"], one["last_step"], one["changes"]) == (0, 6, 8)
    assert (one["begin_ns"], one["end_ns"]) == (1000, 9006)
    assert (one["gap"], one["lost"]) == (True, 7)

    each = buckets(told)
    assert [bucket["gap"] for bucket in each] == [False] * 6 + [True, False]
    assert [bucket["lost"] for bucket in each] == [0] * 6 + [7, 0]


def test_people_read_the_same_in_a_table(told):
    text = told.ok("timeline", "aaaa", "--layer", "model.mlp")
    head, titles, *lines = text.splitlines()
    assert head == (
        "Device 0, memory of model.mlp alive after each of 8 changes "
        "(measured): 0 B to 9 MiB, the most in step 1")
    assert titles.split()[:3] == ["steps", "since", "begin"]
    assert [line.split()[0] for line in lines[:8]] == list("00011156")
    assert lines[6].split()[-1] == "gap" and "9.0 MiB" in lines[6]
    assert "gap" not in "".join(lines[:6]) + lines[7]
    assert "changes were lost (7 known)" in lines[8]


def test_what_is_not_there_is_said(told):
    quiet = told("timeline", "bbbb")
    assert quiet.returncode == 0 and quiet.stdout == ""
    assert "INVACT_EVENTS=store" in quiet.stderr
    assert told.json("timeline", "bbbb")["devices"] == []
    for code, *options in [(3, "--layer", "nowhere"),
                           (3, "--layer", "model.mlp", "--ordinal", "4"),
                           (2, "--category", "gpu"),
                           (2, "--layer", "model.mlp", "--no-layer"), (2, "--ordinal", "3"),
                           (2, "--steps", "7-3"), (2, "--steps", "x")]:
        error = told.error("timeline", "aaaa", *options, code=code)
        assert error["message"]


def test_a_curve_of_marks_takes_nothing_of_single_changes(told):
    for fields in dict(layer="model.mlp"), dict(until_step=0), dict(
            no_layer=True):
        with pytest.raises(grpc.RpcError) as error:
            told.client().call("QueryTimeline", run="aaaa000000000001",
                               curve_buckets=5, **fields)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_record_out_of_its_limits_ends_the_stream_with_its_name(told):
    relay = Relay(told.client(), minor=4)
    relay.welcome()
    send(relay, [record(1, 1, 0, category=99)], 0)
    with pytest.raises(grpc.RpcError) as error:
        relay.wait_ack()
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "memory_record.category" in error.value.details()
