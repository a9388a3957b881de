"""The board's own web service: requests a second, the first byte, files as a share of the line, and hostile guests.

    python -m benchmarks.web_service [--requests 2000] [--hostile 20000] [--seed 1] [--firmware MAIXPY.bin]

Virtual time: 403 MHz at one instruction a cycle, modem latency 1 ms a command, round trip 4 ms, guests that answer at
once. Without --firmware the board is the hosted engine, whose Python costs nothing but its calls; with it the emulated
chip runs the same, `pix` being on its card as byte code. Rules that a guest may see broken links by: a sixth link is
refused by the module, half a request and what is none end as docs/web.md says.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from maixpix.board import bundle
from maixpix.virtual.live import LiveBoard, LiveOptions
from virtualboard.clock import MS, SECOND
from virtualboard.network import Network, Script

PROGRAM = """
import gc, utime
from pix import config, web, wifi
from pix.webfile import send_file
modem = wifi.bring_up(config.load())
app = web.Web(log=web)
web.error = lambda error: print("logged", error)
over = []
@app.get("/")
def index(request):
    return "<h1>Hello</h1>"
@app.post("/text")
def text(request):
    return request.body
@app.get("/file")
def file(request):
    return send_file(request, "/sd/x.bin")
@app.get("/stop")
def stop(request):
    over.append(1)
    return "bye"
app.start(modem)
gc.collect()
before = gc.mem_free()
longest = 0
while not over or app.busy:
    began = utime.ticks_us()
    app.poll()
    longest = max(longest, utime.ticks_diff(utime.ticks_us(), began))
    if not app.busy:
        modem.poll()
gc.collect()
print("heap", before, gc.mem_free(), "longest", longest, "links", [link for link in modem.links if link])
"""

HOST = b"Host: 192.168.4.50\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"Accept: text/html\r\nUser-Agent: Mozilla/5.0\r\n\r\n"
FILE = b"GET /file HTTP/1.1\r\n" + HOST + b"\r\n"
STOP = b"GET /stop HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /text HTTP/1.1\r\n" + HOST + b"Content-Type: text/plain\r\nContent-Length: 40\r\n\r\n" + b"x" * 40


class Guest(Script):
    """Says `pieces` (numbers are pauses in ms, None ends in order, False resets) and tells `done` when it is closed."""

    def __init__(self, pieces: list[bytes | int | None], done: Callable[[Guest], None]) -> None:
        self._pieces = list(pieces)
        self._done = done
        self.heard = bytearray()
        self.came_ns = self.first_ns = self.last_ns = 0
        self._over = False

    def connected(self) -> None:
        self.came_ns = self.clock.now
        self._go_on()

    def _go_on(self) -> None:
        while self._pieces and not self._over:
            piece = self._pieces.pop(0)
            if piece is None:
                self.finish()
            elif piece is False:
                self.reset()
            elif isinstance(piece, int):
                self.clock.after(piece * MS, self._go_on)
                return
            else:
                self.send(piece)

    def received(self, data: bytes) -> None:
        self.first_ns = self.first_ns or self.clock.now
        self.last_ns = self.clock.now
        self.heard += data

    def finished(self) -> None:
        if not self._over:
            self._over = True
            self._done(self)

    @property
    def status(self) -> int:
        """Of the answer, 0 without one."""
        found = re.match(rb"HTTP/1\.1 (\d{3}) ", self.heard)
        return int(found[1]) if found else 0

    @property
    def whole(self) -> bool:
        """The answer is as long as it tells."""
        head, _, body = bytes(self.heard).partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        return length is not None and len(body) == int(length[1])


@dataclass
class Visit:
    """What a stream of guests saw. `at_once` come at a time; those that the module refuses come again."""

    guests: Iterator[list[bytes | int | None]]
    at_once: int
    network: Network
    seen: list[Guest] = field(default_factory=list)
    refused: int = 0
    open: int = 0

    def begin(self) -> None:
        for _ in range(self.at_once):
            self._next(next(self.guests, None))

    def _next(self, pieces: list[bytes | int | None] | None) -> None:
        if pieces is None:
            if not self.open:
                self.network.call(80, Guest([STOP], lambda guest: self._stop(guest)))
            return
        self.open += 1
        if not self.network.call(80, Guest(pieces, lambda guest: self._over(guest, pieces))):
            self.network.clock.after(SECOND, lambda: self._again(pieces))

    def _again(self, pieces: list[bytes | int | None]) -> None:
        self.open -= 1
        self._next(pieces)

    def _over(self, guest: Guest, pieces: list[bytes | int | None]) -> None:
        if not guest.came_ns and not guest.heard:
            self.refused += 1
            self.network.clock.after(20 * MS, lambda: self._again(pieces))
            return
        self.open -= 1
        self.seen.append(guest)
        self.network.clock.after(0, lambda: self._next(next(self.guests, None)))

    def _stop(self, guest: Guest) -> None:
        if guest.status != 200:
            self.network.clock.after(100 * MS, lambda: self._next(None))


def play(
    at: str, guests: Iterator[list[bytes | int | None]], at_once: int, firmware: Path | None, content: bytes = b"",
    lacking: bytes = b"",
) -> tuple[Visit, str, float]:  # fmt: skip
    """Let the guests come; returns what they saw, what the board printed, and the virtual seconds they took."""
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder)
        (card / "pix").mkdir()
        for name, data in bundle.build(mpy=firmware is not None).files.items():
            if name.startswith("pix/"):
                (card / name).write_bytes(data)
        (card / "x.bin").write_bytes(content)
        (card / "pix.json").write_text(json.dumps({"wifi": [["home", "correct horse"]]}))
        live = LiveBoard(LiveOptions("k210" if firmware else "hosted", firmware, card=card, at=at, paced=False))
        network = live.board.network
        network.listen_on = None
        visit = Visit(guests, at_once, network)
        network.on_listen = lambda port, there: live.board.clock.after(500 * MS, visit.begin)
        if lacking:
            live.board.modem.lack(lacking)
        said: list[bytes] = []
        try:
            error = live.execute(PROGRAM.encode(), said.append, 1e7)
        finally:
            live.close()
    text = b"".join(said).decode()
    if error:
        raise SystemExit(error)
    took = max(guest.last_ns for guest in visit.seen) - min(guest.came_ns for guest in visit.seen if guest.came_ns)
    return visit, text, took / SECOND


def hostile(seed: int, count: int) -> Iterator[list[bytes | int | None]]:
    """`count` guests that mean no good, the same for a seed."""
    dice = random.Random(seed)
    for _ in range(count):
        request = bytearray(dice.choice((GET, FILE, POST, GET)))
        kind = dice.randrange(10)
        if kind == 0:
            yield [dice.randbytes(dice.randrange(1, 3000))]
        elif kind == 1:
            yield [bytes(request[: dice.randrange(len(request))]), dice.choice((None, False, 100))]
        elif kind == 2:
            for _ in range(dice.randrange(1, 6)):
                request[dice.randrange(len(request))] = dice.randrange(256)
            yield [bytes(request)]
        elif kind == 3:
            yield [request[:16] + b"X-Field: " + dice.randbytes(4).hex().encode() * dice.randrange(5000) + b"\r\n\r\n"]
        elif kind == 4:
            yield [bytes(request) * dice.randrange(2, 12)]
        elif kind == 5:
            yield [bytes(request), dice.randrange(1, 60), False]
        elif kind == 6:
            at = dice.randrange(len(request))
            yield [bytes(request[:at]), dice.randrange(1, 400), bytes(request[at:]), dice.choice((None, 50))]
        elif kind == 7:
            length = dice.choice((b"-1", b"99999999", b"0x10", b"", b"40\r\nContent-Length: 41"))
            yield [POST.replace(b"40", length, 1), dice.choice((None, False, 10))]
        elif kind == 8:
            yield [dice.choice((b"\r\n", b"\n", b" ", b"\0")) * dice.randrange(1, 600)]
        else:
            yield [dice.choice((1, 500, 2500)), dice.choice((False, None, bytes(request)))]


def judge_heap(text: str) -> tuple[int, int, float]:
    """(heap before, heap after, longest slice in ms) that the board told; SystemExit when a link stayed open."""
    found = re.search(r"heap (\d+) (\d+) longest (\d+) links \[\]", text)
    if found is None:
        raise SystemExit(f"links stayed open, or the board failed: {text[-500:]}")
    return int(found[1]), int(found[2]), int(found[3]) / 1000


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--hostile", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--firmware", type=Path)
    options = parser.parse_args()
    firmware = options.firmware
    sizes = {name: len(data) for name, data in bundle.build().files.items() if name.startswith("pix/web")}
    print(f"byte code: {sum(sizes.values())} bytes in {len(sizes)} files")
    print("guests                    modem  sends       answered refused  req/s first byte longest slice  heap -> heap")
    for at, lacking in (("1.1", b""), ("1.7.4", b""), ("1.7.4", b"AT+CIPSENDBUF")):
        for at_once in (1, 8):
            began = time.process_time()
            count = options.requests if not lacking else options.requests // 4
            visit, text, took = play(at, iter([[GET]] * count), at_once, firmware, lacking=lacking)
            good = sum(guest.status == 200 and guest.whole for guest in visit.seen)
            first = statistics.median(guest.first_ns - guest.came_ns for guest in visit.seen if guest.first_ns) / MS
            before, after, longest = judge_heap(text)
            print(
                f"{count:5} {at_once} at a time         {at:6} {'CIPSEND' if lacking else 'CIPSENDBUF':10} "
                f"{good:9} {visit.refused:7} {len(visit.seen) / took:6.1f} {first:7.1f} ms {longest:10.1f} ms  "
                f"{before} -> {after}  ({time.process_time() - began:.0f} s)",
                flush=True,
            )
    content = random.Random(1).randbytes(options.bytes)
    print(f"a file of {options.bytes} bytes at 1 Mbaud        kB/s  of the line")
    for at, lacking in (("1.1", b""), ("1.7.4", b""), ("1.7.4", b"AT+CIPSENDBUF")):
        visit, text, _ = play(at, iter([[FILE]]), 1, firmware, content, lacking)
        guest = visit.seen[0]
        assert bytes(guest.heard).endswith(content), text
        rate = len(content) / ((guest.last_ns - guest.came_ns) / SECOND)
        print(
            f"{at:6} {'CIPSEND' if lacking else 'CIPSENDBUF':27} {rate / 1000:6.1f}  {rate / 100_000:6.1%}", flush=True
        )
    for at in ("1.1", "1.7.4"):
        began = time.process_time()
        visit, text, took = play(at, hostile(options.seed, options.hostile), 5, firmware, content[:3000])
        told: dict[int, int] = {}
        for guest in visit.seen:
            told[guest.status] = told.get(guest.status, 0) + 1
        before, after, longest = judge_heap(text)
        print(
            f"{options.hostile} hostile guests, seed {options.seed}, AT {at}: {took:.0f} s, answers "
            f"{dict(sorted(told.items()))}, logged {text.count('logged')}, longest slice {longest:.0f} ms, heap "
            f"{before} -> {after}  ({time.process_time() - began:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
