"""Attached: a forward on the CPU makes no CUDA context, so that a forked child
can still use the GPU; afterwards every device is served, not only the first. (A
backward on the CPU does: autograd then starts a thread for each GPU.)"""
import os
import sys

import torch
from torch import nn


def forward(device):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 8))
    model.to(device)
    return model, model(torch.ones(32, 64, device=device)).square().mean()


def step(device):
    model, loss = forward(device)
    loss.backward()
    return model[0].weight.grad.double().cpu(), loss.item()


forward("cpu")
assert not torch.cuda.is_initialized()
child = os.fork()
if child == 0:
    gradient, _ = step("cuda")  # fails where the parent had a context
    os._exit(0 if gradient.isfinite().all() else 1)
_, status = os.waitpid(child, 0)
if status != 0:
    sys.exit(f"the forked child could not use the GPU: status {status}")
first, loss = step("cuda:0")
for index in range(1, torch.cuda.device_count()):
    torch.cuda.set_device(0)  # not the tensors' device
    gradient, other = step(f"cuda:{index}")
    assert other == loss and torch.equal(gradient, first), index
print(f"forked child used the GPU; {torch.cuda.device_count()} device(s)")
