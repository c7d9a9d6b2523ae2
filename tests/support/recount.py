"""Adds an INVACT_LOG=ledger:FILE stream up again.

usage: recount.py LEDGER [REPORT.json]

Knows only the lines: a pack names a storage and its bytes, a drop ends a pack.
At each instant line the bytes are summed from the packs alive and compared
with what the line says; with a report, the report's step is compared too.
Prints one line a difference and exits 1 if there is any. Imports nothing of
invact; the fields are those of docs/accounting.md.
"""

import collections
import json
import sys

Totals = collections.namedtuple("Totals", "baseline held side")

# What a pack of this kind claims: asked for (baseline), really kept, ours.
_CLAIMS = {
    "both": ("baseline", "held"),
    "baseline": ("baseline",),
    "held": ("held",),
    "side": ("side",),
}


class Recount:
    """Feed it lines; `instants` collects (step, stated, recounted)."""

    def __init__(self):
        self.instants = []
        self.categories = {}  # of the newest instant: baseline bytes
        self.complete = []    # steps whose end line says so
        self._packs = {}

    def line(self, text):
        record = json.loads(text)
        kind = record["e"]
        if kind == "pack":
            if record["id"] in self._packs:
                raise ValueError(f"id {record['id']} is packed twice")
            self._packs[record["id"]] = record
        elif kind == "drop":
            if self._packs.pop(record["id"], None) is None:
                raise ValueError(f"id {record['id']} is dropped, never packed")
        elif kind == "resize":
            for pack in self._packs.values():
                if pack["storage"] == record["storage"]:
                    pack["bytes"] = record["bytes"]
        elif kind == "instant":
            stated = Totals(record["baseline"], record["held"], record["side"])
            self.instants.append((record["step"], stated, self.totals()))
            self.categories = self._by_category()
        elif kind == "end":
            if record["complete"]:
                self.complete.append(record["step"])
        else:
            raise ValueError(f"unknown line: {text.strip()}")

    def totals(self):
        """Of the packs alive now: each storage once a claim."""
        bytes_of = {"baseline": {}, "held": {}, "side": {}}
        for pack in self._packs.values():
            for claim in _CLAIMS[pack["kind"]]:
                # A storage that was resized counts as it is now.
                bytes_of[claim][pack["storage"]] = pack["bytes"]
        sums = {claim: sum(by.values()) for claim, by in bytes_of.items()}
        return Totals(sums["baseline"], sums["held"] + sums["side"],
                      sums["side"])

    def alive(self):
        return len(self._packs)

    def _by_category(self):
        # The category of a storage is that of its first save.
        first = {}
        for pack in sorted(self._packs.values(), key=lambda p: p["id"]):
            if "baseline" in _CLAIMS[pack["kind"]]:
                first.setdefault(pack["storage"],
                                 (pack["category"], pack["bytes"]))
        sums = collections.Counter()
        for category, count in first.values():
            sums[category] += count
        return dict(sums)


def recount(lines):
    result = Recount()
    for text in lines:
        result.line(text)
    return result


def differences(result, report=None):
    """One sentence for each sum that does not come out."""
    found = [
        f"step {step}: the ledger says {stated}, its packs add up to {sums}"
        for step, stated, sums in result.instants if stated != sums
    ]
    if report is None:
        return found
    step, saved = report["step"]["index"], report["saved"]
    stated = Totals(saved["baseline_bytes"], saved["held_bytes"],
                    saved["side_bytes"])
    # The newest line: an index may come again after an incomplete step.
    sums = [s for index, _, s in result.instants if index == step]
    if not sums:
        found.append(f"the report is of step {step}, which has no instant")
    elif sums[-1] != stated:
        found.append(f"step {step}: the report says {stated}, "
                     f"the packs add up to {sums[-1]}")
    return found


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        result = recount(file)
    report = None
    if len(sys.argv) > 2:
        with open(sys.argv[2], encoding="utf-8") as file:
            report = json.load(file)
    found = differences(result, report)
    for sentence in found:
        print(sentence)
    print(f"{len(result.instants)} instants added up again, "
          f"{len(found)} differences, {result.alive()} packs alive at the end")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
