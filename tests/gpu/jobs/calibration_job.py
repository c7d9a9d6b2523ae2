"""First calls of activations on a GPU: what the check of their kernels leaves
behind. Prints RESULTS and a JSON object; run by check_calibration.py."""
import json
import os
import sys

import torch
from torch.nn import functional as F

OPS = {
    "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu, "mish": F.mish, "hardswish": F.hardswish,
    "softplus": F.softplus, "log_sigmoid": F.logsigmoid,
    "hardsigmoid": F.hardsigmoid, "leaky_relu": F.leaky_relu,
    "leaky_relu_falling": lambda x: F.leaky_relu(x, -0.2),
    "relu6": F.relu6, "softshrink": F.softshrink, "elu": F.elu,
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16,
          "fp16": torch.float16}


def served(y):
    return not hasattr(y.grad_fn, "_saved_self")


def as_promised(y, plain):
    """y has eager's bits; with INVACT_BITS=mantissa negative ones may differ
    in their lowest."""
    if os.environ.get("INVACT_BITS") != "mantissa":
        return bool(torch.equal(y, plain))
    integer = {2: torch.int16, 4: torch.int32}[y.itemsize]
    ours, eagers = y.view(integer), plain.view(integer)
    return bool(torch.equal(ours | 1, eagers | 1) and torch.equal(
        ours[~plain.signbit()], eagers[~plain.signbit()]))


def gains(before, after):
    """What the call asked of the allocator."""
    return {key: after[key] - before[key] for key in after
            if key.startswith(("allocation.all", "allocated_bytes.all",
                               "requested_bytes.all"))}


def module_of(name, function):
    """A module of its own name: its own call sites."""
    made = type(name, (torch.nn.Module,),
                {"forward": lambda self, x: function(x * 1)})
    return made()


def one_call(module, x):
    """The activation, whose output the next op saves, too."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_stats()
    y = module(x)
    after = torch.cuda.memory_stats()
    return y, gains(before, after)


def grid(dtype):
    if dtype == torch.float32:
        return torch.linspace(-12, 12, 200_001, device="cuda")
    every = torch.arange(-32768, 32768, dtype=torch.int32).to(
        torch.int16).view(dtype)
    return every[torch.isfinite(every)].cuda()


def first_calls():
    results = {}
    for name, function in OPS.items():
        for label, dtype in DTYPES.items():
            x = grid(dtype).requires_grad_()
            scale = torch.ones_like(x).requires_grad_()
            module = module_of(f"{name}_{label}", function)
            random = torch.cuda.get_rng_state()
            first, gained = one_call(module, x)
            unchanged = bool((random == torch.cuda.get_rng_state()).all())
            held = [served(first)]
            (dx,) = torch.autograd.grad((first * scale).sum(), x)
            del first
            y, again = one_call(module, x)
            held.append(served(y))
            del module
            exact = x.detach().double().requires_grad_()
            (true,) = torch.autograd.grad(function(exact).sum(), exact)
            # PyTorch's own gradient is NaN beyond what a cube can hold.
            usual = x.detach().double().abs() < 1e12
            plain = function(x.detach())
            results[f"{name}_{label}"] = {
                "served": held, "allocator": gained == again,
                "random": unchanged,
                "error": float((dx.double() - true)[usual].abs().max()),
                "forward": as_promised(y.detach(), plain),
            }
    return results


def captured():
    """A first call inside a capture: no check there, and the graph works."""
    x = torch.randn(4096, device="cuda", dtype=torch.float16,
                    requires_grad=True)
    with torch.no_grad():
        F.mish(x * 1)  # the library is loaded, nothing is served
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = F.mish(x * 1)
        inside = served(y)
        (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    graph.replay()
    torch.cuda.synchronize()
    exact = x.detach().double().requires_grad_()
    (true,) = torch.autograd.grad(F.mish(exact).sum(), exact)
    return {"inside": inside, "error": float((dx - true).abs().max()),
            "after": served(module_of("After", F.mish)(x))}


def main():
    torch.zeros(1, device="cuda")
    results = {"captured": captured(), "calls": first_calls()}
    print("RESULTS " + json.dumps(results))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
