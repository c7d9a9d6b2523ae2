"""Imports what it is told to import, trains nothing, prints how it looks."""

import importlib
import json
import sys

import footprints

for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(footprints.footprint()))
