"""Programs that look at what a backward finds. See programs_job.py."""

import weakref

import torch
from torch import nn
from torch.autograd import Function
from torch.nn import functional as F

from probe import case, error_of, gradients
from program_parts import mlp


@case
def function_reads_back_the_very_objects(probe):
    class Product(Function):
        @staticmethod
        def forward(ctx, x, weight, mask):
            y = x @ weight.t()
            ctx.save_for_backward(x, weight, mask, y)
            return y

        @staticmethod
        def backward(ctx, dy):
            x, weight_, mask_, y_ = ctx.saved_tensors
            seen.update(
                weight=weight_ is weight, mask=mask_ is mask, input=x is hidden,
                main_grad=hasattr(weight_, "main_grad"),
                mark=getattr(x, "mark", None), output=y_.grad_fn is not None,
                requires=[t.requires_grad for t in (x, weight_, mask_, y_)],
                leaf=[t.is_leaf for t in (x, weight_, mask_, y_)])
            return dy @ weight_, dy.t() @ x, None

    seen = {}
    weight = nn.Parameter(torch.randn(16, 16))
    weight.main_grad = torch.zeros(16, 16)
    mask = torch.ones(4, 16)
    hidden = nn.Linear(16, 16)(torch.randn(4, 16))
    hidden.mark = "mine"
    Product.apply(hidden, weight, mask).sum().backward()
    probe.note(**seen)


@case
def input_told_to_need_a_gradient_after_it_was_saved(probe):
    w = nn.Parameter(torch.randn(4))
    x = torch.randn(4)
    y = x * w
    x.requires_grad_()
    (again,) = torch.autograd.grad(y.sum(), w, create_graph=True)
    probe.note(needs=again.requires_grad, same=again.data_ptr() > 0)


def _written(program):
    w = nn.Parameter(torch.arange(1.0, 9.0))
    return error_of(lambda: program(w))


@case
def writes_in_place_are_refused_as_pytorch_does(probe):
    def input_of_mul(w):
        x = torch.ones(8)
        y = x * w
        x.add_(1)
        y.sum().backward()

    def activation_input(w):
        x = w * 2
        y = x * x.sin()
        x.add_(1)
        y.sum().backward()

    def own_output(w):
        y = torch.sigmoid(w)
        y.add_(1)
        y.sum().backward()

    def through_a_view(w):
        x = w * 2
        y = x.exp() * x
        x[:2].zero_()
        y.sum().backward()

    def through_its_base(w):
        base = w.repeat(2)
        y = base[:8] * w.sin()
        base.mul_(2)
        y.sum().backward()

    def without_grad(w):
        x = w * 2
        y = x * x.sin()
        with torch.no_grad():
            x.zero_()
        y.sum().backward()

    def parameter_by_optimizer(w):
        y = (w * w.sin()).sum()
        torch.optim.SGD([w], lr=0.1).param_groups[0]["params"][0].data.add_(1)
        y.backward()
        with torch.no_grad():
            z = (w.exp() * w).sum()
        return z

    def optimizer_between(w):
        optimizer = torch.optim.SGD([w], lr=0.1, foreach=True)
        y = (w * w.sin()).sum()
        y.backward(retain_graph=True)
        optimizer.step()
        y.backward()

    def data_is_not_seen(w):
        x = w * 2
        y = x * x.sin()
        x.data.zero_()
        y.sum().backward()

    def in_place_op_saves_its_result(w):
        y = (w * 2).sigmoid_()
        y.mul_(2)
        y.sum().backward()

    def legal_in_place(w):
        y = (w * 2).exp_()
        z = (y + 1).mul_(3).add_(1)
        z.sum().backward()

    probe.note(**{program.__name__: _written(program) for program in (
        input_of_mul, activation_input, own_output, through_a_view,
        through_its_base, without_grad, parameter_by_optimizer,
        optimizer_between, data_is_not_seen, in_place_op_saves_its_result,
        legal_in_place)})


@case
def second_backward_is_refused(probe):
    model, batch = mlp(), torch.randn(4, 16)
    loss = model(batch).sum()
    loss.backward()
    silu = F.silu(model[0](batch)).sum()
    silu.backward()
    probe.note(error=error_of(loss.backward), silu=error_of(silu.backward))


class Fails(Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, dy):
        raise ValueError("not today")


@case
def exceptions_in_forward_and_backward(probe):
    model, batch = mlp(), torch.randn(4, 16)

    def bad_forward():
        model(batch)
        model[0](batch[:, :3])

    probe.note(forward=error_of(lambda: probe.forward(bad_forward, model)))
    probe.step(lambda: model(batch).sum(), model)
    loss = probe.forward(lambda: Fails.apply(model(batch)).sum(), model)
    probe.note(backward=error_of(loss.backward))
    del loss
    probe.step(lambda: model(batch).sum(), model)
    probe.note_near(gradients(model))


@case
def nested_backward_that_saves_nothing(probe):
    class Inner(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.inner = inner
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            with torch.enable_grad():
                x = torch.ones(3, requires_grad=True)
                ctx.inner(x).sum().backward()
            return dy

    inner = nn.Linear(3, 3)
    model, batch = mlp(), torch.randn(4, 16)
    for _ in range(2):
        probe.step(lambda: Inner.apply(model(batch)).sum(), model)
    probe.note_near(gradients(model))


@case
def gradient_penalty(probe):
    model = mlp()
    batch = torch.randn(4, 16, requires_grad=True)
    loss = model(batch).pow(2).mean()
    (slope,) = torch.autograd.grad(loss, batch, create_graph=True)
    (loss + slope.pow(2).sum()).backward()
    probe.note_near(gradients(model) + [float(batch.grad.abs().sum())])


@case
def third_derivatives(probe):
    x = torch.linspace(-3, 3, 13, requires_grad=True)
    y = (x.tanh() * x.sigmoid()).sum()
    found = []
    for _ in range(3):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        found.append(y.detach().tolist())
    probe.note(derivatives=found)


@case
def gradients_of_some_inputs_only(probe):
    model = mlp()
    batch = torch.randn(4, 16, requires_grad=True)
    hidden = F.silu(model[0](batch))
    loss = model[2](hidden).pow(2).sum()
    some = torch.autograd.grad(
        loss, [hidden, model[2].weight], retain_graph=True)
    unused = torch.autograd.grad(
        loss, [batch, nn.Parameter(torch.ones(1))], allow_unused=True)
    probe.note(unused=unused[1] is None)
    probe.note_near([float(g.abs().sum()) for g in (*some, unused[0])])


@case
def storages_given_another_size(probe):
    model, batch = mlp(nn.Tanh), torch.randn(4, 16)
    hidden = model[0](batch)
    loss = (hidden * hidden.sin()).sum()
    before = hidden.detach().clone()
    storage = hidden.untyped_storage()
    size = storage.nbytes()
    storage.resize_(0)
    probe.save_totals("emptied")
    storage.resize_(size)
    with torch.no_grad():
        hidden.data.copy_(before)
    loss.backward()
    probe.note_near(gradients(model))


@case
def storage_replaced_under_a_saved_tensor(probe):
    w = nn.Parameter(torch.randn(64))
    x = w * 2
    y = x * x.sin()
    x.data = torch.zeros(64)
    others = [torch.randn(64) for _ in range(64)]
    z = sum((w * other).sum() for other in others)
    probe.save_totals("kept")
    (y.sum() + z).backward()
    probe.note(gradient=w.grad.tolist())


@case
def graphs_die_when_dropped(probe):
    model, batch = mlp(), torch.randn(4, 16)
    hidden = model[0](batch)
    alive = weakref.ref(hidden)
    y = F.gelu(hidden) * torch.sigmoid(hidden)
    del hidden
    kept = alive() is not None
    del y
    probe.note(dead=alive() is None)
    probe.fact(kept=kept)
