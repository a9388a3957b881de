"""How fast a board sends: `pix` beside the stock driver with the loop of its samples, in virtual time.

    python -m benchmarks.upload_rate [--at 1.7.4] [--bytes 12000 200000 1000000] [--firmware MAIXPY.bin]

The model of time: a line of 1 Mbaud (ten bits a byte); a module that needs 1 ms from the end of a command to its answer
and takes the line's silence of two bytes for the end of what came; a peer 4 ms away that acknowledges what ends a write
at once, and a tus server that answers as soon as it has everything. Without --firmware the costs of Python and of the
card are those of the hosted engine; with it, MaixPy itself runs at 403 MHz and one instruction a cycle.

payload: from the first byte of the file's connection on the line to the last acknowledgement. bound: what the line,
the module and the round trip leave of it when the board loses no time. all: from the call to the proof (CIPSEND by
tcp:// and the stock driver have none), which includes connecting; tcp:// stays for one second after its first byte,
lest the receiver refuses. The digest that proves a file is known, as it is of a snapshot, which pix.camera hashes in
memory as it is taken; "first read" is a file of the card that has to be read for it. The rows "companion" go to a real
`maixpix serve`, whose answer is looked for 20 to 40 ms after the last byte: a busy machine shows there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import shutil
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from maixpix.companion import ServeSettings, running
from maixpix.paths import board_files
from maixpix.virtual.live import LiveBoard, LiveOptions
from virtualboard.clock import MS, SECOND
from virtualboard.esp8285 import Modem
from virtualboard.network import Script
from virtualboard.network.tcp import MSS
from virtualboard.wire import BITS

BAUD = 1_000_000
LINE = BAUD // BITS
"""Bytes a second of the line."""

SINK = 9
"""Port of `Sink`; RFC 863."""

TUS = 1080
"""Port of `Tus`; of tusd, by default."""

SIZES = (12_000, 200_000, 1_000_000)

_OURS = """
import uos
from pix import config, wifi
from pix.files import sum_of
from pix.upload import Uploader
modem = wifi.bring_up(config.load())
def forget(name):
    if "%s.^bi" % name in uos.listdir("/sd"):
        uos.remove("/sd/%s.^bi" % name)
class Plain:
    baud = modem.baud
    def connect(self, host, port, timeout_ms, pipelined=False):
        return modem.connect(host, port, timeout_ms)
for name, connector, target, known in (
    ("tus CIPSENDBUF", modem, "http://pc:{tus}/files/", True),
    ("tus CIPSENDBUF, first read", modem, "http://pc:{tus}/files/", False),
    ("tus CIPSENDBUF, companion", modem, "http://pc:{port}/files/", True),
    ("tcp+name CIPSENDBUF, companion", modem, "tcp+name://pc:{tcp}", True),
    ("tcp CIPSEND", modem, "tcp://pc:{sink}", False),
    ("tus CIPSEND", Plain(), "http://pc:{tus}/files/", True),
):
    up = Uploader(connector, target)
    up.send("/sd/warm.bin")
    forget("warm")
    for size in {sizes}:
        path = "/sd/%d.bin" % size
        sent = up.send(path, digest=sum_of(path, 0, size, up.view) if known else "")
        print("rate|%s|%d|%d" % (name, sent.bytes, sent.elapsed_ms))
        forget(size)
"""

_STOCK = """
import network, usocket, utime
from machine import UART
from fpioa_manager import fm
fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
uart = UART(UART.UART2, 115200, timeout=1000, read_buf_len=4096)
uart.write("AT+UART_CUR=1000000,8,1,0,0\\r\\n")
utime.sleep_ms(100)
uart = UART(UART.UART2, 1000000, timeout=1000, read_buf_len=4096)
nic = network.ESP8285(uart)
nic.connect("home", "correct horse")
for size in {sizes}:
    s = usocket.socket()
    s.connect(("127.0.0.1", {sink}))
    began = utime.ticks_ms()
    total = 0
    f = open("/sd/%d.bin" % size, "rb")
    while True:
        block = f.read(2048)
        if not block:
            break
        s.send(block)
        total += len(block)
    print("rate|stock driver|%d|%d" % (total, utime.ticks_diff(utime.ticks_ms(), began)))
    f.close()
    s.close()
"""


@dataclass
class Row:
    """One upload: shares of the line rate in the payload phase and altogether."""

    what: str
    size: int
    ms: int
    payload: float
    whole: float


class Sink(Script):
    """Takes everything and never answers, in virtual time: with a real receiver that keeps silent, the board would have
    to wait in real time whether it says something after all."""

    taken = 0
    """Bytes taken by all sinks."""

    def received(self, data: bytes) -> None:
        Sink.taken += len(data)


class Tus(Script):
    """A tus server that answers as soon as it has everything, in virtual time."""

    files: ClassVar[dict[str, bytearray]] = {}
    lengths: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        self._heard = bytearray()

    def received(self, data: bytes) -> None:
        self._heard += data
        head, end, body = self._heard.partition(b"\r\n\r\n")
        told = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        if not end or len(body) < int(told["content-length"]):
            return
        method, path = head.decode().split(" ")[:2]
        if method == "POST":
            path = f"/files/{len(self.files)}"
            self.files[path], self.lengths[path] = bytearray(), int(told["upload-length"])
        stored = self.files[path]
        stored += body
        fields = {"Location": path, "Upload-Offset": str(len(stored)), "Tus-Resumable": "1.0.0", "Content-Length": "0"}
        if len(stored) == self.lengths[path]:
            fields["Repr-Digest"] = f"sha-256=:{b64encode(hashlib.sha256(stored).digest()).decode()}:"
        lines = ["HTTP/1.1 " + ("201 Created" if method == "POST" else "200 OK"), *map(": ".join, fields.items())]
        self.send("\r\n".join([*lines, "", ""]).encode())
        self.finish()


class Probe:
    """Follows what the module sends: when each link's first payload byte was on the line, what was acknowledged."""

    def __init__(self, modem: Modem) -> None:
        self._clock = modem.clock
        self._baud = modem.uart
        self._spans: dict[Any, list[int]] = {}
        sender = modem.sender
        self._payload, self._acked, self._prompt = sender.payload, sender.acked, sender.prompt
        self._link: Any = None
        sender.payload, sender.acked, sender.prompt = self.payload, self.acked, self.prompt  # type: ignore[method-assign]

    def prompt(self, link: Any, *args: Any) -> None:
        self._link = link
        self._prompt(link, *args)

    def payload(self, data: bytes) -> bytes:
        now = self._clock.now
        span = self._spans.setdefault(self._link, [now - len(data) * BITS * SECOND // self._baud.baud, 0, now])
        span[2] = now
        return self._payload(data)

    def acked(self, link: Any, count: int) -> None:
        span = self._spans[link]
        span[1] += count
        span[2] = self._clock.now
        self._acked(link, count)

    def take(self) -> float:
        """Share of the line rate on the link that carried most since the last call."""
        spans, self._spans = self._spans, {}
        began, count, ended = max(spans.values(), key=lambda span: span[1])
        return count * SECOND / (ended - began) / LINE


def bound(pipelined: bool, latency_ns: int = MS, rtt_ns: int = 4 * MS) -> float:
    """What is left of the line rate when full segments follow each other as fast as the module allows."""
    byte_ns = SECOND // LINE
    if pipelined:
        # Command, silence behind it, `number,acknowledged`, OK, prompt; the confirmation falls into the next command.
        extra = len("AT+CIPSENDBUF=4,1460\r\n") + 2 + len("100,99\r\n\r\nOK\r\n>")
        rtt_ns = 0
    else:
        extra = len("AT+CIPSEND=4,1460\r\n") + 2 + len("\r\nOK\r\n>") + len("\r\nSEND OK\r\n")
    return MSS * byte_ns / ((MSS + extra) * byte_ns + latency_ns + rtt_ns)


def measure(at: str, sizes: tuple[int, ...], firmware: Path | None = None, stock: bool = True) -> Iterator[Row]:
    """Every way of sending every size; RuntimeError with what the board said when one fails."""
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / "card"
        shutil.copytree(board_files() / "firmware" / "pix", card / "pix")
        rng = random.Random(1)
        (card / "warm.bin").write_bytes(rng.randbytes(600))
        for size in sizes:
            (card / f"{size}.bin").write_bytes(rng.randbytes(size))
        (card / "pix.json").write_text(json.dumps({"wifi": [["home", "correct horse"]], "baud": BAUD}))
        settings = ServeSettings(card, port=0, tcp_port=0, uploads=Path(folder) / "uploads", names=("pc",))
        with running(settings) as companion:
            for source in (_OURS, _STOCK) if stock else (_OURS,):
                program = source.replace("{port}", str(companion.port)).replace("{tcp}", str(companion.tcp_port))
                program = program.replace("{sink}", str(SINK)).replace("{tus}", str(TUS))
                yield from _run(program.replace("{sizes}", f"({','.join(map(str, sizes))},)"), card, at, firmware)


def _run(program: str, card: Path, at: str, firmware: Path | None) -> list[Row]:
    live = LiveBoard(LiveOptions("k210" if firmware else "hosted", firmware, card=card, at=at, paced=False))
    rows: list[Row] = []
    said = bytearray()
    try:
        probe = Probe(live.board.modem)
        live.board.network.attach("127.0.0.1", SINK, Sink)
        live.board.network.attach("127.0.0.1", TUS, Tus)

        def heard(data: bytes) -> None:
            said.extend(data)
            while found := re.search(rb"rate\|(.*)\|(\d+)\|(\d+)\r?\n", said):
                what, size, ms = found[1].decode(), int(found[2]), int(found[3])
                del said[: found.end()]
                rows.append(Row(what, size, ms, probe.take(), size * 1000 / max(1, ms) / LINE))

        error = live.execute(program.encode(), heard)
    finally:
        live.close()
    if error or not rows:
        raise RuntimeError(error or said.decode("utf-8", "replace"))
    return rows


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", default="1.7.4", help="AT firmware of the modem")
    parser.add_argument("--bytes", type=int, nargs="+", default=SIZES, help="sizes of the files")
    parser.add_argument("--firmware", type=Path, help="run MaixPy itself")
    options = parser.parse_args()
    print("1 Mbaud, 1 ms of the module a command, round trip 4 ms; shares of 100 kB/s, in the board's time")
    print(f"{'AT ' + options.at:30} {'bytes':>8} {'ms':>7} {'payload':>8} {'bound':>7} {'all':>7}")
    for row in measure(options.at, tuple(options.bytes), options.firmware):
        limit = "" if row.what.startswith("stock") else f"{bound('BUF' in row.what):7.1%}"
        print(f"{row.what:30} {row.size:8} {row.ms:7} {row.payload:8.1%} {limit:>7} {row.whole:7.1%}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
