"""The attached job of check_events.py: some training steps in one mode. At every
boundary of a step the account of device memory is compared with torch's own
numbers and with its snapshot, block by block. Prints RESULTS and one JSON line.

usage: events_job.py MODE [STEPS]"""
import ctypes
import json
import os
import pathlib
import sys
import time

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import support  # noqa: E402

MODE = sys.argv[1]
STEPS = int(sys.argv[2]) if len(sys.argv) > 2 else 4
DEVICE = 0
CATEGORIES = ("unknown", "parameter", "gradient", "optimizer_state",
              "activation", "input", "weight_copy", "temporary", "other")
NUMBERS = ("live", "awaiting", "reserved", "mark_allocated", "mark_rounding",
           "requested_off", "reserved_off", "mismatches", "unknown_frees",
           "missed_frees", "corrected", "together", "gaps", "step", "peak",
           "peak_reserved", "allocations", "frees", "out_of_memory")


def account(library):
    """The account of the device, or None where there is none."""
    size = len(NUMBERS) + 2 * len(CATEGORIES)
    out = (ctypes.c_int64 * size)()
    if library.invact_memory_for_test(DEVICE, out, ctypes.c_int64(size)) != 0:
        return None
    numbers = dict(zip(NUMBERS, out))
    rest = list(out)[len(NUMBERS):]
    numbers["now"] = dict(zip(CATEGORIES, rest))
    numbers["at_peak"] = dict(zip(CATEGORIES, rest[len(CATEGORIES):]))
    return numbers


def blocks(library):
    """address -> (bytes asked for, whether it awaits its free)."""
    count = library.invact_memory_blocks_for_test
    count.restype = ctypes.c_int64
    room = 1 << 16
    rows = ((ctypes.c_int64 * 4) * room)()
    found = count(DEVICE, rows, ctypes.c_int64(room))
    assert 0 <= found <= room, found
    return {row[0]: (row[1], bool(row[3])) for row in rows[:found]}


def torchs_blocks():
    """The same by torch's snapshot, and what rounding adds."""
    out, rounding = {}, 0
    for segment in torch.cuda.memory_snapshot():
        if segment["device"] != DEVICE:
            continue
        address = segment["address"]
        for block in segment["blocks"]:
            if block["state"] != "inactive":
                allocated = block["state"] == "active_allocated"
                out[address] = (block["requested_size"], not allocated)
                if allocated:
                    rounding += block["size"] - block["requested_size"]
            address += block["size"]
    return out, rounding


class Boundaries:
    def __init__(self, library):
        self.library = library
        self.wrong = []
        self.seen = 0
        self.last = None

    def check(self, where):
        ours = account(self.library)
        stats = torch.cuda.memory_stats(DEVICE)
        theirs, rounding = torchs_blocks()
        mine = blocks(self.library)
        self.seen += 1
        self.last = ours
        live = sum(ours["now"].values())
        for what, got, want in (
                ("sum of categories", live, ours["live"]),
                ("categories + rounding", live + rounding,
                 torch.cuda.memory_allocated(DEVICE)),
                ("requested", live + ours["awaiting"],
                 stats["requested_bytes.all.current"]),
                ("reserved", ours["reserved"],
                 torch.cuda.memory_reserved(DEVICE)),
                ("blocks", len(mine), len(theirs)),
                ("odd frees", ours["unknown_frees"] + ours["missed_frees"],
                 0)):
            if got != want:
                self.wrong.append(f"{where}: {what} {got}, want {want}")
        different = {address for address in mine.keys() | theirs.keys()
                     if mine.get(address) != theirs.get(address)}
        if different:
            self.wrong.append(f"{where}: {len(different)} blocks differ")
        return ours


def storages(tensors):
    """Bytes of the unique storages on the device."""
    seen = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage()
            for tensor in tensors if tensor is not None and tensor.is_cuda}
    return sum(storage.nbytes() for storage in seen.values())


def state_of(optimizer):
    return [value for state in optimizer.state.values()
            for value in state.values() if torch.is_tensor(value)]


class Net(nn.Module):
    def __init__(self, width=512, depth=4):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width),
                          nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(depth))
        self.register_buffer("scale", torch.ones(width))

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x * self.scale)
        return x


def in_between(mode, step):
    """What the mode does between forward and backward."""
    if mode == "streams":
        side = torch.cuda.Stream()
        for size in (1000, 3 << 20, 700):
            tensor = torch.empty(size, dtype=torch.uint8, device="cuda")
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                torch.cuda._sleep(20_000_000)
                tensor.add_(1)
            tensor.record_stream(side)
    elif mode == "empty_cache":
        torch.cuda.empty_cache()
    elif mode == "mempool":
        pool = torch.cuda.MemPool()
        with torch.cuda.use_mem_pool(pool):
            kept = torch.empty(5 << 20, dtype=torch.uint8, device="cuda")
        del kept
    elif mode == "oom":
        free, _ = torch.cuda.mem_get_info()
        try:
            torch.empty(free + (64 << 30), dtype=torch.uint8, device="cuda")
        except torch.OutOfMemoryError:
            pass


def train(library):
    torch.manual_seed(1)
    if MODE.startswith("history"):
        skip = {"skip_actions": ["free_requested", "segment_alloc"]}
        torch.cuda.memory._record_memory_history(
            max_entries=10000, **(skip if MODE == "history_skip" else {}))
    model = Net().cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=True)
    graphed = None
    boundaries = Boundaries(library)
    result = {"mode": MODE, "facts": []}
    for step in range(STEPS):
        batch = torch.randn(64, 512).cuda()
        with torch.autocast("cuda", torch.bfloat16, enabled=MODE == "autocast"):
            out = model(batch)
        loss = out.square().mean()
        if account(library) is None:
            return {"mode": MODE, "attached": False}
        boundaries.check(f"step {step}, forward")
        in_between(MODE, step)
        boundaries.check(f"step {step}, between")
        loss.backward()
        after = boundaries.check(f"step {step}, backward")
        want = storages([*model.parameters(), *model.buffers()])
        result["facts"] += [
            (f"step {step}: parameters", after["now"]["parameter"], want),
            (f"step {step}: gradients", after["now"]["gradient"],
             storages([p.grad for p in model.parameters()]))]
        optimizer.step()
        after = boundaries.check(f"step {step}, optimizer")
        result["facts"].append(
            (f"step {step}: optimizer state", after["now"]["optimizer_state"],
             storages(state_of(optimizer))))
        optimizer.zero_grad()
        boundaries.check(f"step {step}, zero_grad")
        if MODE == "graph" and step == 1:
            graphed = capture(model)
            boundaries.check("captured")
        if graphed is not None:
            graphed.replay()
            boundaries.check(f"step {step}, replayed")
    torch.cuda.synchronize()
    if MODE.startswith("history"):
        result["history"] = sum(
            len(trace) for trace in
            torch.cuda.memory._snapshot()["device_traces"])
    result.update(attached=True, boundaries=boundaries.seen,
                  wrong=boundaries.wrong, account=boundaries.last)
    return result


def capture(model):
    x = torch.randn(64, 512, device="cuda")
    side = torch.cuda.Stream()
    with torch.cuda.stream(side), torch.no_grad():
        model(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        model(x)
    return graph


def cost():
    """Nanoseconds of an allocation and its free; seconds of a step."""
    torch.manual_seed(1)
    model = Net(width=1024, depth=16).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=True)
    batch = torch.randn(2048, 1024, device="cuda")

    def step():
        model(batch).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = []
    for i in range(60):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    loop = ctypes.CDLL(os.environ["EVENTS_ALLOC_LOOP"])
    rounds = 200
    out = (ctypes.c_double * rounds)()
    pairs = {}
    for size in (512, 1 << 20, 32 << 20):
        assert loop.invact_alloc_loop(ctypes.c_int64(size),
                                      ctypes.c_int64(500),
                                      ctypes.c_int64(rounds), out) == 0
        pairs[size] = sorted(out)
    return {"mode": MODE, "pairs": pairs, "seconds": sorted(seconds[10:])}


def main():
    library = support.plugin()
    result = cost() if MODE == "cost" else train(library)
    print("RESULTS " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
