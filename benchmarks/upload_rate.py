"""How fast a board sends: our doors beside the stock driver with the loop of its samples, in virtual time.

    python -m benchmarks.upload_rate [--at 1.7.4] [--bytes 200000]

1 Mbaud, peer 4 ms away, 1 ms of thinking a command in the module. The clock runs from the call to the proof (ours), or
to the last `send` (stock: it has no proof). Shares are of the line's 100 kB/s, everything included: connecting,
digests, requests, reading the card. The hosted engine's costs of Python are those of `virtualboard.hosted.costs`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
from pathlib import Path

from maixpix.companion import ServeSettings, running
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.hosted.launch import run_app

ROOT = Path(__file__).resolve().parents[1]
KEY = "sesame-open-42"
LINE = 100_000
"""Bytes a second at 1 Mbaud, ten bits a byte."""

_OURS = """
from pix import config, wifi
from pix.upload import Uploader
settings = config.load()
modem = wifi.bring_up(settings)
class Plain:
    def connect(self, host, port, timeout_ms, pipelined=False):
        return modem.connect(host, port, timeout_ms)
for name, connector, target in (
    ("tus, CIPSENDBUF", modem, "http://pc:%(port)d/files/"),
    ("tus, CIPSEND", Plain(), "http://pc:%(port)d/files/"),
    ("tcp+name, CIPSENDBUF", modem, "tcp+name://pc:%(tcp)d"),
    ("tcp+name, CIPSEND", Plain(), "tcp+name://pc:%(tcp)d"),
    ("tcp, CIPSEND", modem, "tcp://pc:%(tcp)d"),
):
    up = Uploader(connector, target)
    up.send("/sd/warm.bin")
    for path in ("/sd/small.bin", "/sd/large.bin"):
        sent = up.send(path)
        print("rate|%%s|%%d|%%d" %% (name, sent.bytes, sent.elapsed_ms))
        import uos
        note = path[:-3] + "^bi"
        if note[4:] in uos.listdir("/sd"):
            uos.remove(note)
"""

_STOCK = """
import network, time, usocket
from machine import UART
from fpioa_manager import fm
from Maix import GPIO
fm.register(8, fm.fpioa.GPIOHS8)
enable = GPIO(GPIO.GPIOHS8, GPIO.OUT)
enable.value(0)
time.sleep_ms(50)
enable.value(1)
time.sleep_ms(1500)
fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
uart = UART(UART.UART2, 115200, timeout=1000, read_buf_len=4096)
uart.write("AT+UART_CUR=1000000,8,1,0,0\\r\\n")
time.sleep_ms(100)
uart = UART(UART.UART2, 1000000, timeout=1000, read_buf_len=4096)
nic = network.ESP8285(uart)
nic.connect("home", "%(key)s")
for path in ("/sd/small.bin", "/sd/large.bin"):
    s = usocket.socket()
    s.connect(("127.0.0.1", %(tcp)d))
    began = time.ticks_ms()
    total = 0
    f = open(path, "rb")
    while True:
        block = f.read(2048)
        if not block:
            break
        s.send(block)
        total += len(block)
    print("rate|stock driver, 2048 a send|%%d|%%d" %% (total, time.ticks_diff(time.ticks_ms(), began)))
    f.close()
    s.close()
"""


def measure(at: str, size: int) -> list[tuple[str, int, int]]:
    """(what, bytes, virtual milliseconds) of every way."""
    rows: list[tuple[str, int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / "card"
        shutil.copytree(ROOT / "firmware" / "pix", card / "pix")
        rng = random.Random(1)
        for name, count in (("warm.bin", 600), ("small.bin", 12_000), ("large.bin", size)):
            (card / name).write_bytes(rng.randbytes(count))
        (card / "pix.json").write_text(json.dumps({"wifi": [["home", KEY]]}))
        config = BoardConfig(at=at, card=str(card), wifi=[WifiNetwork("home", KEY)], names={"pc": "127.0.0.1"})
        settings = ServeSettings(card, port=0, tcp_port=0, uploads=Path(folder) / "uploads", names=("pc",))
        with running(settings) as companion:
            for source in (_OURS, _STOCK):
                script = source % {"port": companion.port, "tcp": companion.tcp_port or 0, "key": KEY}
                result = run_app(config, script, timeout_s=120)
                found = re.findall(r"^rate\|(.*)\|(\d+)\|(\d+)$", result.console, re.M)
                if not found:
                    raise RuntimeError(result.console)
                rows += [(what, int(count), int(ms)) for what, count, ms in found]
    return rows


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--at", default="1.7.4", help="AT firmware of the modem")
    parser.add_argument("--bytes", type=int, default=200_000, help="size of the large file")
    options = parser.parse_args()
    print(f"{'AT ' + options.at:28} {'bytes':>8} {'ms':>7} {'bytes/s':>8} {'line':>6}")
    for what, count, ms in measure(options.at, options.bytes):
        rate = count * 1000 // max(1, ms)
        print(f"{what:28} {count:8} {ms:7} {rate:8} {rate / LINE:6.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
