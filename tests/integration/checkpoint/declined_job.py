"""Blocks that are not called twice, or whose second call must not be seen."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from blocks_job import Mlp, Stack, bits, stack, train
from models_job import _llama
from probe import case, main, names


class Wrapped(Mlp):
    def __init__(self, more=None):
        super().__init__(32)
        self.more = more


class WithNorm(Wrapped):
    def forward(self, x):
        return super().forward(self.more(x))


@case
def running_statistics(probe):
    stack(probe, [WithNorm(nn.BatchNorm1d(32)) for _ in range(2)])


class Counting(Wrapped):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls


@case
def attributes(probe):
    model = stack(probe, [Counting() for _ in range(2)])
    probe.note(calls=[block.calls for block in model.blocks])


@case
def hooks_of_the_job(probe):
    blocks = [Mlp(32) for _ in range(2)]
    seen = []
    for block in blocks:
        block.down.register_forward_hook(lambda *_: seen.append(1))
    stack(probe, blocks)
    probe.note(calls=len(seen))


class Appending(Wrapped):
    def forward(self, x, seen):
        seen.append(bits(x))
        return super().forward(x)


@case
def a_list_that_grows(probe):
    seen = []
    stack(probe, [Appending() for _ in range(2)], seen)
    probe.note(seen=seen)


class Inner(Wrapped):
    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False)


@case
def checkpointed_inside(probe):
    model = Stack([Inner() for _ in range(2)]).train()
    x = torch.randn(8, 32)
    for step in range(3):
        loss = model(x)
        loss.backward()
        probe.note(**{f"loss{step}": bits(loss), f"gradients{step}": [
            bits(p.grad) for p in model.parameters()]})


@case
def checkpointed_by_the_job(probe):
    for reentrant in (True, False):
        model = Stack([Mlp(32) for _ in range(2)]).train()
        x = torch.randn(8, 32)
        for _ in range(2):
            y = model.first(x)
            for block in model.blocks:
                y = checkpoint(block, y, use_reentrant=reentrant)
            loss = model.last(y).mean()
            loss.backward()
        probe.note(**{str(reentrant): [
            bits(loss), *(bits(p.grad) for p in model.parameters())]})


@case
def compiled_blocks(probe):
    model = Stack([Mlp(32) for _ in range(2)]).train()
    for block in model.blocks:
        block.drop.p = 0.0
        block.compile(backend="eager")
    x = torch.randn(8, 32)
    for step in range(2):
        loss = model(x)
        loss.backward()
    probe.note(end=[bits(loss), *(bits(p.grad) for p in model.parameters())])


@case
def huggingface_checkpointing(probe):
    model, batch = _llama(2)
    model.gradient_checkpointing_enable(
        gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    given = batch(2)
    for _ in range(2):
        loss = model(**given).loss
        loss.backward()
    probe.note(end=[bits(loss), *(bits(p.grad) for p in model.parameters())])


@case
def a_cache(probe):
    model, batch = _llama(2)
    model.config.use_cache = True
    given = batch(2)
    train(probe, model.train(), lambda: model(**given).loss)


@case
def saved_on_the_host(probe):
    model = Stack([Mlp(32) for _ in range(2)]).train()
    x = torch.randn(8, 32)
    for _ in range(2):
        with torch.autograd.graph.save_on_cpu():
            loss = model(x)
        loss.backward()
    probe.note(end=[bits(loss), *(bits(p.grad) for p in model.parameters())])


@case
def functional_transforms(probe):
    model = Stack([Wrapped().eval() for _ in range(2)]).eval()
    parameters = dict(model.named_parameters())
    x = torch.randn(8, 32)
    gradients = torch.func.grad(
        lambda p: torch.func.functional_call(model, p, (x,)))(parameters)
    probe.note(end=[bits(g) for g in gradients.values()])


@case
def a_dispatch_mode(probe):
    from torch.utils.flop_counter import FlopCounterMode
    model = Stack([Mlp(32) for _ in range(2)]).train()
    x = torch.randn(8, 32)
    with FlopCounterMode(display=False) as counter:
        loss = model(x)
        loss.backward()
    probe.note(flops=counter.get_total_flops(), end=[
        bits(loss), *(bits(p.grad) for p in model.parameters())])


@case
def no_gradients(probe):
    model = Stack([Mlp(32) for _ in range(2)]).train()
    x = torch.randn(8, 32)
    with torch.no_grad():
        probe.note(without=bits(model(x)))
    with torch.inference_mode():
        probe.note(inference=bits(model(x)))
    model.requires_grad_(False)
    probe.note(frozen=bits(model(x)))


class Pair(Wrapped):
    def forward(self, x, scale=None, pair=None):
        x = x * scale + pair[0]
        return super().forward(x)


class PairOut(Wrapped):
    def forward(self, x):
        return {"x": super().forward(x), "n": 3, "t": (x, None)}


@case
def tensors_in_keywords_and_tuples(probe):
    stack(probe, [Pair() for _ in range(2)], scale=torch.rand(32),
          pair=(torch.rand(32), None))


@case
def results_of_all_kinds(probe):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([PairOut() for _ in range(2)])

        def forward(self, x):
            for block in self.blocks:
                out = block(x)
                x = out["x"] + out["t"][0] * out["n"]
            return x.mean()

    model = Model().train()
    x = torch.randn(8, 32, requires_grad=True)
    train(probe, model, lambda: model(x))


@case
def two_backwards_and_a_dropped_graph(probe):
    model = Stack([Mlp(32) for _ in range(2)]).train()
    x = torch.randn(8, 32)
    model(x)
    loss = model(x)
    loss.backward(retain_graph=True)
    loss.backward()
    probe.note(end=[bits(p.grad) for p in model.parameters()])
    double = Stack([Mlp(32) for _ in range(2)]).train()
    given = torch.randn(8, 32, requires_grad=True)
    gradient, = torch.autograd.grad(double(given), given, create_graph=True)
    gradient.square().sum().backward()
    probe.note(double=[bits(p.grad) for p in double.parameters()
                       if p.grad is not None])


class Raising(Wrapped):
    def forward(self, x):
        raise ValueError("of the job")


@case
def an_error_in_a_block(probe):
    model = Stack([Mlp(32), Raising()]).train()
    for _ in range(2):
        try:
            model(torch.randn(8, 32))
        except ValueError as error:
            probe.note(error=str(error))


@case
def one_block_twice(probe):
    block = Mlp(32)
    stack(probe, [block, block, Mlp(32)])


@case
def policies_in_turn(probe):
    model = Stack([Mlp(32) for _ in range(2)]).train()
    x = torch.randn(8, 32)
    for policy in ("observe", "checkpoint", "none", "checkpoint", "observe"):
        probe.set_policy(policy)
        loss = model(x)
        probe.save_totals(policy)
        loss.backward()
        probe.note(**{policy: [bits(loss)]})
    probe.set_policy("checkpoint")


CASES = names(__name__)

if __name__ == "__main__":
    main()
