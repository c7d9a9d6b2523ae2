"""Trains on the CPU with torch.optim, under the user's own profiler and memory
history; prints losses and what the profiler saw."""
import torch
from torch import nn

torch.manual_seed(1)
model = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 8))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
losses = []


def step():
    loss = model(torch.randn(16, 32)).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item().hex())


step()
with torch.profiler.profile() as profile:
    step()
    with torch.autograd.profiler.record_function("Optimizer.step#mine"):
        step()
seen = sorted((event.key, event.count) for event in profile.key_averages()
              if event.key.startswith("Optimizer.") or "addmm" in event.key)
print(losses)
print(seen)
