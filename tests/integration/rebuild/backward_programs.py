"""Ways to run a backward over tensors that are rebuilt. See programs_job.py.

Every way on every shape of write_shapes.py; a case is one way.
"""

import torch
from torch.autograd import backward, grad
from torch.autograd.functional import jvp, vhp

from digests import digest, gradients
from probe import case, error_of
from program_parts import account
from write_shapes import SHAPES
from writes import WRITES


def _parameters(net):
    return [p for p in net.parameters() if p.requires_grad]


def _digests(tensors):
    return [digest(t) for t in tensors]


def _way(function, way=None):
    """`function(net, look)` gives what is noted; look() before a backward."""
    way = way or function.__name__

    def run(probe):
        torch.set_num_threads(1)
        for shape in SHAPES:
            name = f"{way}_{shape.__name__}"
            torch.manual_seed(11)
            net = type(name, (shape,), {})()
            before, found = [], []
            for _ in range(2):
                found.append(function(
                    net, lambda: before.append(account(probe))))
                found.append(gradients(net))
                net.zero_grad(set_to_none=True)
            probe.note(**{name: found})
            probe.fact(**{name: {"before": before, "after": account(probe)}})

    run.__name__ = way
    case(run)


@_way
def kept_graph_three_times(net, look):
    loss, _ = net()
    look()
    for _ in range(2):
        loss.backward(retain_graph=True)
    loss.backward()
    return error_of(loss.backward)


@_way
def kept_graph_other_consumers(net, look):
    loss, places = net()
    others = [t.float().pow(2).sum() for t in places.values()
              if t.requires_grad and not t.is_leaf]
    places.clear()
    look()
    first = grad(loss, _parameters(net), retain_graph=True, allow_unused=True)
    for other in others:
        other.backward(retain_graph=True)
    loss.backward()
    return _digests(first)


@_way
def some_inputs_then_the_others(net, look):
    loss, places = net()
    some = [t for t in places.values() if t.requires_grad]
    places.clear()
    look()
    parameters = _parameters(net)
    found = []
    for one in [*some, *parameters]:
        found += grad(loss, one, retain_graph=True, allow_unused=True)
    loss.backward(inputs=parameters[:1])
    return _digests(found) + [error_of(loss.backward)]


@_way
def penalty_on_gradients(net, look):
    loss, places = net()
    places.clear()
    look()
    made = grad(loss.pow(2), _parameters(net), create_graph=True,
                allow_unused=True)
    penalty = sum(g.float().pow(2).sum() for g in made if g is not None)
    penalty.backward()
    return _digests(made)


@_way
def penalty_on_a_penalty(net, look):
    loss, places = net()
    places.clear()
    look()
    y = loss.pow(2) * 1e-3
    for _ in range(2):
        made = grad(y, _parameters(net), create_graph=True, allow_unused=True)
        y = sum(g.float().sin().sum() for g in made
                if g is not None and g.requires_grad)
    y.backward()
    return digest(y)


@_way
def penalty_after_the_graph_was_used(net, look):
    loss, places = net()
    places.clear()
    look()
    loss.backward(retain_graph=True)
    made = grad(loss.pow(2), _parameters(net), create_graph=True,
                retain_graph=True, allow_unused=True)
    loss.backward()
    penalty = sum(g.float().sum() for g in made if g is not None)
    return [digest(penalty), error_of(penalty.backward)]


@_way
def graph_dropped_without_a_backward(net, look):
    loss, places = net()
    look()
    value = digest(loss)
    del loss
    return [value, _digests(places.values())]


@_way
def three_graphs_last_made_first_used(net, look):
    losses = [net()[0] for _ in range(3)]
    look()
    while losses:
        losses.pop().backward()


@_way
def three_graphs_in_one_backward(net, look):
    losses = [net()[0] for _ in range(3)]
    look()
    backward(losses, [torch.full_like(loss, k)
                      for k, loss in enumerate(losses)])


@_way
def batched_gradients(net, look):
    loss, places = net()
    places.clear()
    look()
    return _digests(grad(loss, _parameters(net), torch.linspace(-1, 1, 3),
                         is_grads_batched=True, allow_unused=True))


@_way
def forward_over_reverse(net, look):
    x = net.batch

    def of(batch):
        net.batch = batch
        return net()[0]

    try:
        look_at, _ = net()
        look()
        del look_at
        _, tangent = jvp(of, x, torch.ones_like(x))
        _, product = vhp(of, x, torch.ones_like(x))
    finally:
        net.batch = x
    return _digests((tangent, product))


@_way
def under_modes_of_the_backward(net, look):
    found = []
    for mode in (torch.no_grad(), torch.inference_mode(),
                 torch.autocast("cpu", torch.bfloat16),
                 torch.autograd.set_multithreading_enabled(False),
                 torch.autograd.detect_anomaly(check_nan=True)):
        loss, places = net()
        places.clear()
        look()
        with mode:
            failed = error_of(loss.backward)
        found.append([failed, gradients(net)])
    return found


@_way
def hooks_on_what_is_rebuilt(net, look):
    seen = []
    loss, places = net()
    for name, tensor in places.items():
        if not tensor.requires_grad:
            continue
        if not tensor.is_leaf:
            tensor.retain_grad()
        tensor.register_hook(lambda g, name=name: seen.append(
            [name, digest(g)]) or g * 2)
    look()
    loss.backward()
    return [seen, [digest(t.grad) for t in places.values() if t.is_leaf
                   or t.retains_grad]]


@_way
def a_hook_that_fails_and_another_try(net, look):
    loss, places = net()

    def fail(gradient):
        raise ValueError("not now")

    handles = [t.register_hook(fail) for t in places.values()
               if t.requires_grad]
    places.clear()
    look()
    failed = error_of(lambda: loss.backward(retain_graph=True))
    for handle in handles:
        handle.remove()
    return [failed, error_of(loss.backward)]


@_way
def a_step_inside_a_hook(net, look):
    inner = []

    def step(gradient):
        with torch.enable_grad():
            loss, _ = net()
        inner.append(_digests(grad(loss, _parameters(net),
                                   allow_unused=True)))

    loss, places = net()
    some = [t for t in places.values() if t.requires_grad]
    if some:
        some[-1].register_hook(step)
    places.clear()
    some.clear()
    look()
    loss.backward()
    return inner


def _nodes(node, seen):
    if node is not None and node not in seen:
        seen.append(node)
        for following, _ in node.next_functions:
            _nodes(following, seen)
    return seen


@_way
def saved_tensors_read_by_hand(net, look):
    loss, places = net()
    places.clear()
    look()
    found = []
    for node in _nodes(loss.grad_fn, []):
        for name in sorted(dir(node)):
            if name.startswith("_saved_"):
                value = getattr(node, name)
                found.append([node.name(), name, digest(value) if isinstance(
                    value, torch.Tensor) else str(value)])
    loss.backward()
    return found


BETWEEN = ("in_place_without_grad", "foreach_copy", "sgd_fused_true",
           "into_data", "other_data", "through_an_alias", "out_argument",
           "resized_and_filled_again", "another_storage")


def _add_between(write):
    def between(net, look):
        found = []
        for place in net()[1]:
            loss, places = net()
            target = places[place]
            places.clear()
            look()
            loss.backward(retain_graph=True)
            refused = error_of(lambda: WRITES[write](target))
            del target
            found += [refused, error_of(loss.backward), gradients(net)]
        return found

    _way(between, f"written_between_backwards_{write}")


for _write in BETWEEN:
    _add_between(_write)
