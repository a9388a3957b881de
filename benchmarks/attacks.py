"""What one visitor may cost the others: attacks on the companion, with an honest board beside each.

`python -m benchmarks.attacks` starts a companion on loopback, attacks it in nine ways from other addresses of
loopback (`--same-address`: from the board's own), and meanwhile polls it once a second as a board does: `/command`,
then `/frame`. It prints how long the board waited, what failed for it, and how much memory the companion and its
decoders took; the first line is without any attack. Bounded: nothing leaves this machine, each attack ends by itself.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import io
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from PIL import Image

SECONDS = 10.0
"""Of each attack, at least."""

P99_MS, MEMORY_MB = 250, 400

_SERVE = (
    "import sys; from pathlib import Path; from maixpix.companion import ServeSettings, serve\n"
    "folder, uploads = sys.argv[1:]\n"
    "settings = ServeSettings(Path(folder), port=0, uploads=Path(uploads), allow_fetch=True, fetch_private=True)\n"
    "serve(settings, lambda line: print(line, flush=True), quiet=True)"
)


class Site(BaseHTTPRequestHandler):
    """A web site that means no good."""

    stop = threading.Event()

    def do_GET(self) -> None:
        with contextlib.suppress(OSError):
            if self.path.startswith("/lt"):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<" * 400_000)
            elif self.path.startswith("/interim"):
                while not self.stop.is_set():
                    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 500)
            else:
                self.stop.wait(60)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


_BOARD = """
import http.client, json, sys, time
port, waits, failures = int(sys.argv[1]), [], []
while True:
    time.sleep(1.0)
    for target in ("/command?board=honest", "/frame?board=honest&size=320x240"):
        began = time.monotonic()
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            link.request("GET", target)
            answer = link.getresponse()
            answer.read()
            if answer.status not in (200, 204):
                failures.append(f"{target} {answer.status}")
        except OSError as error:
            failures.append(f"{target} {error}")
        finally:
            link.close()
        print(json.dumps([(time.monotonic() - began) * 1000, failures[-1:]]), flush=True)
        failures.clear()
"""
"""The honest one: a new connection for each request, as MaixPy's `pix` makes them."""


class Board:
    """The honest board, in a process of its own: attackers in threads would make it wait for themselves."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOARD, str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )

    def stop(self) -> tuple[list[float], list[str]]:
        """How long it waited for each answer in ms, and what failed."""
        time.sleep(2.0)  # one more round behind the attack
        self._process.terminate()
        answers = [json.loads(line) for line in self._process.communicate()[0].splitlines() if line.endswith("]")]
        return [wait for wait, _ in answers], [line for _, failed in answers for line in failed]


class Target:
    """The companion under attack, in a process of its own; `source` is where attackers come from."""

    def __init__(self, folder: Path, source: str) -> None:
        pictures = folder / "pictures"
        pictures.mkdir()
        for number in range(5):
            noise = Image.frombytes("RGB", (320, 240), os.urandom(320 * 240 * 3))
            noise.resize((1600, 1200)).save(pictures / f"{number}.jpg", quality=85)
        self.source = source
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(pictures), str(folder / "uploads")], stdout=subprocess.PIPE, text=True
        )
        if self.process.stdout is None:
            raise RuntimeError("the companion has no output")
        line = self.process.stdout.readline()
        self.port = int(line.rstrip("/\n").rsplit(":", 1)[1])
        self.peak_mb = 0.0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def close(self) -> None:
        """Ends the companion."""
        self._over.set()
        self._watch.join()
        self.process.terminate()
        self.process.wait()

    def knock(self, data: bytes) -> socket.socket:
        """A connection that has sent `data`."""
        peer = socket.create_connection(("127.0.0.1", self.port), 20, (self.source, 0))
        with contextlib.suppress(OSError):
            peer.sendall(data)
        return peer

    def get(self, target: str) -> int:
        """Status of a GET, 0 when the connection was ended."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(self.source, 0))
        try:
            link.request("GET", target)
            answer = link.getresponse()
            answer.read()
            return answer.status
        except OSError:
            return 0
        finally:
            link.close()

    def send(self, name: str, body: bytes) -> str:
        """Upload; the address it is seen at."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(self.source, 0))
        metadata = "filename " + base64.b64encode(name.encode()).decode()
        link.request("POST", "/files/", body, {
            "Tus-Resumable": "1.0.0", "Upload-Length": str(len(body)), "Upload-Metadata": metadata,
            "Content-Type": "application/offset+octet-stream",
        })  # fmt: skip
        link.getresponse().read()
        link.close()
        return f"/uploads/{time.strftime('%Y-%m-%d')}/{quote(name)}"

    def _look(self) -> None:
        while not self._over.wait(0.2):
            pids = [self.process.pid, *_children(self.process.pid)]
            self.peak_mb = max(self.peak_mb, sum(map(_resident_mb, pids)))


def nothing(_target: Target, _site: str) -> None:
    """No attack: what the machine itself costs."""
    time.sleep(SECONDS)


def bombs(target: Target, _site: str) -> None:
    """Small files that unpack to much, and big ones that decode slowly, each asked for in many sizes."""
    jp2 = io.BytesIO()
    Image.new("L", (6000, 6000), 9).save(jp2, "JPEG2000")
    inner = _png(13000, 13000, 20)
    ico = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    bodies = {
        "a.jp2": jp2.getvalue(),
        "b.ico": ico,
        "c.ppm": b"P6 5000 4000 255\n" + os.urandom(60_000_000),
        "d.png": _png(5000, 5000, 5000),
        "e.png": _png(4900, 5000, 5000),
        "f.tif": _tiff(4800, 5000),
    }
    urls = [target.send(name, body) for name, body in bodies.items()]
    for size in range(100, 400, 10):
        _at_once([lambda url=url, size=size: target.get(f"{url}?size={size}x{size}") for url in urls])


def hung_up(target: Target, _site: str) -> None:
    """1,500 requests for conversions, again and again; nobody waits for the answer."""
    began = time.monotonic()
    number = 0
    while number < 1500 or time.monotonic() - began < SECONDS:
        number += 1
        head = f"GET /pictures/{number % 5}.jpg?size={100 + number}x99 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with contextlib.suppress(OSError):
            target.knock(head.encode()).close()


def bodies_that_never_come(target: Target, _site: str) -> None:
    """512 uploads of which only the head is sent."""
    head = (
        "POST /files/ HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 90\r\n"
        "Content-Length: 90\r\nContent-Type: application/offset+octet-stream\r\n\r\n"
    )
    _hold(target, head.encode(), 512)


def idle(target: Target, _site: str) -> None:
    """600 connections that say nothing."""
    _hold(target, b"", 600)


def live_views(target: Target, _site: str) -> None:
    """100 open galleries."""
    _hold(target, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n", 100)


def pages_of_brackets(target: Target, site: str) -> None:
    """400 kB of `<` as a page to look for a picture in."""
    _fetches(target, site + "/lt", 60)


def slow_fetches(target: Target, site: str) -> None:
    """Pictures of a site that never answers."""
    _fetches(target, site + "/slow", 40)


def endless_interim(target: Target, site: str) -> None:
    """A site that says `100 Continue` for ever."""
    _fetches(target, site + "/interim", 40)


ATTACKS: list[Callable[[Target, str], None]] = [
    nothing, bombs, hung_up, bodies_that_never_come, idle, live_views, pages_of_brackets, slow_fetches, endless_interim,
]  # fmt: skip


def _hold(target: Target, data: bytes, count: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            with contextlib.suppress(OSError):
                stack.enter_context(target.knock(data))
        time.sleep(SECONDS)


def _fetches(target: Target, url: str, count: int) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(count):
            address = quote(f"{url}?{number}", safe="")
            head = f"GET /fetch?size=9x9&url={address} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            stack.enter_context(target.knock(head.encode()))
        time.sleep(SECONDS)


def _at_once(actions: list[Callable[[], int]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _png(width: int, height: int, rows: int) -> bytes:
    """A PNG that declares `height` rows of one colour and holds `rows` of them."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\x55" * (3 * width)
    data = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    pieces = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in pieces
    )


def _tiff(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "TIFF", compression="tiff_lzw")
    return out.getvalue()


def _children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError):
        return 0.0


@contextlib.contextmanager
def _evil_site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        Site.stop.set()
        server.shutdown()
        server.server_close()


def attack(target: Target, action: Callable[[Target, str], None], site: str) -> tuple[float, float, list[str], int]:
    """p99 and longest wait of the honest board in ms, what failed for it, and how often it asked."""
    board = Board(target.port)
    action(target, site)
    waits, failures = board.stop()
    waits.sort()
    return waits[min(len(waits) - 1, int(len(waits) * 0.99))], waits[-1], failures, len(waits)


def main() -> int:
    """Print the table; 1 when a bound was broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--same-address", action="store_true", help="attackers share the honest board's address")
    parser.add_argument("--only", help="name of one attack")
    chosen = parser.parse_args()
    broken = False
    with tempfile.TemporaryDirectory() as folder, _evil_site() as site:
        target = Target(Path(folder), "127.0.0.1" if chosen.same_address else "127.0.0.2")
        try:
            while target.get("/frame?board=honest&size=320x240") != 200:
                time.sleep(0.1)
            for number in range(5):
                target.get(f"/pictures/{number}.jpg?size=320x240")
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
            print(f"load of the machine at the start: {load:.1f} on {os.cpu_count()} processors")
            print(f"{'attack':<24} {'polls':>5} {'p99 ms':>7} {'max ms':>7} {'failed':>6} {'peak MB':>7}")
            for action in ATTACKS:
                if chosen.only and action.__name__ != chosen.only:
                    continue
                p99, longest, failures, count = attack(target, action, site)
                name = action.__name__.replace("_", " ")
                print(f"{name:<24} {count:>5} {p99:>7.0f} {longest:>7.0f} {len(failures):>6} {target.peak_mb:>7.0f}")
                for line in failures[:3]:
                    print(f"    {line}")
                broken = broken or bool(failures) or p99 > P99_MS or target.peak_mb > MEMORY_MB
        finally:
            target.close()
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
