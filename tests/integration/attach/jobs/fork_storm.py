"""Forks again and again while threads train, so that some forks happen while
any lock of the plugin is held. A child writes in place, trains and leaves; one
that hangs is killed by its alarm. It draws no random number: torch's generator
has a lock of its own, which a training thread may hold at the fork."""

import json
import os
import signal
import sys
import threading

import tiny
import torch

torch.set_num_threads(1)


def work():
    model = tiny.make()
    while not stop.is_set():
        tiny.step(model)
        training.release()


stop, training, codes = threading.Event(), threading.Semaphore(0), {}
module = torch.nn.Linear(4, 4)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(8):  # both are under way
    training.acquire()
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        torch.zeros(8).mul_(2)
        module(torch.ones(1, 4)).sum().backward()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    codes[code] = codes.get(code, 0) + 1
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(codes))
