"""Trains `steps` steps and prints what came of it and how it looks."""

import json
import sys

import footprints
import tiny

result = tiny.train(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
print(json.dumps({**result, **footprints.footprint()}))
