"""Trains a small language model on the Python standard library, byte by byte.

A decoder-only transformer in plain PyTorch: the text is every .py file of the
standard library that runs this script, so nothing is downloaded. By default it
is sized for two CPU cores and learns something within a minute:

    python train_lm.py
    python train_lm.py --mlp swiglu --norm rms
    python train_lm.py --device cuda --dtype autocast --width 1024 --layers 12
"""

import argparse
import contextlib
import functools
import math
import pathlib
import sysconfig
import time

import torch
from torch import nn
from torch.nn import functional as F

VOCABULARY = 256  # a token is a byte


def read_text(limit):
    """The first `limit` bytes of the standard library's sources, in order of
    their paths."""
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    text = bytearray()
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if "site-packages" in parts or "dist-packages" in parts:
            continue
        text += path.read_bytes()
        if len(text) >= limit:
            break
    if not text:
        raise SystemExit(f"no Python sources below {root}")
    return torch.frombuffer(text[:limit], dtype=torch.uint8)


def batches(text, batch, context, device):
    """Windows of `context` bytes from random places, each with the bytes that
    follow its own."""
    places = torch.randint(len(text) - context - 1, (batch,))
    windows = torch.stack([text[p:p + context + 1] for p in places]).long()
    windows = windows.to(device)
    return windows[:, :-1], windows[:, 1:]


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class GeluMlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.act = nn.GELU()
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.down(self.act(self.up(x)))


class SwiGluMlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        hidden = 8 * width // 3
        self.gate = nn.Linear(width, hidden, bias=False)
        self.act = nn.SiLU()
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(self.act(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, width, heads, mlp, norm):
        super().__init__()
        self.norm1 = norm(width)
        self.attention = Attention(width, heads)
        self.norm2 = norm(width)
        self.mlp = mlp(width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class LanguageModel(nn.Module):
    def __init__(self, layers, width, heads, context, mlp, norm):
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, width)
        self.place = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp, norm) for _ in range(layers))
        self.norm = norm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        for embedding in (self.token, self.place):
            nn.init.normal_(embedding.weight, std=1 / math.sqrt(width))

    def forward(self, tokens):
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.token(tokens) + self.place(places)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


@torch.no_grad()
def validate(model, text, arguments, lower):
    """Mean loss on the same places whatever the seed was."""
    torch.manual_seed(0)
    losses = []
    for _ in range(arguments.validate):
        tokens, following = batches(text, arguments.batch, arguments.context,
                                    arguments.device)
        with lower():
            logits = model(tokens)
        losses.append(F.cross_entropy(logits.flatten(0, 1).float(),
                                      following.flatten()).item())
    return sum(losses) / len(losses)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--mlp", choices=("gelu", "swiglu"), default="gelu")
    parser.add_argument("--norm", choices=("layer", "rms"), default="layer")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--context", type=int, default=128, help="in bytes")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("fp32", "bf16", "autocast"),
                        default="fp32", help="autocast computes in bf16")
    parser.add_argument("--text-bytes", type=int, default=8 << 20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate", type=int, default=0, metavar="BATCHES",
                        help="train on nine tenths of the text and tell the "
                        "loss on so many batches of the rest")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error(f"--steps {arguments.steps} trains nothing")
    if arguments.width % arguments.heads:
        parser.error(f"--width {arguments.width} does not divide into "
                     f"--heads {arguments.heads}")
    return arguments


def main():
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    text = read_text(arguments.text_bytes)
    unseen = text[len(text) * 9 // 10:]
    if arguments.validate:
        text = text[:len(text) * 9 // 10]
    model = LanguageModel(
        arguments.layers, arguments.width, arguments.heads, arguments.context,
        mlp={"gelu": GeluMlp, "swiglu": SwiGluMlp}[arguments.mlp],
        norm={"layer": nn.LayerNorm, "rms": nn.RMSNorm}[arguments.norm])
    model.to(arguments.device)
    if arguments.dtype == "bf16":
        model.to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr)

    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters / 1e6:.1f} M parameters, {len(text) / 1e6:.1f} MB of "
          f"text, {arguments.batch} x {arguments.context} bytes a step")
    lower = contextlib.nullcontext
    if arguments.dtype == "autocast":
        lower = functools.partial(torch.autocast, arguments.device,
                                  torch.bfloat16)
    begin = time.monotonic()
    for step in range(arguments.steps):
        tokens, following = batches(text, arguments.batch, arguments.context,
                                    arguments.device)
        with lower():
            logits = model(tokens)
            loss = F.cross_entropy(logits.flatten(0, 1).float(),
                                   following.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0 or step == arguments.steps - 1:
            print(f"step {step:4d}  loss {loss.item():.4f}", flush=True)
    seconds = time.monotonic() - begin
    print(f"{seconds / arguments.steps:.3f} s a step")
    print(f"final loss {loss.item():.6f}")
    if arguments.validate:
        print(f"validation loss "
              f"{validate(model, unseen, arguments, lower):.9f}")


if __name__ == "__main__":
    main()
