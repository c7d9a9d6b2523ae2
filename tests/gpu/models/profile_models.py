#!/usr/bin/env python3
"""Where the time of a policy goes: kernels of a step, beside those of `none`.

Run attached, as bench_models.py is, whose models and step it takes:

  LD_PRELOAD=<lib>/libinvact.so INVACT_POLICY=auto \\
      python tests/gpu/models/profile_models.py [bert gpt2 ...]
          [--policies rebuild auto] [--steps N] [--rows N]

Prints for each model and policy the time of all kernels, of the step on the
device and of the host's call, and the kernels whose time a step differs most.
Times are microseconds a step; torch.profiler slows the host down.
"""
import argparse
import collections
import sys
import time

import torch

import bench_models
from bench_models import support


def kernel_times(step, steps):
    """Microseconds and calls a step by kernel name."""
    with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        for _ in range(steps):
            step()
    sums = collections.defaultdict(lambda: [0.0, 0.0])
    for event in profiler.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            sums[event.name][0] += event.device_time_total / steps
            sums[event.name][1] += 1 / steps
    return sums


def host_times(step, steps):
    """Milliseconds of the calls alone, and with the device, a step."""
    calls, whole = [], []
    for _ in range(steps):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        step()
        calls.append(time.perf_counter() - begin)
        torch.cuda.synchronize()
        whole.append(time.perf_counter() - begin)
    return min(calls) * 1e3, min(whole) * 1e3


def show(name, policy, plain, seen, rows):
    total, before = (sum(time for time, _ in of.values())
                     for of in (seen, plain))
    print(f"{name} {policy}: kernels {total:.0f} us a step, "
          f"{total - before:+.0f} over none ({total / before - 1:+.2%})")
    names = sorted(seen.keys() | plain.keys(), key=lambda kernel: -abs(
        seen[kernel][0] - plain[kernel][0]))
    for kernel in names[:rows]:
        print(f"  {seen[kernel][0] - plain[kernel][0]:+9.1f} us, calls "
              f"{plain[kernel][1]:.0f} -> {seen[kernel][1]:.0f}: "
              f"{kernel[:150]}")


def profile(name, library, policies, steps, rows):
    torch.manual_seed(0)
    with torch.device("cuda"):
        model, make_batch = bench_models.MODELS[
            name.removesuffix(bench_models.AUTOCAST)]()
    autocast = name.endswith(bench_models.AUTOCAST)
    model = model.to(torch.float32 if autocast else torch.bfloat16).train()

    def step():
        model.zero_grad(set_to_none=False)
        batch = make_batch()
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            loss = model(**batch).last_hidden_state.float().mean()
        loss.backward()

    plain = None
    for policy in ("none", *policies):
        assert library.invact_set_policy_for_test(policy.encode()) == 0
        for _ in range(bench_models.WARM_UP):
            step()
            torch.cuda.synchronize()
            support.wait_for_fused(library)
        calls, whole = host_times(step, steps)
        print(f"{name} {policy}: the host's calls {calls:.3f} ms, with the "
              f"device {whole:.3f} ms (least of {steps})")
        seen = kernel_times(step, steps)
        plain = plain or seen
        if policy != "none":
            show(name, policy, plain, seen, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=bench_models.NAMES)
    parser.add_argument("--policies", nargs="+", default=["rebuild", "auto"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rows", type=int, default=16)
    options = parser.parse_args()
    support.require_gpu()
    library = support.plugin()
    if library is None:
        sys.exit("not attached: start with LD_PRELOAD=<lib>/libinvact.so")
    for name in options.models:
        profile(name, library, options.policies, options.steps, options.rows)
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
