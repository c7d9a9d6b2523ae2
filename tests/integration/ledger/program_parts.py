"""What the programs of programs_job.py are made of."""

from torch import nn


def mlp(activation=nn.GELU):
    return nn.Sequential(nn.Linear(16, 64), activation(), nn.Linear(64, 16))
