"""Programs that must run with invact as they run without it. See probe.py.

A case notes what the program sees: values, error texts, whether objects are
the same. Notes of `near` may differ by what inversion is allowed to change.
"""

import backward_programs
import hook_programs
import mode_programs
from probe import main, names

CASES = [name for part in (backward_programs, hook_programs, mode_programs)
         for name in names(part.__name__)]

if __name__ == "__main__":
    main()
