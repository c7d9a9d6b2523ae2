"""Runs many cases in one job and writes down what each step saved.

    from probe import case, main

    @case
    def mlp(probe):
        model, batch = ..., ...
        probe.step(lambda: model(batch).sum(), model)

    if __name__ == "__main__":
        main()

The same file runs in a plain process, where the oracle counts, and in an
attached one, where the plugin's own totals are read after each backward; the
last line of its output is {case: {"steps": [...], "notes": ..., ...}}. A test
compares the two. A case that raises is recorded with its traceback.
"""

import collections
import ctypes
import gc
import json
import sys
import traceback

import torch

from oracle import Oracle

_CASES = {}
Totals = collections.namedtuple(
    "Totals", "baseline held side eliminated step live_baseline live_held "
    "storages")


def case(function):
    _CASES[function.__name__] = function
    return function


def names(module):
    """Of the cases that a job's module defines, in their order."""
    return [name for name, function in _CASES.items()
            if function.__module__ == module]


def plugin():
    """The plugin of this process, None where it is not attached."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split()[-1] for line in maps if "libinvact-torch" in line}
    return ctypes.CDLL(paths.pop()) if paths else None


class Probe:
    def __init__(self):
        self._plugin = plugin()
        self.oracle = None
        self.begin()

    @property
    def attached(self):
        return self._plugin is not None

    def begin(self):
        self.steps, self.notes, self.near = [], {}, []
        self.live, self.facts = {}, {}
        self.oracle = None if self.attached else Oracle()

    def totals(self):
        out = (ctypes.c_int64 * 8)()
        self._plugin.invact_totals_for_test(out)
        return Totals(*out)

    def set_policy(self, policy):
        if self.attached:
            self._plugin.invact_set_policy_for_test(policy.encode())

    def forward(self, function, *modules):
        """Part of a step's forward; what it saves stays counted."""
        if self.attached:
            return function()
        self.oracle.watch(*modules)
        with self.oracle:
            return function()

    def instant(self, backward):
        """Writes down what is saved now, then runs the backward."""
        if not self.attached:
            self.steps.append({"baseline": self.oracle.bytes()})
            backward()
            return
        before = self.totals()
        try:
            backward()
        finally:
            after = self.totals()._asdict()
            after["live_before"] = before.live_baseline
            after["live_held_before"] = before.live_held
            self.steps.append(after)

    def step(self, forward, *modules, backward=None):
        loss = self.forward(forward, *modules)
        self.instant(lambda: loss.backward() if backward is None
                     else backward(loss))
        return loss.detach()

    def note(self, **values):
        """What every kind of process must agree on."""
        self.notes.update(values)

    def note_near(self, values):
        """Gradients: equal bit for bit where nothing is inverted."""
        self.near.extend(values)

    def fact(self, **values):
        """What only an attached process knows."""
        self.facts.update(values)

    def save_totals(self, name):
        """What is saved now, in an attached process."""
        if self.attached:
            totals = self.totals()
            self.live.setdefault(name, []).append(
                [totals.live_baseline, totals.live_held])

    def end(self):
        gc.collect()
        alive = self.totals().live_baseline if self.attached \
            else self.oracle.bytes()
        held = self.totals().live_held if self.attached else alive
        return {"steps": self.steps, "notes": self.notes, "near": self.near,
                "live": self.live, "facts": self.facts,
                "alive": alive, "alive_held": held}


def main():
    chosen = sys.argv[1:] or list(_CASES)
    probe = Probe()
    results = {}
    for name in chosen:
        torch.manual_seed(0)
        probe.begin()
        error = None
        try:
            _CASES[name](probe)
        except Exception:  # the test shows it
            error = traceback.format_exc()
        results[name] = {**probe.end(), "error": error}
    print(json.dumps(results, default=str))


def cases_of(result):
    """What a job that ended with main() wrote down."""
    return json.loads(result.check().stdout.splitlines()[-1])


def gradients(*modules):
    """One number a parameter that any changed bit changes."""
    return [float(parameter.grad.double().abs().sum())
            for module in modules for parameter in module.parameters()
            if parameter.grad is not None]


def inverted(tensor):
    """Whether the node that made it keeps its output: PyTorch's keeps self."""
    return not hasattr(tensor.grad_fn, "_saved_self")


def in_module(name, function):
    """A module of its own name whose forward is `function`: its own sites."""
    made = type(name, (torch.nn.Module,), {
        "forward": lambda self, *arguments: function(*arguments)})
    return made()


def error_of(function):
    """The error that function raises, whole."""
    try:
        function()
    except Exception as error:  # its text is what is compared
        return f"{type(error).__name__}: {error}"
    return None
