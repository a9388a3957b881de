"""Fetching onto the card: `pix` beside MaixPy's stock driver with the loop of its documentation, on the same board.

    python -m benchmarks.fetch_rate [--bytes 230000] [--firmware MAIXPY.bin]

Virtual time: 403 MHz at one instruction a cycle, modem latency 1 ms a command, round trip 4 ms, a server that answers
within the grace. Without --firmware both run on the hosted engine, with it on the emulated chip. From the call to the
file's name on the card: connecting, the request and the commit are included. "passive": as after a pause of the board
that was too long for active receiving, or while its own pages are served.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import socket
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from maixpix.paths import board_files
from maixpix.virtual.live import LiveBoard, LiveOptions

PIX = """
import utime
from pix import config, fetch, wifi
s = config.load()
modem = wifi.bring_up(s)
if {passive}:
    modem.pause_ms = 100000
t = utime.ticks_ms()
r = fetch.fetch(modem, "http://127.0.0.1:{port}/x", "/sd/x.bin")
print("took", utime.ticks_diff(utime.ticks_ms(), t))
"""

STOCK = """
import utime, socket, network
from machine import UART
from fpioa_manager import fm
fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
uart = UART(UART.UART2, 115200, timeout=1000, read_buf_len=10240)
if {baud} != 115200:
    uart.write("AT+UART_CUR={baud},8,1,0,0\\r\\n")
    utime.sleep_ms(100)
    uart = UART(UART.UART2, {baud}, timeout=1000, read_buf_len=10240)
nic = network.ESP8285(uart)
nic.connect("home", "correct horse")
t = utime.ticks_ms()
sock = socket.socket()
sock.connect(("127.0.0.1", {port}))
sock.settimeout(5)
sock.send("GET /x HTTP/1.0\\r\\n\\r\\n")
f = open("/sd/x.bin", "wb")
while True:
    data = sock.recv(4096)
    if len(data) == 0:
        break
    f.write(data)
    end = utime.ticks_ms()
f.close()
sock.close()
print("took", utime.ticks_diff(end, t))
"""


RATES = (115200, 1_000_000, 2_000_000, 4_000_000)
SERIES = (("stock", "1.1"), ("pix", "1.1"), ("pix", "1.7.4"), ("pix passive", "1.7.4"))
WHOLE = "identical"


class Server(threading.Thread):
    """Answers every request with `content`, then closes."""

    def __init__(self, content: bytes) -> None:
        super().__init__(daemon=True)
        self._content = content
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                while b"\r\n\r\n" not in connection.recv(4096):
                    pass
                head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self._content)
                connection.sendall(head + self._content)


@dataclass
class Row:
    """One fetch. `share` of the line rate, 0 when it failed; `verdict` on the file, or the error."""

    who: str
    at: str
    baud: int
    ms: int
    share: float
    host_s: float
    verdict: str

    @property
    def whole(self) -> bool:
        """The card has the server's file."""
        return self.verdict == WHOLE

    def text(self) -> str:
        """The row of the table."""
        if not self.share:
            return f"{self.who:12} {self.at:6} {self.baud:>8}   failed: {self.verdict}"
        rate = self.share * self.baud / 10_000
        return (
            f"{self.who:12} {self.at:6} {self.baud:>8} {self.ms:>8} {rate:>8.1f} {self.share:>7.1%} "
            f"{self.host_s:>7.1f}  {self.verdict}"
        )


def measure(who: str, at: str, baud: int, content: bytes, firmware: Path | None, seed: int = 0) -> Row:
    """One row of the table; `who` is "stock", "pix" or "pix passive"."""
    server = Server(content)
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder)
        shutil.copytree(board_files() / "firmware" / "pix", card / "pix")
        (card / "pix.json").write_text(json.dumps({"wifi": [["home", "correct horse"]], "baud": baud}))
        options = LiveOptions("k210" if firmware else "hosted", firmware, card=card, at=at, seed=seed, paced=False)
        live = LiveBoard(options)
        said: list[bytes] = []
        began = time.process_time()
        program = STOCK if who == "stock" else PIX
        try:
            error = live.execute(
                program.format(port=server.port, baud=baud, passive="passive" in who).encode(), said.append
            )
        finally:
            live.close()
        host_s = time.process_time() - began
        took = re.search(rb"took (\d+)", b"".join(said))
        file = card / "x.bin"
        got = file.read_bytes() if file.exists() else b""
    if error or took is None:
        return Row(who, at, baud, 0, 0, host_s, error.strip().splitlines()[-1] if error else "no time told")
    body = got.partition(b"\r\n\r\n")[2] if who == "stock" else got
    ms = int(took[1])
    verdict = WHOLE if body == content else f"{len(content) - len(body)} bytes missing or wrong"
    return Row(who, at, baud, ms, len(body) * 10_000 / ms / baud, host_s, verdict)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=230_000)
    parser.add_argument("--firmware", type=Path)
    options = parser.parse_args()
    content = random.Random(1).randbytes(options.bytes)
    print(f"{options.bytes} bytes onto the card, connect and request included; times of the board")
    print("who          modem      baud       ms     kB/s  of line  host s  file")
    for baud in RATES:
        for who, at in SERIES:
            print(measure(who, at, baud, content, options.firmware).text(), flush=True)


if __name__ == "__main__":
    main()
