"""recount.py on streams small enough to add up by eye."""

import json

import pytest

from recount import Totals, differences, recount


def _pack(number, storage, size, kind="both", category="activation"):
    return json.dumps({
        "e": "pack", "t": number, "id": number, "storage": storage,
        "bytes": size, "site": 0, "scope": "", "ordinal": 0, "kind": kind,
        "category": category})


def _instant(baseline, held, side, step=0):
    return json.dumps({"e": "instant", "step": step, "baseline": baseline,
                       "held": held, "side": side})


def _drop(number):
    return json.dumps({"e": "drop", "id": number})


def test_a_storage_saved_twice_counts_once():
    result = recount([_pack(1, "a", 64), _pack(2, "a", 64), _pack(3, "b", 8),
                      _instant(72, 72, 0)])
    assert differences(result) == []


def test_a_storage_lives_until_its_last_holder_drops():
    result = recount([_pack(1, "a", 64), _pack(2, "a", 64), _drop(1)])
    assert result.totals() == Totals(64, 64, 0)


def test_a_substitution_is_x_asked_for_y_and_mask_held():
    result = recount([
        _pack(1, "x", 800, "baseline"), _pack(2, "y", 800, "held"),
        _pack(3, "mask", 25, "side"), _pack(4, "y", 800),
        _instant(1600, 825, 25)])
    assert differences(result) == []


def test_a_wrong_instant_is_named():
    result = recount([_pack(1, "a", 64), _instant(65, 64, 0, step=3)])
    found, = differences(result)
    assert "step 3" in found and "65" in found and "64" in found


def test_a_wrong_report_is_named():
    result = recount([_pack(1, "a", 64), _instant(64, 64, 0)])
    report = {"step": {"index": 0}, "saved": {
        "baseline_bytes": 64, "held_bytes": 60, "side_bytes": 0}}
    assert len(differences(result, report)) == 1
    report["saved"]["held_bytes"] = 64
    assert differences(result, report) == []


def test_the_category_of_a_storage_is_that_of_its_first_save():
    result = recount([_pack(1, "a", 64, category="input"), _pack(2, "a", 64),
                      _pack(3, "b", 8), _instant(72, 72, 0)])
    assert result.categories == {"input": 64, "activation": 8}


def test_a_resized_storage_counts_as_it_is_now():
    result = recount([
        _pack(1, "a", 64), _pack(2, "a", 64), _pack(3, "b", 8),
        json.dumps({"e": "resize", "storage": "a", "bytes": 0}),
        _instant(8, 8, 0)])
    assert differences(result) == []


def test_a_drop_without_a_pack_is_refused():
    with pytest.raises(ValueError, match="never packed"):
        recount([_drop(1)])
