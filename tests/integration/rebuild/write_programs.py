"""Programs that write, before the backward, to what was saved or serves to
rebuild it. See programs_job.py.

Every write on every place of every shape, twice: at the first step the tensor
is rebuilt, at the second its site is known to be written. A case is one place.
"""

import gc

import torch

from digests import digest, gradients
from probe import case, error_of
from program_parts import account
from write_shapes import ALL_KEPT, SHAPES
from writes import UNSAVED, WRITES, resized_away


def _step(net, place, write, keep, look):
    loss, places = net()
    target = places[place]
    view = target[1:]  # a view made before is one more name of the storage
    if not keep:
        places.clear()
    look()
    refused = error_of(lambda: write(target))
    failed = error_of(loss.backward)
    return {"refused": refused, "failed": failed,
            "gradients": gradients(net), "seen": _values(target, view)}


def _values(*tensors):
    return [digest(t) if t.untyped_storage().nbytes() > 0 else "resized away"
            for t in tensors]


def _run(probe, name, shape, place, write, keep):
    torch.manual_seed(11)
    net = type(name, (shape,), {})()
    before, steps = [], []
    for _ in range(2):
        steps.append(_step(net, place, write, keep,
                           lambda: before.append(account(probe))))
        net.zero_grad(set_to_none=True)
    probe.note(**{name: steps})
    probe.fact(**{name: {"before": before, "after": account(probe)}})


def _add(shape, place, keep):
    writes = dict(WRITES)
    if (shape.__name__, place) in UNSAVED:
        writes["resized_away"] = resized_away

    def run(probe):
        torch.set_num_threads(1)
        for name, write in writes.items():
            _run(probe, f"{run.__name__}_{name}", shape, place, write, keep)

    run.__name__ = f"{shape.__name__}_{place}" + ("_all_kept" if keep else "")
    case(run)


for _shape, _places in SHAPES.items():
    for _place in _places:
        _add(_shape, _place, keep=False)
    if _shape in ALL_KEPT:
        _add(_shape, "base", keep=True)
