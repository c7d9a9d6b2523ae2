"""Every fused op and three chains against PyTorch on this GPU, and their speed.

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
    with open(f"{out}/fuse.json", "w") as file:
        json.dump({"device": torch.cuda.get_device_name(),
                   "found": found}, file, indent=1)
    ops = [line for line in found if "op" in line]
    for line in found:
        if "op" not in line or not line["ready"]:
            print(json.dumps(line))
    print(f"{torch.cuda.get_device_name()}: {sum(o['ready'] for o in ops)} of "
          f"{len(ops)} programs of one op bit-equal; {kept} kept on disk; "
          f"{seconds:.1f} s")
    if kept == 0:
        print("FAILED: nothing was kept on disk")
    return int(failures != 0 or not ops or kept == 0)


if __name__ == "__main__":
    sys.exit(main())
