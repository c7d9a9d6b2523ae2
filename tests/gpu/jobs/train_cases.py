"""A training job of many small cases, with no word of invact in it beyond
reading the ledger's totals where a plugin is mapped. Prints one JSON line: for
each case the losses, digests and norms of the gradients, and the totals.

usage: train_cases.py OUT_FILE [case...]      OUT_FILE: gradients, torch.save
"""
import hashlib
import json
import os
import pathlib
import sys
import traceback

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import support  # noqa: E402

DEVICE = os.environ.get("JOB_DEVICE", "cuda")
STEPS = 4
F = torch.nn.functional


class Named(nn.Module):
    """Gives a case's model a path of its own, hence its own call sites: what
    is declined in one case stays declined."""

    def __init__(self, name, model):
        super().__init__()
        self.name = name
        self.add_module(name, model)

    def forward(self, x):
        return getattr(self, self.name)(x)


class Mlp(nn.Module):
    def __init__(self, activation, width=256, layers=3):
        super().__init__()
        self.activation = activation
        hidden = 4 * width - 3  # no multiple of 8: kernels meet their tails
        self.up = nn.ModuleList(nn.Linear(width, hidden)
                                for _ in range(layers))
        self.down = nn.ModuleList(nn.Linear(hidden, width)
                                  for _ in range(layers))

    def block(self, i, x):
        return x + self.down[i](self.activation(self.up[i](x)))

    def forward(self, x):
        for i in range(len(self.up)):
            x = self.block(i, x)
        return x


class Gated(nn.Module):
    def __init__(self, width=256):
        super().__init__()
        self.gate, self.up = nn.Linear(width, 3 * width), nn.Linear(
            width, 3 * width)
        self.down = nn.Linear(3 * width, width)

    def forward(self, x):
        return x + self.down(F.silu(self.gate(x)) * self.up(x))


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.SiLU(),
            nn.Conv2d(24, 40, 3, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(40, 8, 1), nn.GELU(), nn.Flatten(), nn.Linear(8 * 144, 5))

    def forward(self, x):
        return self.layers(x)


class Checkpointed(Mlp):
    reentrant = False

    def forward(self, x):
        for i in range(len(self.up)):
            x = checkpoint(self.block, i, x, use_reentrant=self.reentrant)
        return x


class Reentrant(Checkpointed):
    reentrant = True


class WritesOutput(Mlp):
    def block(self, i, x):
        y = self.activation(self.up[i](x))
        y.mul_(1.5)  # legal: eager GELU keeps its input
        return x + self.down[i](y)


def size(y):
    return y.float().square().sum(-1).mean()


class Case:
    """A model, its batches, and what one step does; subclasses change that."""

    def __init__(self, name, model, shape, dtype=torch.float32):
        torch.manual_seed(1)
        self.model = Named(name, model()).to(DEVICE, dtype)
        self.batches = [torch.randn(shape, device=DEVICE, dtype=dtype)
                        for _ in range(STEPS)]
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)

    def loss(self, batch):
        return size(self.call(batch))

    def call(self, batch):
        return self.model(batch)

    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        return loss

    def run(self):
        losses, first = [], None
        for batch in self.batches:
            losses.append(self.step(batch).item())
            if first is None:
                first = {name: p.grad.detach().cpu().clone() for name, p in
                         self.model.named_parameters() if p.grad is not None}
            self.optimizer.step()
        return losses, first


class Autocast(Case):
    def loss(self, batch):
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            return size(self.model(batch))


class Scaled(Case):
    """fp16 autocast with a gradient scaler, as trainers do it."""

    def run(self):
        scaler = torch.amp.GradScaler(DEVICE, init_scale=1024.0)
        losses, first = [], None
        for batch in self.batches:
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(DEVICE, dtype=torch.float16):
                loss = size(self.model(batch))
            scaler.scale(loss).backward()
            losses.append(loss.item())
            if first is None:
                first = {name: p.grad.detach().cpu().clone()
                         for name, p in self.model.named_parameters()}
            scaler.step(self.optimizer)
            scaler.update()
        return losses, first


class Compiled(Case):
    def __init__(self, *args):
        super().__init__(*args)
        self.call = torch.compile(self.model)


class TwiceDifferentiated(Case):
    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        batch = batch.detach().requires_grad_()
        loss = self.loss(batch)
        gradient, = torch.autograd.grad(loss, batch, create_graph=True)
        loss = loss + gradient.float().square().sum()
        loss.backward()
        return loss


class NeedsInputGradient(Case):
    def loss(self, batch):
        return super().loss(batch.detach().requires_grad_())


class Retained(Case):
    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward(retain_graph=True)
        loss.backward()
        return loss


class SavedOnCpu(Case):
    def loss(self, batch):
        with torch.autograd.graph.save_on_cpu(pin_memory=DEVICE == "cuda"):
            return size(self.model(batch))


class SideStream(Case):
    """Forward and backward on a stream of their own, memory reused at once."""

    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = self.loss(batch)
            loss.backward()
        torch.cuda.current_stream().wait_stream(stream)
        return loss


class Graphed(Case):
    """A whole training step in one CUDA graph, replayed for each batch."""

    def run(self):
        static = self.batches[0].clone()
        state = {name: p.detach().clone()
                 for name, p in self.model.named_parameters()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # cuBLAS can't be started inside a capture, by nobody; backward has
            # a thread of its own.
            square = torch.ones(16, 16, device=DEVICE, requires_grad=True)
            F.linear(square, square, square[0]).sum().backward()
            for _ in range(int(os.environ.get("JOB_WARM_UP", "3"))):
                self.step(static)
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self.loss(static)
            loss.backward()
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                p.copy_(state[name])
        losses, first = [], None
        for batch in self.batches:
            static.copy_(batch)
            graph.replay()
            losses.append(loss.item())
            if first is None:
                first = {name: p.grad.detach().cpu().clone()
                         for name, p in self.model.named_parameters()}
            self.optimizer.step()
        return losses, first


class GraphedCallables(Case):
    def __init__(self, *args):
        super().__init__(*args)
        self.call = torch.cuda.make_graphed_callables(
            self.model, (self.batches[0].clone(),))


def tanh_gelu(x):
    return F.gelu(x, approximate="tanh")


def channels_last():
    return Convolutions().to(memory_format=torch.channels_last)


# A CPU is only for trying this script.
ROWS = (67, 31, 256) if DEVICE == "cuda" else (3, 5, 256)
BF16, FP16 = torch.bfloat16, torch.float16
CASES = {  # name: class, model, arguments
    "gelu_fp32": (Case, lambda: Mlp(F.gelu), ROWS),
    "gelu_bf16": (Case, lambda: Mlp(F.gelu), ROWS, BF16),
    "gelu_fp16": (Case, lambda: Mlp(F.gelu), ROWS, FP16),
    "gelu_fp64": (Case, lambda: Mlp(F.gelu), ROWS, torch.float64),
    "gelu_tanh_bf16": (Case, lambda: Mlp(tanh_gelu), ROWS, BF16),
    "silu_gated_bf16": (Case, Gated, ROWS, BF16),
    "channels_last": (Case, channels_last, (6, 3, 24, 24)),
    "autocast": (Autocast, lambda: Mlp(F.gelu), ROWS),
    "scaled_fp16": (Scaled, lambda: Mlp(F.gelu), ROWS),
    "checkpoint": (Case, lambda: Checkpointed(F.gelu), ROWS),
    "checkpoint_reentrant": (NeedsInputGradient, lambda: Reentrant(F.gelu),
                             ROWS),
    "writes_output": (Case, lambda: WritesOutput(F.gelu), ROWS),
    "double_backward": (TwiceDifferentiated, lambda: Mlp(F.gelu), ROWS),
    "retain_graph": (Retained, lambda: Mlp(F.silu), ROWS),
    "save_on_cpu": (SavedOnCpu, lambda: Mlp(F.gelu), ROWS),
    "side_stream": (SideStream, lambda: Mlp(F.gelu), ROWS),
    "graph": (Graphed, lambda: Mlp(F.gelu), ROWS),
    "graphed_callables": (GraphedCallables, lambda: Mlp(F.gelu), ROWS),
    "compiled": (Compiled, lambda: Mlp(F.gelu), ROWS),
}


def digest(tensors):
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous(
            memory_format=torch.contiguous_format).flatten()
        sha.update(name.encode())
        sha.update(tensor.view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]


def main():
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    results, gradients = {}, {}
    for name in sys.argv[2:] or CASES:
        try:
            case, *arguments = CASES[name]
            losses, first = case(name, *arguments).run()
            results[name] = {"losses": [loss.hex() for loss in losses],
                             "digest": digest(first)}
            gradients[name] = first
            # Through the CUDA driver's door the plugin comes with the first
            # CUDA call.
            library = support.plugin()
            if library is not None:
                results[name].update(support.totals(library))
        except Exception:  # reported: the driver fails the case
            results[name] = {"error": traceback.format_exc()[-1500:]}
    torch.save(gradients, sys.argv[1])
    print("RESULTS " + json.dumps(results), flush=True)


if __name__ == "__main__":
    main()
