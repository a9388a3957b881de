"""A minute of garbage on both doors of the companion: it stays up, keeps its limits, and writes nowhere else.

    python -m benchmarks.receiver_fuzz [--seconds 60] [--seed 0]

Eight attackers send seeded requests with damaged lengths, names and bodies. Exit code 1 unless good uploads still work
afterwards, everything stored lies in its folder within the limits, and memory grew by less than 64 MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.receiver import Server, by_tcp, by_tus
from maixpix.companion import UploadLimits

LIMITS = UploadLimits(max_file_bytes=1_000_000, quota_bytes=50_000_000, max_files=5_000, idle_s=1.0)
MAX_GROWTH_KIB = 64 * 1024


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
    with Server(place, LIMITS) as server:
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
    if used > LIMITS.quota_bytes * 1.1 or grown > MAX_GROWTH_KIB:
        raise RuntimeError(f"limits were not kept: {used} bytes stored, {grown} KiB grown")
    return {"attacks": sum(done), "stored": listed["count"], "bytes": used, "grown KiB": grown}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to send garbage")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="maixpix-fuzz-") as scratch:
        try:
            figures = fuzz(Path(scratch), options.seconds, options.seed)
        except (RuntimeError, OSError) as error:
            print(f"fuzz {options.seconds:g} s, seed {options.seed}: FAILED: {error}")
            return 1
    text = ", ".join(f"{name} {value}" for name, value in figures.items())
    print(f"fuzz {options.seconds:g} s, seed {options.seed}: {text}: the receiver held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
