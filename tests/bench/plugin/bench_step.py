#!/usr/bin/env python3
"""What the plugin costs the training thread in a whole step of a BERT.

usage: [INVACT_BUILD_DIR=build] python tests/bench/plugin/bench_step.py
           [--rounds N] [--layers N ...] [--policies NAME ...]

A step is forward, loss, backward, AdamW (foreach) and zero_grad of Hugging
Face's BertModel, narrow (32 channels, one sequence of 8 tokens) but as deep as
asked for: as good as all of its time is the host's, as in a job whose GPU waits
for it. One attached process with one thread; the policy changes from step to
step, and `none` only looks at a flag. Three figures of the thread's own
processor time for each policy over `none`: us a step, ns a saved tensor, and ns
a call of a module where all of it is put down to these. Median of the paired
differences, with the 95 % interval of the median.
"""
import argparse
import gc
import json
import os
import statistics
import sys
import time

import bench_costs

ACTIVATION = "gelu"


def build(torch, layers):
    from transformers import BertConfig, BertModel
    torch.manual_seed(0)
    model = BertModel(BertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=layers,
        num_attention_heads=2, intermediate_size=64, hidden_act=ACTIVATION,
        max_position_embeddings=16))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=True)
    tokens = torch.randint(0, 64, (1, 8))

    def step():
        begin = time.thread_time_ns()
        loss = model(input_ids=tokens).last_hidden_state.square().mean()
        middle = time.thread_time_ns()
        loss.backward()
        late = time.thread_time_ns()
        optimizer.step()
        optimizer.zero_grad()
        return middle - begin, late - middle, time.thread_time_ns() - late

    return model, step


def count(torch, model, step):
    """Calls of modules and saves of what is no parameter, in one step."""
    calls, saved = 0, 0
    parameters = {p.untyped_storage()._cdata for p in model.parameters()}
    parameters |= {b.untyped_storage()._cdata for b in model.buffers()}

    def called(*_):
        nonlocal calls
        calls += 1

    def pack(tensor):
        nonlocal saved
        saved += tensor.untyped_storage()._cdata not in parameters
        return tensor

    hook = torch.nn.modules.module.register_module_forward_pre_hook(called)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    hook.remove()
    return calls, saved


def bench(library, torch, layers, options):
    model, step = build(torch, layers)
    library.invact_set_policy_for_test(b"none")
    calls, saved = count(torch, model, step)
    # Python's collector would now and then add milliseconds to one side.
    gc.collect()
    gc.freeze()
    gc.disable()
    results = bench_costs.rounds_of(
        library, ["none", *options.policies], options.rounds, step)
    gc.enable()
    if "invert" in options.policies:
        bench_costs.check_inverted(library, step)
    base = statistics.median(map(sum, results["none"])) / 1e3
    print(f"{layers} layers: {base:.0f} us a step under none, {saved} saved "
          f"tensors, {calls} module calls", flush=True)
    figures = []
    for policy in options.policies:
        parts = [bench_costs.median_and_interval(
            [(part(a) - part(b)) / 1e3
             for a, b in zip(results[policy], results["none"])])
            for part in (lambda f: f[0], lambda f: f[1], lambda f: f[2], sum)]
        median, low, high = parts[-1]
        print(f"  {policy:8} {median:+.1f} [{low:.1f}, {high:.1f}] us a step "
              f"({100 * median / base:+.2f} %): forward {parts[0][0]:+.1f}, "
              f"backward {parts[1][0]:+.1f}, optimizer {parts[2][0]:+.1f}; "
              f"{1e3 * median / saved:.0f} ns a saved tensor, "
              f"{1e3 * median / calls:.0f} ns a module call", flush=True)
        figures.append({
            "layers": layers, "policy": policy, "none_us": base,
            "saved": saved, "calls": calls, "us": median, "low": low,
            "high": high, "forward_us": parts[0][0],
            "backward_us": parts[1][0], "optimizer_us": parts[2][0]})
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--layers", type=int, nargs="+", default=[6, 12])
    parser.add_argument("--policies", nargs="+", default=["observe", "invert"])
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument(bench_costs.ATTACHED, action="store_true",
                        help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.attached:
        sys.exit(bench_costs.attach(sys.argv[1:], __file__))
    import torch
    torch.set_num_threads(1)
    library = bench_costs.support.plugin()
    if library is None:
        sys.exit(f"not attached: is {bench_costs.support.PRELOAD} there?")
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}")
    figures = []
    for layers in options.layers:
        figures += bench(library, torch, layers, options)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
