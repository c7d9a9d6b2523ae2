"""Programs of several nets, losses and batches at once. See programs_job.py."""

import torch
from torch import nn
from torch.autograd import grad
from torch.nn import functional as F

from digests import digest, gradients
from program_parts import WIDTH, batch, blocks, program, run_backward


@program
def two_nets_against_each_other(look):
    maker, judge = blocks(2), blocks(2)
    steps = [torch.optim.AdamW(net.parameters(), lr=0.01, fused=True)
             for net in (maker, judge)]
    found = []
    for late in (False, False, True):
        made = maker(batch())
        loss = F.softplus(judge(made.detach())).mean() + F.softplus(
            -judge(batch())).mean()
        steps[1].zero_grad()
        found.append(run_backward(loss, judge))
        if not late:
            steps[1].step()
        score = F.softplus(-judge(made)).mean()
        look()
        if late:  # what the score was computed with is written meanwhile
            steps[1].step()
        steps[0].zero_grad()
        found.append(run_backward(score, maker))
        steps[0].step()
    return found


@program
def many_batches_under_way(look):
    first, second = blocks(2), blocks(2)
    waiting, found = [], []
    for _ in range(3):
        out = first(batch())
        cut = out.detach().requires_grad_()
        waiting.append((out, cut, second(cut).pow(2).mean()))
    look()
    for _ in range(3):
        out, cut, loss = waiting.pop(0)
        loss.backward()
        out.backward(cut.grad)
        found.append([digest(cut.grad), gradients(first, second)])
        again = first(batch())
        cut = again.detach().requires_grad_()
        waiting.append((again, cut, second(cut).pow(2).mean()))
    for out, cut, loss in waiting:
        loss.backward()
        torch.autograd.backward(out, cut.grad)
    return [found, gradients(first, second)]


@program
def a_loss_of_parts_read_one_by_one(look):
    net, heads = blocks(2), [nn.Linear(WIDTH, WIDTH) for _ in range(3)]
    shared = F.gelu(net(batch()))
    losses = [F.silu(head(shared)).pow(2).mean() for head in heads]
    own = list(net.parameters())
    del shared
    look()
    parts = [grad(loss, own, retain_graph=True) for loss in losses]
    weights = torch.stack([torch.stack([g.pow(2).sum() for g in part]).sum()
                           for part in parts]).softmax(0)
    total = sum(w * loss for w, loss in zip(weights, losses, strict=True))
    return [[digest(g) for part in parts for g in part],
            run_backward(total, net, *heads)]


class Shifted(nn.Module):
    """Nothing but what is rebuilt needs its small parameters."""

    def __init__(self):
        super().__init__()
        self.up, self.down = (nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.shift = nn.Parameter(torch.randn(WIDTH))
        self.register_buffer("scale", torch.randn(WIDTH, 1).exp())

    def forward(self, x):
        y = x + self.shift
        z = torch.clamp(x, -1, 1) - self.shift
        return self.up(x).sum() + self.down(y).pow(2).sum() + self.down(
            z / self.scale).sum()


@program
def small_parameters_written_between(look):
    net, found = Shifted(), []
    optimizer = torch.optim.AdamW([net.shift], lr=0.1, fused=True)
    for k in range(3):
        losses = [net(batch()) for _ in range(2)]
        look()
        net.shift.grad = torch.ones_like(net.shift)
        optimizer.step()
        again = net(batch())
        if k == 1:
            net.shift.data = net.shift.data * 2
            net.scale.data.mul_(3)
        if k == 2:
            size = net.shift.untyped_storage().nbytes()
            net.shift.untyped_storage().resize_(0)
            net.shift.untyped_storage().resize_(size)
            net.shift.data.fill_(0.5)
        found.append([run_backward(loss, net)
                      for loss in (*losses, again)])
    return found
