"""Imports torch in two threads at once, again in the main thread, and trains
in a thread."""

import importlib
import json
import threading


def work():
    import tiny
    with lock:
        if not results:
            results.append(tiny.train(2))


lock, results = threading.Lock(), []
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
import torch  # noqa: E402

again = importlib.import_module("torch")
print(json.dumps({**results[0], "same": again is torch}))
