"""A server on the daemon's socket that behaves as the test says."""

import os
from concurrent import futures

import grpc


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """The encoded message's (number, value) pairs; no generated code."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            value, at = data[at:at + 8], at + 8
        elif key & 7 == 5:
            value, at = data[at:at + 4], at + 4
        else:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def batch_of(request):
    """StreamRequest.batch by field numbers, and how many steps it has; None
    for a hello."""
    number, value = next(fields(request))
    if number != 2:
        return None
    steps = sum(1 for number, _ in fields(value) if number == 6)
    return {**dict(fields(value)), "steps": steps}


def welcome(seq):
    return b"\x0a\x04\x08" + bytes([seq]) + b"\x10\x01"


def ack(seq):
    inside = b"\x08" + (bytes([seq]) if seq < 128
                        else bytes([seq & 0x7F | 0x80, seq >> 7]))
    return b"\x12" + bytes([len(inside)]) + inside


class FakeDaemon:
    """talk(hello, requests, context) yields encoded StreamResponses."""

    def __init__(self, socket, talk):
        self.streams = 0
        self.talk = talk
        handler = grpc.stream_stream_rpc_method_handler(self._stream)
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((
            grpc.method_handlers_generic_handler(
                "invact.v1.IngestService", {"Stream": handler}),))
        assert self.server.add_insecure_port(f"unix:{socket}")
        os.chmod(socket, 0o600)
        self.server.start()

    def _stream(self, requests, context):
        self.streams += 1
        yield from self.talk(next(requests), requests, context)

    def stop(self):
        self.server.stop(0).wait()
