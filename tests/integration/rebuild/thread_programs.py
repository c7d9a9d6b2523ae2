"""Programs of several threads and processes. See programs_job.py."""

import os
import threading

import torch
from torch.utils.data import DataLoader, TensorDataset

from digests import digest, gradients
from probe import error_of
from program_parts import ROWS, WIDTH, batch, blocks, program, run_backward


def _in_threads(functions):
    errors = []

    def run(function):
        errors.append(error_of(function))

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(map(str, errors))


@program
def threads_each_with_their_own_graph(look):
    nets = [blocks(dropout=0) for _ in range(4)]
    inputs = [batch() for _ in nets]

    def train(net, x):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, foreach=True)
        for _ in range(8):
            optimizer.zero_grad()
            loss = net(x).pow(2).mean()
            loss.backward()
            optimizer.step()

    errors = _in_threads([lambda n=n, x=x: train(n, x)
                          for n, x in zip(nets, inputs, strict=True)])
    return [errors, [digest(p) for n in nets for p in n.parameters()]]


@program
def backwards_in_other_threads(look):
    nets = [blocks(dropout=0) for _ in range(3)]
    losses = [net(batch()).pow(2).mean() for net in nets]
    look()
    errors = _in_threads([loss.backward for loss in losses])
    return [errors, gradients(*nets)]


@program
def one_graph_read_by_two_threads(look):
    net = blocks(dropout=0)
    y = net(batch())
    losses = [(y * k).sum() for k in (1.0, 2.0)]
    parameters = list(net.parameters())
    del y
    look()
    found = {}

    def read(k):
        found[k] = torch.autograd.grad(losses[k], parameters,
                                       retain_graph=True)

    errors = _in_threads([lambda k=k: read(k) for k in range(2)])
    return [errors, [[digest(g) for g in found[k]] for k in range(2)]]


@program
def written_by_another_thread(look):
    net, small = blocks(dropout=0), batch().bfloat16()
    loss = net(small.float()).pow(2).mean()
    look()
    errors = _in_threads([small.zero_, lambda: small.add_(1)])
    return [errors, run_backward(loss, net)]


@program
def forked_after_the_forward(look):
    net = blocks()
    loss = net(batch()).pow(2).mean()
    look()
    child = os.fork()
    if child == 0:
        os._exit(0 if os.getpid() != os.getppid() else 1)
    _, status = os.waitpid(child, 0)
    return [status, run_backward(loss, net)]


@program
def fed_by_worker_processes(look):
    net = blocks()
    data = TensorDataset(torch.arange(3 * ROWS * WIDTH).float().view(
        3, ROWS, WIDTH).sin())
    found = []
    for x, in DataLoader(data, num_workers=2):
        loss = net(x[0]).pow(2).mean()
        look()
        found.append(run_backward(loss, net))
    return found
