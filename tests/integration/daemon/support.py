"""An invactd of its own for each test, and a client that knows only what the
daemon's reflection service tells it."""

import os
import pathlib
import queue
import secrets
import signal
import socket
import sqlite3
import subprocess
import time

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase)

BIN = pathlib.Path(os.environ["INVACT_BIN_DIR"])
NS = 1_000_000_000
# A sanitizer's own memory says nothing about the daemon's.
SANITIZED = any(name in subprocess.run(
    ["ldd", BIN / "invactd"], stdout=subprocess.PIPE, text=True).stdout
    for name in ("libtsan", "libasan"))


def wait_for(condition, seconds=10, what="condition"):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} not met in {seconds} s"
        time.sleep(0.01)


class Client:
    def __init__(self, target, credentials=None, token=None):
        options = [("grpc.max_receive_message_length", 64 << 20),
                   ("grpc.use_local_subchannel_pool", 1)]
        self.channel = (
            grpc.secure_channel(target, credentials, options)
            if credentials else grpc.insecure_channel(target, options))
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        self.db = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.db)

    def message(self, name):
        descriptor = self.pool.FindMessageTypeByName(f"invact.v1.{name}")
        return message_factory.GetMessageClass(descriptor)

    def method(self, service, name):
        descriptor = self.pool.FindServiceByName(f"invact.v1.{service}")
        return descriptor.FindMethodByName(name)

    def stub(self, service, name, kind):
        method = self.method(service, name)
        reply = message_factory.GetMessageClass(method.output_type)
        return getattr(self.channel, kind)(
            f"/invact.v1.{service}/{name}",
            request_serializer=lambda m: m if isinstance(m, bytes)
            else m.SerializeToString(),
            response_deserializer=reply.FromString)

    def call(self, name, timeout=10, **fields):
        method = self.method("RunService", name)
        request = message_factory.GetMessageClass(method.input_type)(**fields)
        stub = self.stub("RunService", name, "unary_unary")
        return stub(request, timeout=timeout, metadata=self.metadata)

    def watch(self, timeout=30, **fields):
        request = self.message("WatchRunRequest")(**fields)
        return self.stub("RunService", "WatchRun", "unary_stream")(
            request, timeout=timeout, metadata=self.metadata)

    def close(self):
        self.channel.close()


class Relay:
    """One stream, as invact-relay opens it. With connect=False it only makes
    messages."""

    def __init__(self, client, run_id=None, secret=None, major=1, timeout=60,
                 connect=True, minor=1, kernels=(), **run):
        self.client = client
        self.id = run_id or secrets.token_hex(8)
        self.secret = secret or secrets.token_bytes(16)
        self.seq = 0
        self.acked = 0
        self.out = queue.Queue()
        if connect:
            stub = client.stub("IngestService", "Stream", "stream_stream")
            self.replies = stub(iter(self.out.get, None), timeout=timeout,
                                metadata=client.metadata)
        request = client.message("StreamRequest")()
        hello = request.hello
        hello.protocol_major, hello.protocol_minor = major, minor
        hello.run_secret = self.secret
        fields = dict(id=self.id, name="train.py", job_id=self.id, pid=4242,
                      policy="invert", host="here", torch_version="2.11.0",
                      device="cpu", world_size=1, invact_version="0.1.0")
        fields.update(run)
        started = fields.pop("started", time.time())
        for key, value in fields.items():
            setattr(hello.run, key, value)
        hello.run.started_at.FromNanoseconds(int(started * NS))
        for kernel in kernels:
            hello.kernels.add(**kernel)
        self.hello = request
        self.send(request)

    def send(self, message):
        self.out.put(message)

    def welcome(self):
        reply = next(self.replies)
        assert reply.WhichOneof("message") == "welcome", reply
        self.seq = self.acked = reply.welcome.last_seq
        return reply.welcome

    def batch(self, seq=None):
        request = self.client.message("StreamRequest")()
        self.seq = seq if seq is not None else self.seq + 1
        request.batch.seq = self.seq
        request.batch.wall_time_ns = time.time_ns()
        request.batch.monotonic_time_ns = time.monotonic_ns()
        return request

    def send_step(self, index, layers=3, records=0, end=None, action="invert"):
        """A batch with one complete step and its table."""
        request = self.batch()
        batch = request.batch
        for i in range(1, layers + 1):
            batch.scopes.add(id=i, name=f"model.layers.{i}", block=True)
            batch.sites.add(id=i, scope=i, pack_ordinal=0, op="GeluBackward0",
                            dtype="float32", category="activation")
        table = batch.last_step
        totals = table.totals
        totals.index, totals.complete, totals.phase = index, True, "done"
        for i in range(1, layers + 1):
            table.rows.add(site=i, baseline_bytes=1000 * i,
                           held_bytes=600 * i, side_bytes=10 * i,
                           action=action)
            table.scopes.add(scope=i, input_bytes=500, calls=1, forward_ns=9)
            totals.baseline_bytes += 1000 * i
            totals.held_bytes += 600 * i
            totals.side_bytes += 10 * i
        totals.activation_bytes = totals.baseline_bytes
        totals.begin_ns, totals.backward_begin_ns = index * 1000 + 1, (
            index * 1000 + 400)
        totals.end_ns = index * 1000 + 900
        totals.saved_tensors = layers
        totals.peak_allocated_bytes = 1 << 20
        batch.steps.add().CopyFrom(totals)
        batch.max_step.CopyFrom(table)
        if records:
            # Addresses and streams of which packing makes little smaller.
            tail = (1).to_bytes(4, "little") + index.to_bytes(
                4, "little") + bytes([1, 0, 255, 1]) + bytes(4)
            noise = os.urandom(16 * records)
            batch.records = b"".join(
                (1).to_bytes(8, "little") + noise[at:at + 8] + bytes(8)
                + noise[at + 8:at + 16] + tail
                for at in range(0, 16 * records, 16))
            batch.record_bytes = 48
            assert len(batch.records) == 48 * records
        if end:
            batch.end.state, batch.end.end_reason = end
            batch.end.ended_wall_ns = time.time_ns()
        self.send(request)
        return request

    def wait_ack(self, seq=None):
        seq = self.seq if seq is None else seq
        while self.acked < seq:
            reply = next(self.replies)
            assert reply.WhichOneof("message") == "ack", reply
            self.acked = reply.ack.seq
        return self.acked

    def half_close(self):
        self.out.put(None)

    def finish(self):
        """Half-closes; what the daemon still had to say, its status code."""
        self.half_close()
        return self.end()

    def end(self):
        try:
            for reply in self.replies:
                if reply.WhichOneof("message") == "ack":
                    self.acked = reply.ack.seq
        except grpc.RpcError:
            pass
        return self.replies.code(), self.replies.details()


class Daemon:
    def __init__(self, folder, *args, start=True):
        self.folder = pathlib.Path(folder)
        self.state = self.folder / "state"
        self.socket = self.folder / "d.sock"
        self.spool = self.folder / "spool"
        self.args = args
        self.process = None
        self.clients = []
        if start:
            self.start()

    @property
    def database(self):
        return self.state / "invact.db"

    def spawn(self, *args):
        return subprocess.Popen(
            [BIN / "invactd", "--state-dir", self.state, "--socket",
             self.socket, "--spool-dir", self.spool, *self.args, *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    def start(self, *args):
        self.process = self.spawn(*args)
        wait_for(self.answers, what="daemon answers")
        return self

    def answers(self):
        assert self.process.poll() is None, self.process.communicate()
        with socket.socket(socket.AF_UNIX) as peer:
            # By itself: gRPC waits a second after a refused attempt.
            return peer.connect_ex(str(self.socket)) == 0

    def refused(self, *args):
        """Starts one that must not start; its exit code and stderr."""
        process = self.spawn(*args)
        _, err = process.communicate(timeout=20)
        return process.returncode, err

    def client(self, target=None, **kwargs):
        client = Client(target or f"unix:{self.socket}", **kwargs)
        self.clients.append(client)
        return client

    def rows(self, sql, *values):
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def log(self):
        return (self.state / "invactd.log").read_text()

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def stop(self, number=signal.SIGTERM, seconds=10):
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def close(self):
        for client in self.clients:
            client.close()
        if self.process and self.process.poll() is None:
            self.kill()
