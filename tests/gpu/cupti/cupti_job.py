"""The attached jobs of check_cupti.py, one a MODE: train a little, allocate past
torch, run torch's profiler. Prints RESULTS and one JSON line.

usage: cupti_job.py MODE"""
import collections
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
MIB = support.MIB
FIELDS = ("total", "used", "reserved", "foreign", "untracked", "known",
          "live", "pinned", "managed", "pools", "in_pools", "matched",
          "assumed", "state", "version", "multiplexes", "records", "unread",
          "dropped", "unqueued", "buffers", "passed", "copied", "sessions",
          "gaps", "beyond")
STEPS = 0


def memory(library, sample=True):
    """The plugin's sample of device 0 and what CUPTI told, or None."""
    if library is None or not hasattr(library, "invact_gpu_memory_for_test"):
        return None
    out = (ctypes.c_int64 * len(FIELDS))()
    rc = library.invact_gpu_memory_for_test(
        0, ctypes.c_int64(STEPS if sample else -1), out,
        ctypes.c_int64(len(FIELDS)))
    return {**dict(zip(FIELDS, out)), "rc": rc}


def libraries(library):
    text = ctypes.create_string_buffer(1 << 14)
    library.invact_gpu_memory_libraries_for_test(0, text,
                                                 ctypes.c_int64(len(text)))
    return {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1])
            for line in text.value.decode().splitlines()}


def device_used():
    free, total = torch.cuda.mem_get_info()
    return total - free


def cuda_runtime():
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].strip()
            if "libcudart.so" in path:
                return ctypes.CDLL(path)
    return None


class Net(nn.Module):
    def __init__(self, width=512, depth=4):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width),
                          nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(depth))

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x


class Trainer:
    def __init__(self, width=512, depth=4, rows=64):
        torch.manual_seed(1)
        self.model = Net(width, depth).cuda()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3,
                                           foreach=True)
        self.batch = torch.randn(rows, width, device="cuda")

    def step(self, batch=None):
        global STEPS
        loss = self.model(self.batch if batch is None else batch)
        loss.square().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        STEPS += 1


def events_on_device(profile):
    return collections.Counter(
        event.name for event in profile.events()
        if event.device_type == torch.autograd.DeviceType.CUDA)


def profiler():
    kinds = torch.profiler.ProfilerActivity
    return torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA])


def one_session(trainer, library, steps=2):
    before = memory(library)
    with profiler() as profile:
        for _ in range(steps):
            trainer.step()
        big = torch.empty(512 * MIB, dtype=torch.uint8, device="cuda")
        torch.cuda.synchronize()
        inside = memory(library)
    after = memory(library)
    del big
    torch.cuda.empty_cache()
    trainer.step()
    freed = memory(library)
    seen = events_on_device(profile)
    return {"events": sum(seen.values()), "names": dict(seen),
            "before": before, "inside": inside, "after": after,
            "freed": freed}


def profile_sessions(library, early=False):
    sessions = []
    if early:  # started before torch has initialised CUDA
        with profiler() as profile:
            trainer = Trainer()
            for _ in range(2):
                trainer.step()
            torch.cuda.synchronize()
        seen = events_on_device(profile)
        sessions.append({"events": sum(seen.values()), "names": dict(seen)})
    else:
        trainer = Trainer()
    for _ in range(3):
        trainer.step()
    for _ in range(3):
        sessions.append(one_session(trainer, library))
    schedule = torch.profiler.schedule(wait=1, warmup=1, active=2, repeat=2)
    counts = []
    kinds = torch.profiler.ProfilerActivity
    with torch.profiler.profile(
            activities=[kinds.CPU, kinds.CUDA], schedule=schedule,
            on_trace_ready=lambda p: counts.append(
                sum(events_on_device(p).values()))) as profile:
        for _ in range(8):
            trainer.step()
            torch.cuda.synchronize()
            profile.step()
    for _ in range(3):
        trainer.step()
    return {"sessions": sessions, "scheduled": counts,
            "end": memory(library)}


def bars(library):
    """The sample beside the device's own number of the same moment."""
    torch.cuda.synchronize()
    now = memory(library)
    now["mem_get_info"] = device_used()
    now["torch_reserved"] = torch.cuda.memory_reserved()
    now["libraries"] = libraries(library)
    return now


def residual(library):
    loader = None
    if MODE == "pinned":
        data = torch.utils.data.TensorDataset(torch.randn(4096, 512))
        loader = iter(torch.utils.data.DataLoader(
            data, batch_size=512, num_workers=2, pin_memory=True))
    trainer = Trainer()
    result = {"marks": {}}
    for _ in range(5):
        batch = None
        if loader is not None:
            batch = next(loader)[0].cuda(non_blocking=True)
        trainer.step(batch)
    if library is None or memory(library) is None:
        return {"attached": False, "used": device_used()}
    result["marks"]["trained"] = bars(library)
    if MODE == "graph":
        static = torch.randn(64, 512, device="cuda")
        side = torch.cuda.Stream()
        with torch.cuda.stream(side), torch.no_grad():
            trainer.model(static)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.no_grad(), torch.cuda.graph(graph):
            trainer.model(static)
        for _ in range(3):
            graph.replay()
        trainer.step()
        result["marks"]["replayed"] = bars(library)
    runtime = cuda_runtime()
    if runtime is not None:
        where = ctypes.c_void_p()
        rc = [runtime.cudaMalloc(ctypes.byref(where),
                                 ctypes.c_size_t(256 * MIB))]
        trainer.step()
        result["marks"]["raw"] = bars(library)
        rc.append(runtime.cudaFree(where))
        managed = ctypes.c_void_p()
        rc.append(runtime.cudaMallocManaged(
            ctypes.byref(managed), ctypes.c_size_t(32 * MIB),
            ctypes.c_uint(1)))
        pinned = ctypes.c_void_p()
        rc.append(runtime.cudaHostAlloc(
            ctypes.byref(pinned), ctypes.c_size_t(48 * MIB), ctypes.c_uint(0)))
        trainer.step()
        result["marks"]["host"] = bars(library)
        rc += [runtime.cudaFree(managed), runtime.cudaFreeHost(pinned)]
        trainer.step()
        result["marks"]["back"] = bars(library)
        result["rc"] = rc
    torch.cuda.empty_cache()
    trainer.step()
    result["marks"]["emptied"] = bars(library)
    result.update(attached=True, used=device_used())
    return result


def nccl(library):
    import torch.distributed as dist
    rank = int(os.environ.get("RANK", "0"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    torch.cuda.set_device(rank)
    store = os.environ["CUPTI_STORE"]
    dist.init_process_group("nccl", init_method=f"file://{store}", rank=rank,
                            world_size=world)
    tensor = torch.ones(16 << 20, device="cuda")
    for _ in range(3):
        dist.all_reduce(tensor)
    torch.cuda.synchronize()
    trainer = Trainer()
    model = nn.parallel.DistributedDataParallel(trainer.model,
                                                device_ids=[rank])
    trainer.model = model
    for _ in range(5):
        trainer.step()
    torch.cuda.synchronize()
    result = {"rank": rank}
    if memory(library) is not None:
        global STEPS
        out = (ctypes.c_int64 * len(FIELDS))()
        rc = library.invact_gpu_memory_for_test(
            rank, ctypes.c_int64(STEPS), out, ctypes.c_int64(len(FIELDS)))
        text = ctypes.create_string_buffer(1 << 14)
        library.invact_gpu_memory_libraries_for_test(
            rank, text, ctypes.c_int64(len(text)))
        result.update(bars={**dict(zip(FIELDS, out)), "rc": rc},
                      libraries=text.value.decode(),
                      mem_get_info=device_used())
    dist.destroy_process_group()
    return result


def history():
    torch.cuda.memory._record_memory_history(max_entries=100000)
    trainer = Trainer()
    for _ in range(4):
        trainer.step()
    torch.cuda.synchronize()
    traces = torch.cuda.memory._snapshot()["device_traces"]
    return {"entries": sum(len(trace) for trace in traces),
            "kinds": dict(collections.Counter(
                entry["action"] for trace in traces for entry in trace))}


def cost(library):
    """Seconds of steps, used bytes at the end, nanoseconds of raw pairs."""
    trainer = Trainer(width=1024, depth=16, rows=2048)
    seconds = []
    for _ in range(160):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        trainer.step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    used = device_used()
    runtime = cuda_runtime()
    pairs = []
    for _ in range(200 if runtime is not None else 0):
        where = ctypes.c_void_p()
        begin = time.perf_counter_ns()
        runtime.cudaMalloc(ctypes.byref(where), ctypes.c_size_t(4 * MIB))
        runtime.cudaFree(where)
        pairs.append(time.perf_counter_ns() - begin)
    return {"seconds": sorted(seconds[20:]), "used": used,
            "pairs": sorted(pairs), "memory": memory(library)}


def subscribed():
    """Another holds CUPTI's one subscriber as torch's profiler begins."""
    torch.zeros(1, device="cuda")
    with open("/proc/self/maps", encoding="utf-8") as maps:
        path = next(line.split(maxsplit=5)[-1].strip() for line in maps
                    if "libcupti.so" in line)
    cupti = ctypes.CDLL(path)
    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int,
                                ctypes.c_uint32, ctypes.c_void_p)(
                                    lambda *_: None)
    handle = ctypes.c_void_p()
    rc = cupti.cuptiSubscribe(ctypes.byref(handle), callback, None)
    trainer = Trainer()
    counts = []
    for _ in range(2):
        with profiler() as profile:
            trainer.step()
            torch.cuda.synchronize()
        counts.append(sum(events_on_device(profile).values()))
    return {"rc": rc, "events": counts}


def forever():
    trainer = Trainer()
    runtime = cuda_runtime()
    where = ctypes.c_void_p()
    runtime.cudaMalloc(ctypes.byref(where), ctypes.c_size_t(64 * MIB))
    for _ in range(8):
        trainer.step()
        time.sleep(0.1)
    print("RESULTS {}", flush=True)
    while True:
        trainer.step()
        time.sleep(0.05)


def main():
    library = support.plugin()
    if MODE in ("profile", "early"):
        result = profile_sessions(library, early=MODE == "early")
    elif MODE == "nccl":
        result = nccl(library)
    elif MODE == "history":
        result = history()
    elif MODE == "cost":
        result = cost(library)
    elif MODE == "subscribed":
        result = subscribed()
    elif MODE == "killed":
        return forever()
    else:
        result = residual(library)
    result["pid"] = os.getpid()
    print("RESULTS " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
