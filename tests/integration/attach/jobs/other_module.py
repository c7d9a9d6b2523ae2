"""Imports an extension module whose start is called initModule too: before
torch is there, or after it."""

import importlib.util
import json
import os
import sys

before, after, folder = sys.argv[1:]


def load(name):
    """Whether the module came from its own initModule."""
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(folder, f"{name}.so"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.origin == name


made = [load(before)]
import tiny  # noqa: E402

result = tiny.train(1)
made.append(load(after))
print(json.dumps({"made": made, "losses": result["losses"]}))
