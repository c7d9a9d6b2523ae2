"""What autograd keeps for backward, counted by PyTorch's own Python hooks.

The independent truth for the baseline bytes: runs in a process without invact
and shares no code with it. A payload stands for each saved tensor; autograd
drops it when the graph node lets go, so the payloads alive are the tensors
saved at that moment.

    oracle = Oracle(model)
    with oracle:
        loss = model(batch).mean()
    expected = oracle.bytes()       # the instant: just before backward starts
    loss.backward()

Parameters and buffers are named by the modules given; tensors on their
storages don't count, nor do parameters elsewhere and views of them. Regions with the job's own hooks (checkpointing) are
seen by the job's hooks and not here.
"""

import weakref

import torch


def _is_parameter(tensor):
    whole = tensor if tensor._base is None else tensor._base
    return isinstance(whole, torch.nn.Parameter)


def _has_no_storage(tensor):
    return tensor.layout != torch.strided or tensor.is_quantized


class _Payload:
    __slots__ = ("tensor", "__weakref__")


class Oracle:
    def __init__(self, *modules):
        self._modules = modules
        # id of a payload -> (identity of its storage, bytes of the storage).
        self._alive = {}
        self._hooks = None

    def __enter__(self):
        self._hooks = torch.autograd.graph.saved_tensors_hooks(
            self._pack, lambda payload: payload.tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error):
        self._hooks.__exit__(*error)

    def watch(self, *modules):
        """Names more modules whose parameters and buffers don't count."""
        self._modules = (*self._modules, *(
            m for m in modules if m not in self._modules))

    def bytes(self):
        """Bytes of the unique storages held by the tensors saved now."""
        return sum(dict(self._alive.values()).values())

    def saves(self):
        """How many tensors are saved now, parameters apart."""
        return len(self._alive)

    def _persistent(self, storage):
        return any(
            tensor.untyped_storage()._cdata == storage
            for module in self._modules
            for tensor in (*module.parameters(), *module.buffers()))

    def _pack(self, tensor):
        payload = _Payload()
        # Without history: an output would hold its own node, a cycle.
        payload.tensor = tensor.detach()
        if _is_parameter(tensor) or _has_no_storage(tensor):
            return payload
        storage = tensor.untyped_storage()
        if not self._persistent(storage._cdata):
            key = id(payload)
            # The payload's tensor keeps the storage, so its identity can't be
            # given to another one while the entry stands.
            self._alive[key] = (storage._cdata, storage.nbytes())
            weakref.finalize(payload, self._alive.pop, key)
        return payload
