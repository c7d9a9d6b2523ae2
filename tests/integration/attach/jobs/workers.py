"""Trains with DataLoader workers of each kind, forks by hand and uses
multiprocessing. Forked children train as well: they must stay uncounted.
Prints what the children saw and how they ended."""

import json
import multiprocessing
import os

import footprints
import tiny
import torch
from torch.utils.data import DataLoader, Dataset


class Answers(Dataset):
    """Each item is what a worker process looks like after its work."""

    def __init__(self, trains):
        self.trains = trains

    def __len__(self):
        return 2

    def __getitem__(self, index):
        losses = tiny.train(1)["losses"] if self.trains else []
        model = tiny.make()
        with torch.no_grad():
            sample = model(torch.ones(4, 16)).sum().item()
        looks = footprints.footprint()
        return {"pid": os.getpid(), "losses": losses, "sample": sample,
                "memory": [name for name in looks["mapped"]
                           if "memfd:invact" in name],
                "tasks": looks["tasks"]}


def as_is(items):
    return items


def load(how):
    loader = DataLoader(Answers(how == "fork"), batch_size=1, num_workers=1,
                        multiprocessing_context=how, collate_fn=as_is)
    return [item for batch in loader for item in batch]


def forked(act):
    """Exit code of a forked child that does `act`."""
    pid = os.fork()
    if pid == 0:
        act()
        os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def train_and_leave(code):
    tiny.train(3)
    raise SystemExit(code)


def in_process(code):
    tiny.train(1)
    raise SystemExit(code)


def multiprocessed(how):
    process = multiprocessing.get_context(how).Process(
        target=in_process, args=(5,))
    process.start()
    process.join(120)
    return process.exitcode


def child_exits(code):
    try:
        train_and_leave(code)
    except SystemExit as leaving:
        # Through exit(): handlers of the C library run, Python's do not.
        import ctypes
        ctypes.CDLL(None).exit(leaving.code)


def main():
    torch.set_num_threads(1)  # OpenMP's own threads do not survive a fork
    model = tiny.make()
    tiny.step(model)
    loss = model(torch.randn(64, 16)).sum()  # a graph that every child inherits
    answer = {
        "workers": {how: load(how) for how in ("fork", "spawn", "forkserver")},
        "exit": forked(lambda: child_exits(7)),
        "_exit": forked(lambda: (tiny.train(1), os._exit(8))),
        "backward": forked(lambda: (loss.backward(), os._exit(9))),
        "kill": forked(lambda: os.kill(os.getpid(), 9)),
        "fork": multiprocessed("fork"),
        "losses": tiny.train(1)["losses"],
    }
    loss.backward()
    tiny.step(model)
    answer["pid"] = os.getpid()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
