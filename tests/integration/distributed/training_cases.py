"""Data parallel and sharded training on the CPU. See rank.py."""

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FullyShardedDataParallel, MixedPrecision, MixedPrecisionPolicy,
    fully_shard)
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from rank import Block, Net, case, data


class Checkpointed(Block):
    """The job's own checkpointing, of one block."""

    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=False)


class Branches(Net):
    """Of two branches one is used, in turn."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(Block() for _ in range(2))
        self.turn = 0

    def forward(self, x):
        self.turn = 1 - self.turn
        return super().forward(self.branches[self.turn](x))


def _data_parallel(name, make=Net, **options):
    def run(rank):
        rank.steps(DistributedDataParallel(make(), **options))

    run.__name__ = f"data_parallel{name}"
    case(run)


_data_parallel("")
_data_parallel("_static_graph", static_graph=True)
_data_parallel("_gradients_in_buckets", gradient_as_bucket_view=True,
               bucket_cap_mb=1)
_data_parallel("_unused_branch", Branches, find_unused_parameters=True)
_data_parallel("_checkpointed", lambda: Net(Checkpointed))


@case
def data_parallel_accumulated(rank):
    model = DistributedDataParallel(Net(), gradient_as_bucket_view=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    for _ in range(2):
        with model.no_sync():
            rank.backward(model, model(data()))
            rank.backward(model, model(data()))
        rank.backward(model, model(data()))
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)


@case
def data_parallel_under_autocast(rank):
    model = DistributedDataParallel(Net(), static_graph=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, foreach=True)
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(data())
        rank.backward(model, loss)
        optimizer.step()
        optimizer.zero_grad()


@case
def data_parallel_two_forwards_one_backward(rank):
    model = DistributedDataParallel(Net())
    for _ in range(2):
        rank.backward(model, model(data()) + model(data()) * 2)
        model.zero_grad()


def _sharded(name, block=Block, **options):
    def run(rank):
        mesh = init_device_mesh("cpu", (2,))
        model = Net(block)
        for part in (*model.blocks, model):
            fully_shard(part, mesh=mesh, **options)
        rank.steps(model)

    run.__name__ = f"fully_shard{name}"
    case(run)


HALF = MixedPrecisionPolicy(param_dtype=torch.bfloat16,
                            reduce_dtype=torch.float32)

for _after in (True, False):
    _end = "" if _after else "_kept_after_forward"
    _sharded(_end, reshard_after_forward=_after)
    _sharded(f"_half{_end}", reshard_after_forward=_after, mp_policy=HALF)
    _sharded(f"_checkpointed{_end}", Checkpointed,
             reshard_after_forward=_after)
_sharded("_half_checkpointed", Checkpointed, mp_policy=HALF)


@case
def fully_shard_accumulated(rank):
    mesh = init_device_mesh("cpu", (2,))
    model = Net()
    for part in (*model.blocks, model):
        fully_shard(part, mesh=mesh, mp_policy=HALF)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    for _ in range(2):
        model.set_requires_gradient_sync(False)
        rank.backward(model, model(data()))
        model.set_requires_gradient_sync(True)
        rank.backward(model, model(data()))
        optimizer.step()
        optimizer.zero_grad()


def _wrapped(name, **options):
    def run(rank):
        rank.steps(FullyShardedDataParallel(
            Net(), auto_wrap_policy=ModuleWrapPolicy({Block}),
            device_id=torch.device("cpu"), **options))

    run.__name__ = f"wrapped_shards{name}"
    case(run)


_wrapped("")
_wrapped("_original_parameters", use_orig_params=True)
_wrapped("_half", use_orig_params=True, mixed_precision=MixedPrecision(
    param_dtype=torch.bfloat16, reduce_dtype=torch.float32))
