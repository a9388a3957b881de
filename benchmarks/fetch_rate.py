"""Fetching onto the card: `pix` beside MaixPy's stock driver with the loop of its documentation, on the same board.

    python -m benchmarks.fetch_rate [--bytes 230000] [--firmware MAIXPY.bin]

Virtual time: 403 MHz at one instruction a cycle, modem latency 1 ms a command, round trip 4 ms, a server that answers
within the grace. Without --firmware both run on the hosted engine, with it on the emulated chip. From the call to the
file's name on the card: connecting, the request and the commit are included. "passive": as after a pause of the board
that was too long for active receiving, or while its own pages are served.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maixpix.paths import board_files
from maixpix.virtual.live import LiveBoard, LiveOptions

PIX = """
import utime
from pix import config, fetch, wifi
for baud in {rates}:
    modem = wifi.bring_up(config.Settings(wifi=[["home", "correct horse"]], baud=baud))
    for n in range({rounds}):
        if {passive}:
            modem._pause_ms = 100000
        t = utime.ticks_ms()
        r = fetch.fetch(modem, "http://127.0.0.1:{port}/%d" % n, "/sd/%d.%d" % (baud, n))
        print("took|%d|%d|%d" % (baud, n, utime.ticks_diff(utime.ticks_ms(), t)))
"""

STOCK = """
import utime, socket, network
from machine import UART
from fpioa_manager import fm
baud, = {rates}
fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
uart = UART(UART.UART2, 115200, timeout=1000, read_buf_len=10240)
if baud != 115200:
    uart.write("AT+UART_CUR=%d,8,1,0,0\\r\\n" % baud)
    utime.sleep_ms(100)
    uart = UART(UART.UART2, baud, timeout=1000, read_buf_len=10240)
nic = network.ESP8285(uart)
nic.connect("home", "correct horse")
for n in range({rounds}):
    t = utime.ticks_ms()
    sock = socket.socket()
    sock.connect(("127.0.0.1", {port}))
    sock.settimeout(5)
    sock.send("GET /%d HTTP/1.0\\r\\n\\r\\n" % n)
    f = open("/sd/%d.%d" % (baud, n), "wb")
    while True:
        data = sock.recv(4096)
        if len(data) == 0:
            break
        f.write(data)
        end = utime.ticks_ms()
    f.close()
    sock.close()
    print("took|%d|%d|%d" % (baud, n, utime.ticks_diff(end, t)))
"""

RATES = (115200, 1_000_000, 2_000_000, 4_000_000)
STOCK_RATES = RATES[:3]
"""At the last of these the stock driver loses bytes; at 4 M it waits for them for ever."""
SERIES = (("stock", "1.1"), ("pix", "1.1"), ("pix", "1.7.4"), ("pix passive", "1.7.4"))
WHOLE = "identical"


class Server(threading.Thread):
    """Answers a request for `/n` with the n-th of `contents`, then closes."""

    def __init__(self, contents: Sequence[bytes]) -> None:
        super().__init__(daemon=True)
        self._contents = contents
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                asked = b""
                while b"\r\n\r\n" not in asked and (more := connection.recv(4096)):
                    asked += more
                path = re.match(rb"GET /(\d+) ", asked)
                if path:
                    content = self._contents[int(path[1])]
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)


@dataclass
class Row:
    """One fetch. `share` of the line rate, 0 when it failed; `verdict` on the file, or the error."""

    who: str
    at: str
    baud: int
    ms: int
    share: float
    verdict: str

    @property
    def whole(self) -> bool:
        """The card has the server's file."""
        return self.verdict == WHOLE

    def text(self) -> str:
        """The row of the table."""
        start = f"{self.who:12} {self.at:6} {self.baud:>8}"
        if not self.ms:
            return f"{start}   failed: {self.verdict}"
        rate = self.share * self.baud / 10_000
        return f"{start} {self.ms:>8} {rate:>8.1f} {self.share:>7.1%}  {self.verdict}"


def measure(
    who: str, at: str, rates: Sequence[int], contents: Sequence[bytes], firmware: Path | None = None
) -> Iterator[Row]:
    """On one board, for every rate: each of `contents` is fetched. `who` is "stock" (with one rate), "pix" or
    "pix passive". A row that failed is the last one."""
    server = Server(contents)
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder)
        shutil.copytree(board_files() / "firmware" / "pix", card / "pix")
        live = LiveBoard(LiveOptions("k210" if firmware else "hosted", firmware, card=card, at=at, paced=False))
        said: list[bytes] = []
        program = (STOCK if who == "stock" else PIX).format(
            port=server.port, rates=(*rates,), rounds=len(contents), passive="passive" in who
        )
        try:
            error = live.execute(program.encode(), said.append)
        finally:
            live.close()
        wanted = [(baud, number) for baud in rates for number in range(len(contents))]
        for baud, number in wanted:
            took = re.search(rb"took\|%d\|%d\|(\d+)" % (baud, number), b"".join(said))
            if took is None:
                yield Row(who, at, baud, 0, 0, error.strip().splitlines()[-1] if error else "no time told")
                return
            got = (card / f"{baud}.{number}").read_bytes()
            body = got.partition(b"\r\n\r\n")[2] if who == "stock" else got
            content, ms = contents[number], int(took[1])
            verdict = WHOLE if body == content else f"{len(content) - len(body)} bytes missing or wrong"
            yield Row(who, at, baud, ms, len(body) * 10_000 / ms / baud, verdict)


def sessions() -> Iterator[tuple[str, str, Sequence[int]]]:
    """What `measure` is called with, a board each."""
    for who, at in SERIES:
        if who == "stock":
            yield from ((who, at, (rate,)) for rate in STOCK_RATES)
        else:
            yield who, at, RATES


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=230_000)
    parser.add_argument("--firmware", type=Path)
    options = parser.parse_args()
    content = random.Random(1).randbytes(options.bytes)
    print(f"{options.bytes} bytes onto the card, connect and request included; times of the board")
    print("who          modem      baud       ms     kB/s  of line  file")
    for session in sessions():
        for row in measure(*session, [content], options.firmware):
            print(row.text(), flush=True)


if __name__ == "__main__":
    main()
