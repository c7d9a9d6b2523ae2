"""Backwards on a device whose gradients have digests; prints what the digests
must be, by Python's own integers on the host, and what the guest must leave
alone. argv: the device."""
import hashlib
import json
import struct
import sys

import torch
from torch import nn

DEVICE = sys.argv[1]
WORD = (1 << 64) - 1
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def mix(x):
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        x = ((x ^ x >> 32) * factor) & WORD
    return x ^ x >> 32


def digest(tensor, step):
    tensor = tensor.detach().cpu().contiguous()
    seed, total = mix(step + 1), 0
    for i, bits in enumerate(
            tensor.view(INTEGERS[tensor.element_size()]).reshape(-1).tolist()):
        total += mix((bits + 0x9E3779B97F4A7C15 * i + seed) & WORD)
    return total & WORD


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 16, 3, padding=1)
        self.wide = nn.Linear(16, 40001, bias=False)  # more than one chunk
        self.low = nn.Linear(16, 32, dtype=torch.bfloat16)
        self.small = nn.Linear(16, 32, dtype=torch.float16)
        self.precise = nn.Linear(16, 8, dtype=torch.float64)

    def forward(self, image):
        x = torch.nn.functional.gelu(self.conv(image)).mean((2, 3))
        out = self.wide(x).square().mean()
        for part in (self.low, self.small, self.precise):
            out = out + part(x.to(part.weight.dtype)).float().square().mean()
        return out


def main():
    torch.manual_seed(7)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    model = Model().to(DEVICE, memory_format=torch.channels_last)
    image = torch.randn(4, 8, 16, 16, device=DEVICE).to(
        memory_format=torch.channels_last)
    cuda = DEVICE != "cpu"
    stream = torch.cuda.Stream() if cuda else None
    copies = []
    for step in range(6):
        if step % 2 == 0:
            model.zero_grad(set_to_none=True)  # else they are accumulated
        if cuda and step == 3:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                loss = model(image)
                loss.backward()
            torch.cuda.current_stream().wait_stream(stream)
        else:
            loss = model(image)
            loss.backward()
        # Copied in the job's own order; the host does not wait here.
        copies.append((loss.detach().clone(), {
            name: p.grad.clone() for name, p in model.named_parameters()}))
    state = hashlib.sha256(bytes(torch.get_rng_state().tolist()))
    if cuda:
        state.update(bytes(torch.cuda.get_rng_state().tolist()))
    for loss, gradients in copies:
        for tensor in [loss, *gradients.values()]:
            words = tensor.cpu().reshape(-1).view(torch.uint8)
            state.update(bytes(words.tolist()))
    steps = [{
        "loss": struct.unpack("<Q", struct.pack("<d", float(loss)))[0],
        "gradients": {name: digest(gradient, step)
                      for name, gradient in gradients.items()}}
        for step, (loss, gradients) in enumerate(copies)]
    print("RESULTS " + json.dumps({
        "steps": steps, "state": state.hexdigest(),
        "peak": torch.cuda.max_memory_allocated() if cuda else 0}))


main()
