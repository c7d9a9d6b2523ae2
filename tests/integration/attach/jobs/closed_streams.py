"""A job that begins without stderr (and stdout, when told so): its next files
get those numbers. Prints into its own result file how they fared."""

import json
import os
import sys

result = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.dup2(result, 100)
os.close(result)
files = []
while not files or files[-1].fileno() < 2:
    files.append(open(f"{sys.argv[1]}.{len(files)}", "w+b"))
assert files[-1].fileno() == 2  # stderr's number
import tiny  # noqa: E402

trained = tiny.train(2)
for file in files:
    file.write(b"data")
    file.flush()
    file.seek(0)
os.write(100, json.dumps({
    **trained,
    "numbers": [file.fileno() for file in files],
    "contents": [file.read().decode() for file in files]}).encode())
os._exit(0) if len(sys.argv) > 2 else sys.exit(0)
