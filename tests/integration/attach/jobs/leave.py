"""Trains a step, then leaves in the way that it is told."""

import ctypes
import os
import signal
import sys

import tiny

tiny.train(1)
print("trained", flush=True)
print("last words", file=sys.stderr, flush=True)
how = sys.argv[1]
if how == "exit3":
    sys.exit(3)
elif how == "minus1":
    sys.exit(-1)
elif how == "exception":
    raise ValueError("the job's own error")
elif how == "text":
    sys.exit("ends by a text")
elif how == "_exit":
    os._exit(4)
elif how == "abort":
    os.abort()
elif how == "in-forward":
    import torch

    class Fails(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.gelu(x) @ torch.ones(3, 3)
    Fails()(torch.ones(2, 2, requires_grad=True) * 2)
elif how == "SIGSEGV":
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    ctypes.string_at(0)
elif how.startswith("SIG"):
    os.kill(os.getpid(), getattr(signal, how))
    signal.pause()
