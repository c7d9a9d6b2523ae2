"""Every family in every precision, trained for some steps. See probe.py.

Of each step the loss, every gradient and the generator's state are noted; of
the end, every parameter and buffer.
"""

import torch

from digests import digest, gradients
from families import FAMILIES
from probe import case, main, names

STEPS = 8
MANY_STEPS = 50


def _optimizers(parameters):
    return {"sgd": lambda: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
            "adamw": lambda: torch.optim.AdamW(parameters, lr=1e-3),
            "fused": lambda: torch.optim.AdamW(parameters, lr=1e-3,
                                               fused=True)}


def train(probe, family, dtype=torch.float32, autocast=None, steps=STEPS,
          optimizer="adamw"):
    model, make = family()
    model = model.to(dtype).train()
    update = _optimizers([p for p in model.parameters()
                          if p.requires_grad])[optimizer]()
    batches = [make() for _ in range(2)]
    table = []
    for step in range(steps):
        batch = {name: value.to(dtype) if value.is_floating_point() else value
                 for name, value in batches[step % 2].items()}

        def forward():
            with torch.autocast("cpu", autocast or torch.bfloat16,
                                enabled=autocast is not None):
                return model(**batch).loss

        if step < steps - 1:
            loss = forward()
            loss.backward()
        else:  # the oracle counts, and the plugin is asked
            loss = probe.step(forward, model)
        table.append({"loss": digest(loss), "gradients": gradients(model),
                      "random": digest(torch.get_rng_state())})
        update.step()
        update.zero_grad(set_to_none=True)
    probe.note(table=table, end={
        name: digest(value) for name, value in model.state_dict().items()})


PRECISIONS = {
    "float32": {"steps": MANY_STEPS},
    "bfloat16": {"dtype": torch.bfloat16, "optimizer": "sgd"},
    "float16": {"dtype": torch.float16, "optimizer": "sgd", "steps": 4},
    "autocast": {"autocast": torch.bfloat16, "optimizer": "fused"},
    "autocast_float16": {"autocast": torch.float16, "steps": 4},
}


def _case(family, precision):
    def run(probe):
        train(probe, family, **PRECISIONS[precision])

    run.__name__ = f"{family.__name__}_{precision}"
    case(run)


for _family in FAMILIES:
    for _precision in PRECISIONS:
        _case(_family, _precision)

CASES = names(__name__)

if __name__ == "__main__":
    main()
