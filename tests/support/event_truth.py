"""Counts the device memory of an event file by hand: every block in a
dictionary, everything added up anew after each event. Knows the file's format
and the rules of docs/memory_events.md alone; shares no code with invact."""

import collections
import struct

HEADER = struct.Struct("<8sIIQQQQ16x")
RECORD = struct.Struct("<QQqQIIBBbBI")
NOBODY = 0xffffffff
MOST_HOLDERS = 16

# The tables of proto/codes.h, as a file numbers them.
KINDS = ["", "save", "drop", "step_begin", "backward_begin", "step_end",
         "substitute", "materialise", "alloc", "free", "segment_alloc",
         "segment_free", "segment_map", "segment_unmap", "oom", "gap",
         "free_completed", "baseline_begin", "baseline_segment",
         "baseline_block", "baseline_awaiting", "baseline_end", "label",
         "forward_begin", "optimizer_begin", "optimizer_end",
         "allocator_stats"]
CATEGORIES = ["unknown", "parameter", "gradient", "optimizer_state",
              "activation", "input", "weight_copy", "temporary", "other"]

Event = collections.namedtuple(
    "Event", "time address bytes stream site step kind source device action "
             "thread")


def read(path):
    """(events in their order, names of scopes by number)."""
    data = open(path, "rb").read()
    magic, version, each, count, dropped, at, size = HEADER.unpack_from(data)
    assert (magic, version, each) == (b"invmemv\n", 1, RECORD.size), path
    assert dropped == 0 and count > 0 and at > 0, "the file is not whole"
    events = []
    for i in range(count):
        event = Event(*RECORD.unpack_from(data, HEADER.size + i * each))
        events.append(event._replace(kind=KINDS[event.kind]))
    names, end = {}, at + size
    while at < end:
        number, length = struct.unpack_from("<IH", data, at)
        names[number] = data[at + 6:at + 6 + length].decode()
        at += 6 + length
    return events, names


class Block:
    def __init__(self, bytes_, category, scope, phase):
        self.bytes, self.category, self.scope = bytes_, category, scope
        self.phase, self.site, self.awaiting = phase, None, False


class Device:
    """Feed it events; `rows` are its steps, the last one under way."""

    def __init__(self):
        self.blocks = {}
        self.reserved = 0
        self.phase = "between"
        self.optimizers = 0
        self.forward_seen = False
        self.snapshot = None  # addresses named by the one under way
        self.rows = []
        self.failure = None
        self.mark = None
        self.time = 0
        self._begin_row(-1)
        self.rows[-1]["peak"] = None

    # what is there

    def alive(self):
        return [b for b in self.blocks.values() if not b.awaiting]

    def by_category(self):
        out = dict.fromkeys(CATEGORIES, 0)
        for block in self.alive():
            out[block.category] += block.bytes
        return out

    def awaiting(self):
        return sum(b.bytes for b in self.blocks.values() if b.awaiting)

    def holders(self):
        out = collections.Counter()
        for block in self.alive():
            scope = None if block.scope == NOBODY else block.scope
            out[scope, block.site, block.category] += block.bytes
        return out

    def moment(self):
        return {"time": self.time, **self.by_category(),
                "awaiting": self.awaiting(), "reserved": self.reserved,
                "allocated": None, "requested": None, "torch_reserved": None}

    # what happens

    def _begin_row(self, step):
        self.rows.append({
            "step": step, "begin_ns": self.time, "allocations": 0, "frees": 0,
            "out_of_memory": 0, "most_reserved": self.reserved,
            "moments": {}, "holders": None})
        self._peak()

    def _peak(self):
        row = self.rows[-1]
        row["peak"] = sum(b.bytes for b in self.alive())
        row["peak_phase"] = self.phase
        row["moments"]["peak"] = self.moment()
        row["holders"] = self.holders()

    def _look_at_peak(self):
        row = self.rows[-1]
        if self.snapshot is not None:
            return
        live = sum(b.bytes for b in self.alive())
        if live > (row["peak"] or 0):
            self._peak()
        row["most_reserved"] = max(row["most_reserved"], self.reserved)

    def _settle(self, to, phase=None):
        for block in self.alive():
            if block.category == "temporary" and phase in (None, block.phase):
                block.category = to

    def event(self, e):
        self.time = e.time
        row = self.rows[-1]
        if e.kind == "alloc":
            row["allocations"] += 1
            self.blocks[e.address] = Block(e.bytes, "temporary", e.site,
                                           self.phase)
        elif e.kind == "free":
            row["frees"] += 1
            self.blocks[e.address].awaiting = True
        elif e.kind == "free_completed":
            del self.blocks[e.address]
        elif e.kind in ("segment_alloc", "segment_map"):
            self.reserved += e.bytes
        elif e.kind in ("segment_free", "segment_unmap"):
            self.reserved -= e.bytes
        elif e.kind == "label":
            self._label(e)
        elif e.kind == "oom":
            row["out_of_memory"] += 1
            if self.failure is None:
                self.failure = {
                    "step": row["step"], "phase": self.phase,
                    "asked": e.bytes, "free": e.stream,
                    "at": self.moment(), "holders": self.holders()}
        elif e.kind.startswith("baseline"):
            self._baseline(e)
        elif e.kind == "allocator_stats":
            if self.mark is not None:
                row["moments"][self.mark].update(
                    allocated=e.bytes, requested=e.stream,
                    torch_reserved=e.address)
        else:
            self._mark(e)
        self._look_at_peak()

    def _label(self, e):
        block = self.blocks.get(e.address)
        category = CATEGORIES[e.action]
        if (block is None or block.awaiting or block.category == category
                or block.category == "parameter"):
            return
        block.category = category
        if e.site != NOBODY:
            block.scope = e.site
            block.site = e.stream - 1 if e.stream > 0 else None

    def _baseline(self, e):
        if e.kind == "baseline_begin":
            self.snapshot, self.reserved = set(), 0
        elif e.kind == "baseline_segment":
            self.reserved += e.bytes
        elif e.kind == "baseline_end":
            for address in set(self.blocks) - self.snapshot:
                del self.blocks[address]
            self.snapshot = None
        else:
            awaiting = e.kind == "baseline_awaiting"
            self.snapshot.add(e.address)
            old = self.blocks.get(e.address)
            if old is None or (old.bytes, old.awaiting) != (e.bytes, awaiting):
                new = Block(e.bytes, "unknown", e.site, self.phase)
                new.awaiting = awaiting
                self.blocks[e.address] = new

    def _mark(self, e):
        self.mark = None
        if e.kind == "forward_begin":
            self._settle("other")
            self.forward_seen, self.phase = True, "forward"
        elif e.kind == "step_begin":
            if not self.forward_seen:
                self._settle("other")
            self.phase = "forward"
            self._begin_row(e.step)
            self._moment("begin")
        elif e.kind == "backward_begin":
            self.phase = "backward"
            self._moment("backward")
        elif e.kind == "step_end":
            self.phase = "optimizer" if self.optimizers else "between"
            self.forward_seen = False
            self._moment("end")
        elif e.kind == "optimizer_begin":
            self.optimizers += 1
            self.phase = "optimizer"
        elif e.kind == "optimizer_end":
            self.optimizers = max(0, self.optimizers - 1)
            self._settle("optimizer_state", "optimizer")
            if self.optimizers == 0 and self.phase == "optimizer":
                self.phase = "between"

    def _moment(self, name):
        self.rows[-1]["moments"][name] = self.moment()
        self.mark = name


def count(path):
    """Devices by number, and names of scopes."""
    events, names = read(path)
    devices = {}
    for event in events:
        devices.setdefault(event.device, Device()).event(event)
    return devices, names
