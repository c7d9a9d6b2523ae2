"""Programs that must run under `rebuild` as they run without invact.

A case notes what the program sees: digests of gradients and of what it wrote,
error texts. See probe.py.
"""

import backward_programs
import functional_programs
import memory_programs
import mode_programs
import module_programs
import node_programs
import offload_programs
import random_programs
import shared_programs
import thread_programs
import write_programs
from probe import main, names

# Each in a process of its own.
GROUPS = {"writes": names(write_programs.__name__),
          "backwards": names(backward_programs.__name__),
          "random": names(random_programs.__name__),
          "modules": names(module_programs.__name__),
          "modes": names(mode_programs.__name__),
          "threads": names(thread_programs.__name__),
          "offloads": names(offload_programs.__name__),
          "memory": names(memory_programs.__name__),
          "nodes": names(node_programs.__name__),
          "shared": names(shared_programs.__name__),
          "functional": names(functional_programs.__name__)}
CASES = {name: group for group, group_names in GROUPS.items()
         for name in group_names}

if __name__ == "__main__":
    main()
