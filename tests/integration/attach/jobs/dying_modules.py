"""Makes and drops models while the plugin is switched off and on. Prints how
many of the scopes seen do not belong to the model alive."""

import ctypes
import gc
import json
import random

import torch
from torch import nn


def plugin():
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].strip()
            if "libinvact-torch" in path:
                return ctypes.CDLL(path)
    raise SystemExit("not attached")


def model(depth):
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(8, 8), nn.Tanh()]
    return nn.Sequential(*layers)


library = plugin()
generator = random.Random(0)
for _ in range(60):
    one = model(generator.randrange(1, 6))
    for policy in ("observe", "none"):
        assert library.invact_set_policy_for_test(policy.encode()) == 0
        one(torch.randn(2, 8)).sum().backward()
    # Its modules die unseen; the next ones come to lie where they lay.
    del one
    gc.collect()
library.invact_set_policy_for_test(b"observe")
last = model(7)
last(torch.randn(2, 8)).sum().backward()
print(json.dumps({"depth": len(last)}))
