"""The companion as a receiver, on this machine: how much it takes in, and whether a minute of garbage hurts it.

    python -m benchmarks.receiver [--seconds 60] [--seed 0]

Host figures: they say something about this machine only, beside the plain copy measured in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from maixpix.companion import ServeSettings, UploadLimits, running

BOARDS = 50
FILE_BYTES = 8_000_000
FUZZ_LIMITS = UploadLimits(max_file_bytes=1_000_000, quota_bytes=50_000_000, max_files=5_000, idle_s=1.0)


class Server:
    """A companion in a process of its own."""

    def __init__(self, root: Path, limits: UploadLimits) -> None:
        (root / "pictures").mkdir(exist_ok=True)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, root, limits), daemon=True)
        self._process.start()
        self.port, self.tcp_port = self._pipe.recv()

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
    settings = ServeSettings(root / "pictures", port=0, uploads=root / "uploads", tcp_port=0, upload_limits=limits)
    with running(settings) as server:
        pipe.send((server.port, server.tcp_port))
        pipe.recv()


def by_tus(server: Server, body: bytes) -> None:
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
    with socket.create_connection(("127.0.0.1", server.tcp_port), timeout=120) as peer:
        peer.sendall(body)
        peer.shutdown(socket.SHUT_WR)
        if peer.recv(1) != b"":
            raise RuntimeError("the companion sent something")


def throughput(root: Path) -> list[tuple[str, float]]:
    """(name, MB/s) of both doors with 50 boards at once, and of a plain synced copy of as many bytes; best of three."""
    rows: list[tuple[str, float]] = []
    bodies = [number.to_bytes(4, "big") + os.urandom(4096) * (FILE_BYTES // 4096) for number in range(BOARDS)]
    for name, send in (("tus, 50 boards", by_tus), ("raw TCP, 50 boards", by_tcp)):
        runs = [receive(root, send, bodies) for _ in range(3)]
        memory = max(memory for _, memory in runs)
        rows.append((f"{name}, at most {memory // 1024} MiB of memory", max(rate for rate, _ in runs)))
    source = root / "source"
    source.write_bytes(b"".join(bodies))
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        with (root / "copy").open("wb") as copy:
            subprocess.run(["cat", str(source)], stdout=copy, check=True)
            os.fsync(copy.fileno())
        rates.append(source.stat().st_size / (time.perf_counter() - start) / 1e6)
    rows.append(("cat to disk, synced", max(rates)))
    return rows


def receive(root: Path, send: Callable[[Server, bytes], None], bodies: list[bytes]) -> tuple[float, int]:
    """MB/s and the most memory (KiB) of one server that gets all bodies at once; checks that all arrived intact."""
    place = Path(tempfile.mkdtemp(dir=root))
    with Server(place, UploadLimits()) as server:
        threads = [threading.Thread(target=send, args=(server, body)) for body in bodies]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = time.perf_counter() - start
        memory = server.status("VmHWM")
    kept = sorted(hashlib.sha256(path.read_bytes()).digest() for path in (place / "uploads").glob("2*/*"))
    if kept != sorted(hashlib.sha256(body).digest() for body in bodies):
        raise RuntimeError("not every upload arrived intact")
    shutil.rmtree(place)
    return sum(map(len, bodies)) / taken / 1e6, memory


def attack(chance: random.Random, server: Server) -> None:
    """One hostile connection."""
    junk = chance.randbytes(chance.choice((0, 1, 10, 1000, 70_000)))
    length = chance.choice(("0", "-1", "5", "10000000000", "9" * 50, "x", "0x10", "5, 5", str(len(junk))))
    name = chance.choice(("../../x", "/etc/passwd", "a\0b", "con", "%00", "x" * 5000, "\u202e", ""))
    head = chance.choice(("POST", "PATCH", "HEAD", "GET", "DELETE", "OPTIONS", "BREW"))
    path = chance.choice(
        ("/files/", "/files/" + "0" * 32, "/uploads/../x/y", "/pictures/%2e%2e/x", "/events", "/" + name)
    )
    lines = [
        f"{head} {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {length}",
        "Tus-Resumable: 1.0.0",
        f"Upload-Length: {chance.choice((length, str(len(junk) or 1)))}",
        f"Upload-Offset: {chance.choice(('0', length))}",
        "Content-Type: application/offset+octet-stream",
        f"Upload-Metadata: filename {chance.choice(('AA==', '====', 'Li4vLi4veA=='))}",
        f"Range: bytes={length}-{chance.randrange(-5, 99)}",
        f"X-Big: {'a' * chance.choice((1, 9000, 200_000))}",
    ]
    first = lines.pop(0)
    chance.shuffle(lines)
    request = (
        "\r\n".join([first, *lines[: chance.randrange(len(lines) + 1)], "", ""]).encode("latin-1", "replace") + junk
    )
    raw = (
        f"#maixpix name={name} size={length} sha256={'0' * chance.choice((3, 64))}\n".encode("utf-8", "replace") + junk
    )
    port, data = chance.choice(
        (
            (server.port, request),
            (server.port, junk),
            (server.tcp_port, raw),
            (server.tcp_port, junk),
            (server.port, raw),
        )
    )
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.3) as peer:
        peer.settimeout(0.3)
        peer.sendall(data[: chance.choice((len(data), chance.randrange(len(data) + 1)))])
        if chance.random() < 0.5:
            peer.shutdown(socket.SHUT_WR)
        if chance.random() < 0.7:
            peer.recv(1000)


def fuzz(root: Path, seconds: float, seed: int) -> dict[str, object]:
    """Attack for a while; raises `RuntimeError` when the receiver fails, grows or writes outside of its folder."""
    place = root / "fuzz"
    place.mkdir()
    done = [0] * 8
    with Server(place, FUZZ_LIMITS) as server:
        before = sorted(path.name for path in place.iterdir())
        start_memory = server.status("VmRSS")
        end = time.monotonic() + seconds

        def work(number: int) -> None:
            chance = random.Random(f"{seed} {number}")
            while time.monotonic() < end:
                attack(chance, server)
                done[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(done))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        proof = os.urandom(100_000)
        by_tus(server, proof)
        by_tcp(server, proof[::-1])
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/uploads.json")
        listed = json.loads(connection.getresponse().read())
        grown = server.status("VmRSS") - start_memory
        after = sorted(path.name for path in place.iterdir())
    stored = {path.read_bytes() for path in (place / "uploads").glob("2*/*")}
    if not {proof, proof[::-1]} <= stored:
        raise RuntimeError("good uploads after the attack were not stored")
    if before != after or len(stored) != listed["count"]:
        raise RuntimeError("something appeared where it does not belong")
    used = sum(path.stat().st_size for path in (place / "uploads").rglob("*") if path.is_file())
    if used > FUZZ_LIMITS.quota_bytes * 1.1 or grown > 64 * 1024:
        raise RuntimeError(f"limits were not kept: {used} bytes stored, {grown} KiB grown")
    return {"attacks": sum(done), "stored": listed["count"], "bytes": used, "grown KiB": grown}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to send garbage")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="maixpix-receiver-") as scratch:
        for name, rate in throughput(Path(scratch)):
            print(f"{name:55} {rate:6.0f} MB/s")
        for name, value in fuzz(Path(scratch), options.seconds, options.seed).items():
            print(f"fuzz {options.seconds:g} s: {name:40} {value}")


if __name__ == "__main__":
    sys.exit(main())
