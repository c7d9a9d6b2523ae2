"""Forks again and again while threads train, so that some forks happen while
any lock of the plugin is held. A child writes in place, trains and leaves; one
that hangs is killed by its alarm. Nothing is random here: a child that draws a
number while a thread of its parent did hangs in torch itself, on the lock of
the generator."""

import json
import os
import signal
import sys
import threading

import torch
from torch import nn

torch.set_num_threads(1)


def step(model):
    model(torch.ones(64, 16)).square().mean().backward()


def work(model):
    while not stop.is_set():
        step(model)
        training.release()


stop, training, codes = threading.Event(), threading.Semaphore(0), {}
models = [nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 32),
                        nn.SiLU(), nn.Linear(32, 1)) for _ in range(3)]
threads = [threading.Thread(target=work, args=(model,))
           for model in models[:2]]
for thread in threads:
    thread.start()
for _ in range(8):  # both are under way
    training.acquire()
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        torch.zeros(8).mul_(2)
        step(models[2])
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    codes[code] = codes.get(code, 0) + 1
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(codes))
