"""Programs that look into the graph or call its nodes. See programs_job.py."""

import torch
from torch import nn
from torch.autograd import grad
from torch.autograd.graph import get_gradient_edge, register_multi_grad_hook
from torch.nn import functional as F

from digests import digest, gradients
from probe import error_of
from program_parts import WIDTH, batch, blocks, program, run_backward


def _walk(node, seen):
    if node is None or node in seen:
        return seen
    seen.append(node)
    for following, _ in node.next_functions:
        _walk(following, seen)
    return seen


@program
def a_drawing_of_the_graph(look):
    net = blocks(2)
    loss = net(batch()).pow(2).mean()
    look()
    seen = []
    for node in _walk(loss.grad_fn, []):
        saved = {name: getattr(node, name) for name in sorted(dir(node))
                 if name.startswith("_saved_")}
        seen.append([node.name(), type(node).__name__, node._sequence_nr(),
                     {name: digest(value) if isinstance(value, torch.Tensor)
                      else str(value) for name, value in saved.items()}])
        seen.append([name for name in dir(node) if name.startswith("_raw")])
    low = min(row[2] for row in seen if len(row) == 4 and row[2] < 2**60)
    for row in seen[::2]:
        row[2] = row[2] - low if row[2] < 2**60 else "leaf"
    return [seen, run_backward(loss, net)]


@program
def the_same_object_is_read_again(look):
    up, down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
    x = up(batch())
    y = F.gelu(x)
    z = down(y)
    norm = F.layer_norm(z, (WIDTH,))
    found = [x.grad_fn is up(batch()).grad_fn,
             y.grad_fn._saved_self is x, z.grad_fn._saved_mat1 is y,
             y.grad_fn._saved_self.grad_fn is x.grad_fn,
             z.grad_fn._saved_mat1.grad_fn is y.grad_fn,
             norm.grad_fn._saved_input.grad_fn is z.grad_fn,
             digest(norm.grad_fn._saved_result1),
             digest(norm.grad_fn._saved_result2),
             norm.grad_fn._saved_result1.requires_grad,
             z.grad_fn._saved_mat1.requires_grad]
    loss = norm.pow(2).mean()
    del x, y, z
    look()
    return [found, run_backward(loss, up, down)]


@program
def saved_tensors_read_after_the_backward(look):
    up, down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
    z = down(F.silu(up(batch())))
    node = z.grad_fn
    raw = node._raw_saved_mat1
    look()
    found = run_backward(z.sum(), up, down)
    return [found, error_of(lambda: node._saved_mat1),
            error_of(lambda: raw.register_hooks(lambda t: t, lambda t: t)),
            error_of(z.sum().backward)]


@program
def saved_tensors_written_by_hand(look):
    up, down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
    z = down(F.silu(up(batch())))
    look()
    with torch.no_grad():
        z.grad_fn._saved_mat1.mul_(2)
    return run_backward(z.sum(), up, down)


class Marked(torch.autograd.Function):
    """Asks in backward for what was hung on a tensor that it saved."""

    @staticmethod
    def forward(ctx, x, weight):
        x.scale = weight.shape[0]
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        return dy @ weight.t(), x.t() @ dy / x.scale


@program
def attributes_of_saved_tensors(look):
    up, weight = nn.Linear(WIDTH, WIDTH), nn.Parameter(batch())
    down = nn.Linear(WIDTH, WIDTH)
    h = F.gelu(up(batch()))
    kept = F.gelu(down(h))
    loss = Marked.apply(h, weight).sum() + Marked.apply(
        F.silu(kept), weight).pow(2).sum()
    del h, kept
    look()
    return [run_backward(loss, up, down), digest(weight.grad)]


@program
def nodes_called_by_hand(look):
    up, down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
    y = F.gelu(up(batch()))
    z = F.layer_norm(down(y), (WIDTH,))
    gelu, norm = y.grad_fn, z.grad_fn
    mm = norm.next_functions[0][0]
    del y
    look()
    found = []
    for _ in range(2):
        g = norm(torch.ones(WIDTH, WIDTH))
        g = mm(g[0])
        found += [digest(t) for t in (*g, gelu(g[1]))]
    return [found, run_backward(z.sum(), up, down)]


@program
def hooks_on_nodes(look):
    net, seen = blocks(2), []
    x = net[0](batch())
    loss = net[1](x).pow(2).mean()
    handles = [node.register_hook(lambda i, o, node=node: seen.append(
        [node.name(), [digest(t) for t in i]]))
        for node in _walk(loss.grad_fn, [])]
    for node in _walk(x.grad_fn, [])[:3]:
        node.register_prehook(lambda o: tuple(
            t if t is None else t * 2 for t in o))
    multi = register_multi_grad_hook(
        list(net.parameters()), lambda gs: seen.append(
            [digest(g) for g in gs]))
    look()
    first = error_of(lambda: loss.backward(retain_graph=True))
    handles[0].remove()
    multi.remove()
    return [first, run_backward(loss, net), seen]


@program
def gradients_with_respect_to_edges(look):
    net = blocks(3, dropout=0)
    x = net[0](batch())
    y = net[1](F.gelu(x))
    edges = [get_gradient_edge(x), get_gradient_edge(y)]
    loss = net[2](y * x).pow(2).mean()
    del x, y
    look()
    made = grad(loss, edges, retain_graph=True)
    again = grad(loss, edges[1], create_graph=True)
    penalty = again[0].pow(2).sum()
    return [[digest(g) for g in made], run_backward(penalty, net)]


@program
def twice_through_norms_gates_and_dropout(look):
    net, gate = blocks(2, dropout=0.3), nn.Linear(WIDTH, WIDTH)
    x = batch().requires_grad_()
    y = net(x)
    y = F.silu(gate(y)) * F.softmax(y, -1)
    loss = F.group_norm(y, 4).tanh().pow(2).mean()
    look()
    first, = grad(loss, x, create_graph=True)
    second, = grad(first.pow(2).sum(), x, create_graph=True)
    loss = loss + first.pow(2).sum() + second.pow(2).sum()
    return [digest(first), digest(second), run_backward(loss, net, gate),
            digest(x.grad)]
