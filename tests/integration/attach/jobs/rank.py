"""One rank of a data-parallel job on the CPU. It takes its group apart in order:
otherwise torch now and then aborts at exit, by a thread nobody has joined."""

import gc
import json
import os

import tiny
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
model = DistributedDataParallel(tiny.make())
for _ in range(3):
    loss = tiny.step(model)
total = torch.tensor([loss])
dist.all_reduce(total)
dist.barrier()
del model
gc.collect()
dist.destroy_process_group()
line = json.dumps({"rank": int(os.environ["RANK"]), "loss": total.item()})
os.write(1, f"{line}\n".encode())  # at once: the ranks share a pipe
