"""Opens the door that the CUDA driver opens: InitializeInjection, called on a
thread that does not hold the GIL, before or after torch is imported."""

import ctypes
import json
import sys
import threading

order, library = sys.argv[1:]


def inject():
    # ctypes gives the GIL up around the call, as cuInit's callers may.
    answers.append(ctypes.CDLL(library).InitializeInjection())


answers = []
if order == "after-torch":
    import tiny
thread = threading.Thread(target=inject)
thread.start()
thread.join()
if order == "before-torch":
    import tiny
print(json.dumps({**tiny.train(2), "answers": answers}))
