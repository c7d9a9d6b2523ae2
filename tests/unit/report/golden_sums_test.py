"""The golden reports by parsers that are not ours: Python's json and csv.

Adds the layers up again and compares with the totals, to the byte, and checks
that no byte of a hostile name reaches a terminal as a control character.
"""

import csv
import json
import os
import pathlib
import re

import pytest

DATA = pathlib.Path(os.environ["INVACT_SOURCE_DIR"], "tests", "data")
JSON_FILES = sorted(DATA.glob("*.report.json"))
ALL_FILES = sorted(DATA.glob("*.report.*"))

TOP = ["schema", "invact_version", "run", "step", "saved", "max", "peak",
       "checkpoint", "layers", "declines", "warnings", "timing", "losses",
       "reconciliation"]
FIELDS = {
    "run": ["id", "name", "job_id", "state", "end_reason", "exit_code",
            "signal", "policy", "started_at", "ended_at", "host", "pid",
            "rank", "local_rank", "world_size", "restart", "torch_version",
            "device", "steps"],
    "step": ["index", "complete", "phase"],
    "saved": ["baseline_bytes", "held_bytes", "side_bytes",
              "eliminated_bytes", "eliminated_fraction", "by_action",
              "by_category"],
    "max": ["step_index", "baseline_bytes", "held_bytes"],
    "peak": ["allocated_bytes", "reserved_bytes", "saved_at_peak_bytes",
             "eliminated_at_peak_bytes"],
    "checkpoint": ["held_bytes", "recompute_peak_bytes",
                   "extra_time_fraction", "source"],
    "timing": ["step_seconds_median", "forward_seconds_median",
               "backward_seconds_median"],
    "losses": ["events_dropped"],
    "reconciliation": ["allocator_delta_bytes", "ledger_bytes",
                       "unexplained_bytes"],
}
LAYER = ["name", "op", "ordinal", "dtype", "baseline_bytes", "held_bytes",
         "side_bytes", "eliminated_bytes", "action", "declined"]
DECLINE = ["reason", "sites", "bytes", "hint"]


def in_order(keys, found):
    """The keys are there, in this order; others may stand between."""
    return [k for k in found if k in keys] == keys


def test_there_are_golden_files():
    assert len(JSON_FILES) >= 2


@pytest.mark.parametrize("path", JSON_FILES, ids=lambda p: p.name)
def test_every_field_of_the_schema_is_there_in_its_order(path):
    report = json.loads(path.read_text("ascii"))

    assert report["schema"] == "invact.report/v1"
    assert in_order(TOP, report)
    for part, keys in FIELDS.items():
        assert in_order(keys, report[part]), part
    for layer in report["layers"]:
        assert in_order(LAYER, layer)
    for decline in report["declines"]:
        assert in_order(DECLINE, decline)


def numbers_named_bytes(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers_named_bytes(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from numbers_named_bytes(inner, path)
    elif path.endswith("bytes") or ".by_" in path:
        yield path, value


@pytest.mark.parametrize("path", JSON_FILES, ids=lambda p: p.name)
def test_bytes_are_integers_or_null(path):
    report = json.loads(path.read_text("ascii"))
    seen = 0
    for name, value in numbers_named_bytes(report):
        assert value is None or type(value) is int, name
        seen += 1
    assert seen > 20


@pytest.mark.parametrize("path", JSON_FILES, ids=lambda p: p.name)
def test_layers_and_actions_sum_to_saved_to_the_byte(path):
    report = json.loads(path.read_text("ascii"))
    saved, layers = report["saved"], report["layers"]

    for field in ("baseline_bytes", "held_bytes", "side_bytes",
                  "eliminated_bytes"):
        assert sum(layer[field] for layer in layers) == saved[field], field
    assert saved["eliminated_bytes"] == (
        saved["baseline_bytes"] - saved["held_bytes"])
    assert sum(saved["by_action"].values()) == saved["eliminated_bytes"]
    assert sum(saved["by_category"].values()) == saved["baseline_bytes"]
    declined = [layer for layer in layers if layer["declined"] is not None]
    assert sum(d["sites"] for d in report["declines"]) == len(declined)
    assert sum(d["bytes"] for d in report["declines"]) == sum(
        layer["baseline_bytes"] for layer in declined)
    sites = [(layer["name"], layer["ordinal"]) for layer in layers]
    assert len(set(sites)) == len(sites)


@pytest.mark.parametrize("name", ["declined", "hostile"])
def test_csv_has_the_rows_of_the_json(name):
    report = json.loads((DATA / f"{name}.report.json").read_text("ascii"))
    with open(DATA / f"{name}.report.csv", newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f, strict=True))

    assert len(rows) == len(report["layers"])
    for row, layer in zip(rows, report["layers"]):
        assert None not in row and None not in row.values()
        for field in ("ordinal", "baseline_bytes", "held_bytes", "side_bytes",
                      "eliminated_bytes"):
            assert int(row[field]) == layer[field]
        for field, text in row.items():
            assert text[:1] not in ("=", "+", "@"), field
            if text[:1] == "-":
                int(text)


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda p: p.name)
def test_no_control_character_is_printed(path):
    text = path.read_bytes().decode("utf-8")  # strict: it is valid UTF-8
    harmful = re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f"
                         "\u2028-\u202e\u2060-\u206f\ufeff]", text)
    assert harmful == []


def test_markdown_opens_nothing():
    for line in (DATA / "hostile.report.md").read_text("utf-8").splitlines():
        assert "<" not in line and "@" not in line
        # Every special character of a name is escaped.
        plain = re.sub(r"\\.", "", line)
        if not line.startswith("|") or set(line) <= set("| -:"):
            continue
        plain = plain.replace("**total**", "").replace("(outermost)", "")
        assert not re.search(r"[`*\[\]()~!$]", plain), line
        assert plain.count("|") in (3, 4, 5, 7), line
