"""Trains on the GPU, having met CUDA in the order that it is told:

  torch-first   import torch, whose first use of the GPU is CUDA's start
  cuda-first    CUDA is started by another library before torch is imported
  thread        as torch-first, CUDA's start in a thread
  fork          import torch, save tensors on the CPU, and only a forked child
                uses the GPU: legal as long as nothing started CUDA before (a
                backward does, on the CPU too)
"""
import ctypes
import json
import os
import sys
import threading

order = sys.argv[1]
if order == "cuda-first":
    assert ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
import torch  # noqa: E402
from torch import nn  # noqa: E402


def train(device):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64))
    model.to(device)
    losses = []
    for _ in range(4):
        loss = model(torch.ones(32, 64, device=device)).square().mean()
        loss.backward()
        losses.append(loss.item())
    return losses


if order == "fork":
    saved = nn.Linear(64, 64)(torch.ones(32, 64)).exp()
    assert not torch.cuda.is_initialized()
    pid = os.fork()
    if pid == 0:
        train("cuda")
        os._exit(6)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 6
if order == "thread":
    thread = threading.Thread(target=lambda: torch.zeros(1).cuda())
    thread.start()
    thread.join()
print(json.dumps(train("cuda")))
