"""What the jobs of these tests train: a small model, deterministic."""

import hashlib

import torch
from torch import nn


def make(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 32),
                         nn.SiLU(), nn.Dropout(0.1), nn.Linear(32, 1))


def step(model):
    """By hand: importing torch.optim's compiler support takes seconds."""
    loss = model(torch.randn(64, 16)).square().mean()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-2 * parameter.grad
            parameter.grad = None
    return loss.item()


def train(steps=2, seed=0):
    """Losses as exact text, and a digest of weights and generator."""
    model = make(seed)
    losses = [step(model).hex() for _ in range(steps)]
    digest = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    for parameter in model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return {"losses": losses, "digest": digest.hexdigest()}
