"""Activations of several kinds, once each, and what drawing random numbers
gives after their kernels were checked."""

import sys

import torch
from torch import nn

torch.manual_seed(4)
ACTIVATIONS = {"gelu": nn.GELU(), "silu": nn.SiLU(), "mish": nn.Mish(),
               "leaky": nn.LeakyReLU(), "inplace": nn.SiLU(inplace=True)}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        for name, activation in ACTIVATIONS.items():
            setattr(self, name, nn.Sequential(
                nn.Linear(8, 32), activation, nn.Linear(32, 8)))

    def forward(self, x):
        for name in ACTIVATIONS:
            x = x + getattr(self, name)(x)
        return x


model = Model().to(getattr(torch, sys.argv[1]))
batch = torch.randn(4, 8).to(getattr(torch, sys.argv[1]))
model(batch).float().pow(2).sum().backward()
print("drawn", torch.rand(4).tolist())
