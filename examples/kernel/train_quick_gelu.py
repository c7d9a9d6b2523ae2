"""A small network on an activation that PyTorch does not have.

QuickGELU as an op of one's own: PyTorch keeps x for it, which a kernel library
for the op can spare. Nothing here knows of invact.

    python train_quick_gelu.py [--steps N]
"""
import argparse

import torch


@torch.library.custom_op("example::quick_gelu", mutates_args=())
def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


def backward(ctx, dy):
    (x,) = ctx.saved_tensors
    s = torch.sigmoid(1.702 * x)
    return dy * s * (1 + 1.702 * x * (1 - s))


quick_gelu.register_autograd(
    backward,
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))


class QuickGELU(torch.nn.Module):
    def forward(self, x):
        return torch.ops.example.quick_gelu(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    steps = parser.parse_args().steps
    torch.manual_seed(1)
    network = torch.nn.Sequential(
        torch.nn.Linear(32, 512), QuickGELU(), torch.nn.Linear(512, 1)
    ).bfloat16()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for step in range(steps):
        x = torch.randn(256, 32).bfloat16()
        wanted = x.float().abs().mean(dim=1, keepdim=True)
        loss = (network(x).float() - wanted).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 5 == 0 or step == steps - 1:
            print(f"step {step} loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
