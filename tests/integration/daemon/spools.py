"""Writes spools as proto/spool_format.h describes them, without its code."""

import fcntl
import os
import struct

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's check value


def header(run_id, version=1):
    head = b"invactSP" + struct.pack("<II", version, 36) + run_id.encode()
    return head + struct.pack("<I", crc32c(head))


def frame(seq, message):
    payload = (message if isinstance(message, bytes)
               else message.SerializeToString())
    rest = struct.pack("<IQ", len(payload), seq) + payload
    return struct.pack("<I", crc32c(rest)) + rest


class Spool:
    """The folder of one run. `hold` is what a live relay does."""

    def __init__(self, root, run_id):
        self.run_id = run_id
        self.folder = root / run_id
        root.mkdir(mode=0o700, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        (self.folder / "relay.log").write_text("said something\n")
        self.lock = self.folder / "lock"
        self.lock.touch(mode=0o600)

    def hold(self):
        fd = os.open(self.lock, os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd

    def write(self, first_seq, frames, version=1):
        path = self.folder / f"{first_seq:016x}.spool"
        path.write_bytes(header(self.run_id, version) + b"".join(frames))
        return path

    def segment(self, requests, hello):
        first = requests[0].batch.seq
        return self.write(first, [frame(0, hello)] + [
            frame(r.batch.seq, r) for r in requests])
