"""What the GPU scripts share: finding the build and a GPU, a list of criteria,
and the JSON file under $OUT. Needs nothing but torch."""
import ctypes
import json
import os
import pathlib
import random
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("INVACT_BUILD_DIR", ROOT / "build"))
LIB = BUILD / "lib"
PRELOAD = LIB / "libinvact.so"
MIB = 1 << 20
SKIPPED = 77


def require_gpu():
    """The device's name; ends the script where there is none."""
    import torch
    if not torch.cuda.is_available():
        print("skipped: no CUDA device")
        sys.exit(SKIPPED)
    return torch.cuda.get_device_name()


def plugin():
    """The plugin in this process, or None where it is not attached."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].strip()
            if "libinvact-torch" in path:
                return ctypes.CDLL(path)
    return None


def totals(library):
    """The ledger's figures of the last complete step, in bytes."""
    out = (ctypes.c_int64 * 8)()
    library.invact_totals_for_test(out)
    return dict(zip(("baseline", "held", "side", "eliminated", "step",
                     "live_baseline", "live_held", "storages"), out))


def wait_for_fused(library):
    """Until no fused kernel is pending: (ready, refused), what they are."""
    counts = (ctypes.c_int64 * 3)()
    text = ctypes.create_string_buffer(1 << 16)
    deadline = time.monotonic() + 60
    while True:
        library.invact_fused_for_test(counts, text, ctypes.c_int64(len(text)))
        if counts[0] == 0:
            return tuple(counts[1:]), text.value.decode()
        if time.monotonic() > deadline:
            raise TimeoutError("fused kernels are still pending after 60 s")
        time.sleep(0.02)


def interval(values):
    """95 % interval of the median, by resampling with a fixed seed."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(values, k=len(values)))
                     for _ in range(1000))
    return medians[24], medians[974]


class Verdicts:
    """Criteria, printed as they are judged; finish() writes and exits."""

    def __init__(self, name):
        import torch
        self.name = name
        self.failed = []
        self.record = {
            "name": name, "torch": torch.__version__,
            "device": torch.cuda.get_device_name(),
            "date": time.strftime("%Y-%m-%d"), "rows": [], "criteria": []}
        print(f"# {name}: {self.record['device']}, torch {torch.__version__}, "
              f"{self.record['date']}", flush=True)

    def row(self, **figures):
        self.record["rows"].append(figures)

    def check(self, passed, what):
        print(f"{'ok  ' if passed else 'FAIL'} {what}", flush=True)
        self.record["criteria"].append({"passed": bool(passed), "what": what})
        if not passed:
            self.failed.append(what)

    def finish(self):
        self.record["failed"] = len(self.failed)
        out = os.environ.get("OUT")
        if out:
            path = os.path.join(out, f"{self.name}.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(self.record, file, indent=1)
        print(f"{self.name}: {len(self.failed)} of "
              f"{len(self.record['criteria'])} criteria failed", flush=True)
        sys.exit(1 if self.failed else 0)
