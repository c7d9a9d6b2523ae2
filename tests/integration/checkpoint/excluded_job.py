"""Three blocks, of which the environment says what is to be done with them."""

from blocks_job import Mlp, stack
from probe import case, main


@case
def three_blocks(probe):
    stack(probe, [Mlp(32) for _ in range(3)])


if __name__ == "__main__":
    main()
