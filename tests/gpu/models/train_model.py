#!/usr/bin/env python3
"""An ordinary training job: one of bench_models.py's models, no word of invact.

  python tests/gpu/models/train_model.py bert|gpt2|vit|llama [--steps N]
      [--attention math]

What is to be compared bit by bit has to repeat itself: seeds are fixed and
PyTorch is asked for deterministic kernels. BERT's attention, which is given a
mask, has one only by the math kernel, which keeps the weights of attention.
"""
import argparse
import os

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch  # noqa: E402

from bench_models import MODELS  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--attention", choices=("flash", "math"),
                        default="flash")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.enable_cudnn_sdp(False)  # its backward is not
    if options.attention == "math":
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
    with torch.device("cuda"):
        model, make_batch = MODELS[options.model]()
    model = model.to(torch.bfloat16).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(options.steps):
        optimizer.zero_grad()
        loss = model(**make_batch()).last_hidden_state.float().square().mean()
        loss.backward()
        optimizer.step()
    print(f"{options.model}: loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
