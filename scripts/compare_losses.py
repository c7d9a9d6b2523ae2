"""Prints the final losses of two runs of examples/train_lm.py and how far they
are apart.

usage: compare_losses.py OBSERVE_OUTPUT INVERT_OUTPUT
"""

import re
import sys

_LOSS = re.compile(r"\bloss[ =:]+([0-9.]+(?:e[-+]?[0-9]+)?)", re.I)


def final_loss(path):
    """The last loss that a job printed."""
    with open(path, encoding="utf-8") as file:
        losses = _LOSS.findall(file.read())
    if not losses:
        sys.exit(f"{path}: the job printed no loss")
    return float(losses[-1])


def main():
    observe, invert = (final_loss(path) for path in sys.argv[1:3])
    apart = 100 * abs(invert - observe) / abs(observe)
    print(f"observe {observe:.6f}   invert {invert:.6f}   "
          f"difference {apart:.4f} %")
    return 0 if apart <= 1.0 else 1


if __name__ == "__main__":
    sys.exit(main())
