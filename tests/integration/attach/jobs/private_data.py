"""Trains on bytes that nobody else may see, with a secret in its arguments
and its environment, then waits until its parent lets it go."""

import os
import sys

import torch
from torch import nn

secret = sys.argv[1]
assert os.environ["JOB_PASSWORD"] and secret
data = torch.frombuffer(bytearray((sys.argv[2] * 64).encode()),
                        dtype=torch.uint8)
model = nn.Sequential(nn.Embedding(256, 16), nn.Linear(16, 16), nn.GELU())
weights = torch.frombuffer(bytearray((sys.argv[2] * 64).encode()),
                           dtype=torch.float32)
for _ in range(20):
    model(data.long()).sum().backward()
    # As a saved tensor's own bytes, too.
    (weights * torch.ones_like(weights, requires_grad=True)).sum().backward()
print("trained", flush=True)
sys.stdin.read()
