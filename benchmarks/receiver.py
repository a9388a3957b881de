"""The companion as a receiver: how much fifty boards at once deliver, beside a plain synced copy of as many bytes.

    python -m benchmarks.receiver [--runs 3]

Host figures: they say something about this machine only, and change with its load. Goal: no error, memory that does not
grow with the files, and at least 200 MB/s or half of what `cat` to the same disk makes in the same minute. Exit code 1
on a miss, with the processor time of both sides, because senders and receiver share this machine's cores.

The senders cost as little as can be: one curl with fifty connections (tus), `sendfile` in its own process (raw TCP).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import logging
import multiprocessing
import multiprocessing.connection
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maixpix.companion import ServeSettings, UploadLimits, running

BOARDS = 50
FILE_BYTES = 8_000_000
TOTAL_MB = BOARDS * FILE_BYTES / 1e6
GOAL_MB = 200.0
MEMORY_KIB = 256 * 1024
"""Most memory of the receiver: Python with Pillow and aiohttp, and at most 2 MiB for each board."""

PATCH_HEADERS = (
    "Tus-Resumable: 1.0.0",
    "Upload-Offset: 0",
    "Content-Type: application/offset+octet-stream",
    "Expect:",
)


class Server:
    """A companion in a process of its own."""

    def __init__(self, root: Path, limits: UploadLimits) -> None:
        (root / "pictures").mkdir(exist_ok=True)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, root, limits), daemon=True)
        self._process.start()
        self.port, self.tcp_port = self._pipe.recv()

    def cpu(self) -> float:
        """Processor seconds that it has used so far."""
        self._pipe.send("cpu")
        return self._pipe.recv()

    def status(self, name: str) -> int:
        """A figure of /proc/PID/status in KiB (Linux), 0 elsewhere."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith(name + ":"):
                    return int(line.split()[1])
        return 0

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send("stop")
        self._process.join(20)


def _serve(pipe: multiprocessing.connection.Connection, root: Path, limits: UploadLimits) -> None:
    logging.getLogger("maixpix.companion").setLevel(logging.ERROR)  # a line for each refusal helps nobody here
    settings = ServeSettings(root / "pictures", port=0, uploads=root / "uploads", tcp_port=0, upload_limits=limits)
    with running(settings) as server:
        pipe.send((server.port, server.tcp_port))
        while pipe.recv() == "cpu":
            pipe.send(time.process_time())


# -- senders: (seconds, processor seconds) until all files were acknowledged -----------------------------------


def by_curl(server: Server, files: list[Path]) -> tuple[float, float]:
    """One curl, all files at once, each by one PATCH. The uploads are created before the clock starts."""
    entries = []
    for file in files:
        headers = "".join(f'header = "{line}"\n' for line in PATCH_HEADERS)
        entries.append(
            f'url = "http://127.0.0.1:{server.port}{create(server)}"\nrequest = "PATCH"\nupload-file = "{file}"\n'
            f'{headers}output = "{os.devnull}"\nwrite-out = "%{{http_code}}\\n"\n'
        )
    command = ["curl", "--silent", "--parallel", "--parallel-immediate", "--parallel-max", str(BOARDS), "--config", "-"]
    before = os.times()
    start = time.perf_counter()
    done = subprocess.run(command, input="next\n".join(entries), capture_output=True, text=True, check=False)
    taken = time.perf_counter() - start
    after = os.times()
    if done.stdout.split() != ["204"] * len(files):
        raise RuntimeError(f"curl ended with {done.returncode}, the companion answered {done.stdout.split()}")
    return taken, after.children_user + after.children_system - before.children_user - before.children_system


def create(server: Server) -> str:
    """Begin an upload of `FILE_BYTES`; its path on the server."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("POST", "/files/", headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(FILE_BYTES)})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 201:
        raise RuntimeError(f"the companion answered {answer.status}")
    return str(answer.headers["Location"])


def by_sendfile(server: Server, files: list[Path]) -> tuple[float, float]:
    """A thread a file, all of which wait in the kernel."""
    pipe, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_send_raw, args=(theirs, server.tcp_port, files))
    process.start()
    theirs.close()
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError("a raw upload was not acknowledged") from None
    finally:
        process.join()


def _send_raw(pipe: multiprocessing.connection.Connection, port: int, files: list[Path]) -> None:
    good: list[Path] = []

    def send(path: Path) -> None:
        with path.open("rb") as file, socket.create_connection(("127.0.0.1", port), timeout=120) as peer:
            peer.sendfile(file)
            peer.shutdown(socket.SHUT_WR)
            if peer.recv(1) == b"":
                good.append(path)

    took = _all_at_once(send, files)
    if len(good) == len(files):
        pipe.send(took)
    pipe.close()


def by_python(server: Server, files: list[Path]) -> tuple[float, float]:
    """The same as `by_curl` with Python's own client, where there is no curl; it takes much of the receiver's time."""
    problems: list[object] = []

    def send(path: Path) -> None:
        try:
            by_tus(server, path.read_bytes())
        except (OSError, RuntimeError) as error:
            problems.append(error)

    took = _all_at_once(send, files)
    if problems:
        raise RuntimeError(f"tus: {problems[0]}")
    return took


def _all_at_once(send: Callable[[Path], None], files: list[Path]) -> tuple[float, float]:
    """A thread for each file; seconds on the wall and of this process."""
    threads = [threading.Thread(target=send, args=(file,)) for file in files]
    used = time.process_time()
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start, time.process_time() - used


def by_tus(server: Server, body: bytes) -> None:
    """One file by one POST. Raises `RuntimeError` for any answer but 201."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(body)),
        "Content-Type": "application/offset+octet-stream",
    }
    connection.request("POST", "/files/", body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 201:
        raise RuntimeError(f"the companion answered {answer.status}")


def by_tcp(server: Server, body: bytes) -> None:
    """One file to the raw port. Raises `RuntimeError` or `ConnectionError` unless it is acknowledged."""
    with socket.create_connection(("127.0.0.1", server.tcp_port), timeout=120) as peer:
        peer.sendall(body)
        peer.shutdown(socket.SHUT_WR)
        if peer.recv(1) != b"":
            raise RuntimeError("the companion sent something")


# -- measuring ---------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """One crowd of boards: rate in MB/s, all times in seconds (`others` and `idle` are 0 off Linux), memory in KiB."""

    rate: float
    taken: float
    receiver: float
    senders: float
    others: float
    idle: float
    memory: int

    @property
    def reason(self) -> str:
        """What the processors did in that time."""
        parts = {
            "receiving": self.receiver,
            "sending": self.senders,
            "other programs": self.others,
            "nobody, so it was the disk": self.idle,
        }
        # The programs' own start and end lie within the figures of the machine, but not within `taken`.
        total = max(sum(parts.values()), (os.cpu_count() or 1) * self.taken)
        shares = [f"{name} {100 * part / total:.0f} %" for name, part in parts.items() if part > 0]
        return "the processors went to " + ", ".join(shares)


def receive(
    root: Path, send: Callable[[Server, list[Path]], tuple[float, float]], files: list[Path], digests: list[bytes]
) -> Run:
    """All files at once into a fresh companion; raises `RuntimeError` unless all arrived intact."""
    place = Path(tempfile.mkdtemp(dir=root))
    with Server(place, UploadLimits()) as server:
        before, (busy, idle) = server.cpu(), processors()
        taken, senders = send(server, files)
        receiver, (busy_after, idle_after) = server.cpu() - before, processors()
        memory = server.status("VmHWM")
    kept = sorted(hashlib.sha256(path.read_bytes()).digest() for path in (place / "uploads").glob("2*/*"))
    if kept != digests:
        raise RuntimeError("not every upload arrived intact")
    shutil.rmtree(place)
    others = max(0.0, busy_after - busy - receiver - senders)
    return Run(TOTAL_MB / taken, taken, receiver, senders, others, idle_after - idle, memory)


def processors() -> tuple[float, float]:
    """Seconds that all processors together were busy and idle since the machine started (Linux), else zeros."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0]
        user, nice, system, idle, waiting, *rest = (int(word) / os.sysconf("SC_CLK_TCK") for word in first.split()[1:9])
    except (OSError, ValueError):
        return 0.0, 0.0
    return user + nice + system + sum(rest), idle + waiting


def copy_rate(source: Path, copy: Path) -> float:
    """MB/s of `cat` with a final fsync."""
    start = time.perf_counter()
    with copy.open("wb") as out:
        subprocess.run(["cat", str(source)], stdout=out, check=True)
        os.fsync(out.fileno())
    return source.stat().st_size / (time.perf_counter() - start) / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="the best of so many runs counts")
    options = parser.parse_args()
    has_curl = shutil.which("curl") is not None
    doors = {
        f"tus, {BOARDS} boards ({'one curl' if has_curl else 'Python client: no curl here'})": (
            by_curl if has_curl else by_python
        ),
        f"raw TCP, {BOARDS} boards (sendfile)": by_sendfile,
    }
    missed = False
    with tempfile.TemporaryDirectory(prefix="maixpix-receiver-") as scratch:
        root = Path(scratch)
        files, digests = [], []
        for number in range(BOARDS):
            body = (number.to_bytes(4, "big") + os.urandom(4096) * (FILE_BYTES // 4096 + 1))[:FILE_BYTES]
            files.append(root / f"board{number}")
            files[-1].write_bytes(body)
            digests.append(hashlib.sha256(body).digest())
        source = root / "source"
        with source.open("wb") as out:
            for file in files:
                out.write(file.read_bytes())
        # In turns, so that what else this machine does meets all of them alike.
        copied = 0.0
        runs: dict[str, list[Run]] = {name: [] for name in doors}
        for _ in range(options.runs):
            copied = max(copied, copy_rate(source, root / "copy"))
            for name, send in doors.items():
                runs[name].append(receive(root, send, files, sorted(digests)))
        print(f"{'cat to disk, synced':48} {copied:6.0f} MB/s")
        goal = min(GOAL_MB, copied / 2)
        for name in doors:
            best = max(runs[name], key=lambda run: run.rate)
            memory = max(run.memory for run in runs[name])
            print(
                f"{name:48} {best.rate:6.0f} MB/s   in {best.taken:.2f} s; processor: receiver {best.receiver:.2f} s"
                f" ({TOTAL_MB / best.receiver:.0f} MB each), senders {best.senders:.2f} s; memory {memory // 1024} MiB"
            )
            if best.rate < goal:
                missed = True
                print(f"  missed: {best.reason}")
            if memory > MEMORY_KIB:
                missed = True
                print(f"  missed: more than {MEMORY_KIB // 1024} MiB of memory")
        print(f"goal: {goal:.0f} MB/s ({GOAL_MB:.0f}, or half of cat), {MEMORY_KIB // 1024} MiB, no error: "
              f"{'missed' if missed else 'reached'}")  # fmt: skip
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
