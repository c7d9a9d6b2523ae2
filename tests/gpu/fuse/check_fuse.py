"""Fused ops, chains and packed masks against PyTorch on this GPU; their speed.

usage: check_fuse.py    OUT: where fuse.json goes
"""

import ctypes
import json
import os
import sys
import tempfile
import time

import torch


def run(library, path, folder):
    begin = time.monotonic()
    failures = library.invact_check_fuse(path.encode(), folder.encode())
    with open(path) as lines:
        found = [json.loads(line) for line in lines]
    return failures, found, time.monotonic() - begin


def check_bits(build):
    """Packs and unpacks masks of many sizes, aligned or not; and the speed."""
    library = ctypes.CDLL(f"{build}/lib/libinvact-cuda.so")
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)

    def call(name, a, b, n):
        return getattr(library, name)(stream, ctypes.c_void_p(a.data_ptr()),
                                      ctypes.c_void_p(b.data_ptr()),
                                      ctypes.c_int64(n))

    weights = 1 << torch.arange(8, device="cuda")
    wrong = 0
    for n in [*range(0, 1101), 1 << 20, 3_000_017]:
        for shift in (0, 1):
            mask = torch.randint(0, 3, (n + shift,), dtype=torch.uint8,
                                 device="cuda")[shift:] * 85
            bits = torch.full(((n + 7) // 8 + 1,), 165, dtype=torch.uint8,
                              device="cuda")
            back = torch.full((n + 1,), 165, dtype=torch.uint8, device="cuda")
            error = call("invact_pack_bits_cuda", mask, bits, n)
            error |= call("invact_unpack_bits_cuda", bits, back, n)
            ones = torch.zeros((n + 7) // 8 * 8, dtype=torch.int64,
                               device="cuda")
            ones[:n] = mask != 0
            want = (ones.view(-1, 8) * weights).sum(1).to(torch.uint8)
            good = (torch.equal(bits[:-1], want) and bits[-1] == 165 and
                    torch.equal(back[:n], (mask != 0).to(torch.uint8)) and
                    back[n] == 165)
            wrong += bool(error) or not bool(good)

    n = 1 << 30
    mask = torch.ones(n, dtype=torch.uint8, device="cuda")
    bits = torch.empty(n // 8, dtype=torch.uint8, device="cuda")
    speed = {"bits_wrong": wrong}
    for name, pair in (("pack", (mask, bits)), ("unpack", (bits, mask))):
        times = []
        for _ in range(15):
            begin, end = (torch.cuda.Event(enable_timing=True)
                          for _ in range(2))
            begin.record()
            call(f"invact_{name}_bits_cuda", *pair, n)
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        speed[f"{name}_tb_per_s"] = round(n * 1.125 / sorted(times)[7] / 1e9,
                                          3)
    return speed


def main():
    if not torch.cuda.is_available():
        print("skipped: no CUDA device")
        return 77
    build = os.environ["INVACT_BUILD_DIR"]
    out = os.environ.get("OUT", build)
    torch.empty(1, device="cuda")
    library = ctypes.CDLL(f"{build}/tests/libinvact_fuse_check.so")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o700)
        failures, found, seconds = run(library, f"{out}/fuse.jsonl", folder)
        kept = len(os.listdir(folder))
    bits = check_bits(build)
    found.append(bits)
    ops = [line for line in found if "op" in line]
    with open(f"{out}/fuse.json", "w") as file:
        json.dump({"device": torch.cuda.get_device_name(),
                   "found": found}, file, indent=1)
    for line in found:
        if "op" not in line or not line["ready"]:
            print(json.dumps(line))
    print(f"{torch.cuda.get_device_name()}: {sum(o['ready'] for o in ops)} of "
          f"{len(ops)} programs of one op bit-equal; {kept} kept on disk; "
          f"{seconds:.1f} s")
    if kept == 0:
        print("FAILED: nothing was kept on disk")
    return int(failures != 0 or bits["bits_wrong"] or not ops or kept == 0)


if __name__ == "__main__":
    sys.exit(main())
