"""Fetching onto the card: `pix` beside MaixPy's stock driver with the loop of its documentation, on the same board.

    python -m benchmarks.fetch_rate [--bytes 230000] [--firmware MAIXPY.bin]

Virtual time: 403 MHz at one instruction a cycle, modem latency 1 ms a command, round trip 4 ms, a server that answers
within the grace. Without --firmware both run on the hosted engine, with it on the emulated chip.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

from maixpix.paths import board_files
from maixpix.virtual.live import LiveBoard, LiveOptions

PIX = """
import utime
from pix import config, fetch, wifi
s = config.load()
modem = wifi.bring_up(s)
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


def measure(who: str, at: str, baud: int, content: bytes, firmware: Path | None) -> str:
    """One row of the table."""
    server = Server(content)
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder)
        shutil.copytree(board_files() / "firmware" / "pix", card / "pix")
        (card / "pix.json").write_text(json.dumps({"wifi": [["home", "correct horse"]], "baud": baud}))
        options = LiveOptions("k210" if firmware else "hosted", firmware, card=card, at=at, paced=False)
        live = LiveBoard(options)
        said: list[bytes] = []
        began = time.process_time()
        try:
            error = live.execute(
                (PIX if who == "pix" else STOCK).format(port=server.port, baud=baud).encode(), said.append
            )
        finally:
            live.close()
        host_s = time.process_time() - began
        took = re.search(rb"took (\d+)", b"".join(said))
        file = card / "x.bin"
        got = file.read_bytes() if file.exists() else b""
    body = got.partition(b"\r\n\r\n")[2] if who == "stock" else got
    whole = hashlib.sha256(body).digest() == hashlib.sha256(content).digest()
    if error or took is None:
        return f"{who:6} {at:6} {baud:>8}   failed: {error.strip().splitlines()[-1] if error else 'no time told'}"
    ms = int(took[1])
    rate = len(body) * 1000 / ms
    verdict = "identical" if whole else f"{len(content) - len(body)} bytes missing or wrong"
    return f"{who:6} {at:6} {baud:>8} {ms:>8} {rate / 1000:>8.1f} {rate * 10 / baud:>7.1%} {host_s:>7.1f}  {verdict}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=230_000)
    parser.add_argument("--firmware", type=Path)
    options = parser.parse_args()
    content = random.Random(1).randbytes(options.bytes)
    print(f"{options.bytes} bytes onto the card, connect and request included; times of the board")
    print("who    modem      baud       ms     kB/s  of line  host s  file")
    for baud in (115200, 1_000_000, 2_000_000):
        print(measure("stock", "1.1", baud, content, options.firmware), flush=True)
        for at in ("1.1", "1.7.4"):
            print(measure("pix", at, baud, content, options.firmware), flush=True)


if __name__ == "__main__":
    main()
