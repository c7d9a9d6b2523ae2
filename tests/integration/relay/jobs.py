"""A job that writes to the real rings (ring_job), its relay, and what the
database holds of it, read by sqlite3 alone."""

import ctypes
import os
import pathlib
import signal
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "daemon"))

from spools import crc32c  # noqa: E402
from support import BIN, Daemon, wait_for  # noqa: E402, F401

RELAY = BIN / "invact-relay"
JOB = BIN.parent / "tests" / "ring_job"
RECORD = struct.Struct("<QQqQIIBBbBI")
PROGRESS = struct.Struct("<5q")


def state(pid):
    """The process's state letter; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid):
    return state(pid) not in (None, "Z", "X")


def cpu_ns(pid):
    """Of all threads that live, as the scheduler counts it."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                total += int(file.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended since it was listed
    return total


def memory_kib(pid, field="VmRSS"):
    with open(f"/proc/{pid}/status") as file:
        return int(file.read().split(f"{field}:")[1].split()[0])


def find_relay(job_pid):
    wanted = [b"invact-relay", str(job_pid).encode()]
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                if file.read().split(b"\0")[:2] == wanted:
                    return int(entry)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return None


class Job:
    def __init__(self, folder, env=None, relay=RELAY, **options):
        self.folder = pathlib.Path(folder)
        self.progress_file = self.folder / f"progress{id(self)}"
        self.spool = self.folder / "spool"
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder),
            "INVACT_STATE_DIR": str(self.folder / "state"),
            "INVACT_SPOOL_DIR": str(self.spool),
            "INVACT_DAEMON": f"unix:{self.folder}/d.sock", **(env or {})}
        self.process = subprocess.Popen(
            [JOB, relay, self.progress_file,
             *(f"{name}={value}" for name, value in options.items())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment)
        self.id = self.process.stdout.readline().strip()
        assert len(self.id) == 16, self.process.communicate()
        self.relay = wait_for(lambda: find_relay(self.process.pid),
                              what="the relay runs")

    @property
    def run_folder(self):
        return self.spool / self.id

    def progress(self):
        """steps, time of the last one, records, dropped, slowest push."""
        return PROGRESS.unpack(self.progress_file.read_bytes())

    def wait_steps(self, count, seconds=20):
        wait_for(lambda: self.progress()[0] >= count, seconds, "steps made")

    def finish(self, seconds=60):
        """Ends the input; the exit code and what the job saw of children."""
        out, err = self.process.communicate(timeout=seconds)
        assert err == "", err
        return self.process.returncode, out.strip()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def wait_relay(self, seconds=30):
        wait_for(lambda: not alive(self.relay), seconds, "the relay ends")

    def segments(self):
        return sorted(self.run_folder.glob("*.spool"))

    def log(self):
        file = self.run_folder / "relay.log"
        return file.read_text() if file.exists() else ""

    def close(self):
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout,
                       self.process.stderr):
            stream.close()
        if alive(self.relay):
            os.kill(self.relay, signal.SIGKILL)


def run(daemon, run_id):
    """What the database says of the run, by column."""
    columns = ("state", "end_reason", "exit_code", "steps", "events_dropped",
               "device", "name", "signal")
    found = daemon.rows(f"SELECT {', '.join(columns)} FROM runs_v1 "
                        "WHERE id = ?", run_id)
    return dict(zip(columns, found[0])) if found else None


KERNELS = [  # as ring_job leaves three of them
    (f"op{number}", "bfloat16", "cpu", "built-in", 1, unit, 2 * unit, 3 * unit,
     4 * unit, 5 * unit, 6 * unit, 1, None, None)
    for number, unit in enumerate((0.25, 0.5, 0.5))]


def kernels(daemon, run_id):
    return daemon.rows(
        "SELECT op, dtype, device, library, side_bits, stated_max, stated_rms, "
        "floor_max, floor_rms, error_max, error_rms, served, reason, detail "
        "FROM kernels_v1 WHERE run_id = ? ORDER BY op", run_id)


def ended(daemon, run_id):
    found = run(daemon, run_id)
    return found if found and found["state"] != "running" else None


def wait_end(daemon, run_id, seconds=30):
    return wait_for(lambda: ended(daemon, run_id), seconds, "the run ends")


def sequence(daemon, run_id):
    return [seq for seq, in daemon.rows(
        "SELECT seq FROM batches_v1 WHERE run_id = ? ORDER BY seq", run_id)]


def unpack(blob, size):
    """Of zstd, which Python 3.11 does not have, by the library itself."""
    zstd = ctypes.CDLL("libzstd.so.1")
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(size)
    got = zstd.ZSTD_decompress(out, ctypes.c_size_t(size), blob,
                               ctypes.c_size_t(len(blob)))
    assert got == size
    return out.raw


def records(daemon, run_id):
    """Numbers of the stored records, in their order, by writer."""
    by_writer = {}
    for size, count, blob in daemon.rows(
            "SELECT e.record_bytes, e.events, e.records FROM event_blobs AS e "
            "JOIN runs AS r ON r.pk = e.run WHERE r.id = ? ORDER BY e.seq",
            run_id):
        assert size == RECORD.size
        for record in RECORD.iter_unpack(unpack(blob, count * size)):
            by_writer.setdefault(record[3], []).append(record[2])
    return by_writer


def steps(daemon, run_id):
    return [step for step, in daemon.rows(
        "SELECT step FROM steps_v1 WHERE run_id = ? ORDER BY step", run_id)]


def check_whole(daemon, job):
    """Every batch once; every record that was not dropped once, in order; and
    nothing is missing that is not counted."""
    seqs = sequence(daemon, job.id)
    assert seqs == list(range(1, len(seqs) + 1))
    stored = 0
    for numbers in records(daemon, job.id).values():
        assert all(a < b for a, b in zip(numbers, numbers[1:]))
        stored += len(numbers)
    made, _, written, ring_dropped, _ = job.progress()
    found = run(daemon, job.id)
    lost_steps = made - len(steps(daemon, job.id))
    assert written == stored + found["events_dropped"] - lost_steps, (
        written, stored, found, lost_steps)
    assert daemon.rows("PRAGMA integrity_check") == [("ok",)]
    return stored


def frames(path):
    """(seq, payload) of a segment's whole frames, without our reader."""
    data = path.read_bytes()
    assert data[:8] == b"invactSP"
    assert struct.unpack_from("<I", data, 32)[0] == crc32c(data[:32])
    at, found = 36, []
    while at + 16 <= len(data):
        crc, size, seq = struct.unpack_from("<IIQ", data, at)
        if at + 16 + size > len(data):
            break
        assert crc == crc32c(data[at + 4:at + 16 + size])
        found.append((seq, data[at + 16:at + 16 + size]))
        at += 16 + size
    return found
