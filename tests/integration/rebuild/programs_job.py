"""Programs that must run under `rebuild` as they run without invact.

A case notes what the program sees: digests of gradients and of what it wrote,
error texts. See probe.py.
"""

import write_programs
from probe import main, names

WRITERS = names(write_programs.__name__)
CASES = WRITERS

if __name__ == "__main__":
    main()
