"""The calls of MaixPy's own socket examples, in their order, on the firmware's network.ESP8285 and usocket."""

from __future__ import annotations

import io
import random
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from rig import stock
from virtualboard.board import Board, BoardConfig
from virtualboard.clock import SECOND
from virtualboard.k210.engine import K210Engine

pytestmark = pytest.mark.firmware

# Builds from v0.6 on know no board until a configuration script was run: the pins come from here.
PINS = """
import machine
from fpioa_manager import fm
WIFI_RX, WIFI_TX = 7, 6
"""

JOIN = """
import socket, network, gc, os, lcd, image
fm.register(WIFI_RX, fm.fpioa.UART2_TX)
fm.register(WIFI_TX, fm.fpioa.UART2_RX)
port = machine.UART(machine.UART.UART2, 115200, timeout=1000, read_buf_len=4096)
station = network.ESP8285(port)
station.connect("home", "correct horse")
"""

FETCH = """
link = socket.socket()
where = socket.getaddrinfo("pictures.test", %d)[0][-1]
link.connect(where)
link.send("GET /one.bmp HTTP/1.1\\nHost: pictures.test\\ncache-control: no-cache\\n\\n")
answer = b""
link.settimeout(5)
while True:
    piece = link.recv(4096)
    if not len(piece):
        break
    answer = answer + piece
answer = answer[answer.find(b"\\r\\n\\r\\n") + 4:]
out = open("/sd/fetched.bmp", "wb")
out.write(answer)
out.close()
print(len(answer))
answer = None
shown = image.Image("/sd/fetched.bmp")
lcd.init()
lcd.display(shown)
"""

SEND = """
link = socket.socket()
link.connect(("127.0.0.1", %d))
link.settimeout(5)
source = open("/sd/fetched.bmp", "rb")
while True:
    piece = source.read(2048)
    if not piece or len(piece) == 0:
        break
    link.send(piece)
source.close()
link.close()
"""


@contextmanager
def tcp_server(handle: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handle) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(params=["1.1", "1.7.4"])
def joined(request: pytest.FixtureRequest, firmware: Path, tmp_path: Path) -> Iterator[K210Engine]:
    board = Board(BoardConfig(card=str(tmp_path), at=request.param, names={"pictures.test": "127.0.0.1"}))
    engine = K210Engine(board, firmware)
    engine.boot()
    engine.console.wait_for_prompt(60 * SECOND)
    engine.repl(PINS + JOIN)
    yield engine
    board.power_off()


def test_a_picture_comes_and_goes_unharmed(joined: K210Engine, tmp_path: Path) -> None:
    noise = random.Random(8)
    sent = Image.frombytes("RGB", (96, 64), noise.randbytes(96 * 64 * 3))
    file = io.BytesIO()
    sent.save(file, "BMP")
    bmp = file.getvalue()
    requests: list[bytes] = []

    class Serve(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            request = b""
            while b"\n\n" not in request:
                request += self.request.recv(1000)
            requests.append(request)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(bmp) + bmp)

    with tcp_server(Serve) as port:
        assert joined.repl(FETCH % port) == f"{len(bmp)}\n"
    assert requests == [b"GET /one.bmp HTTP/1.1\nHost: pictures.test\ncache-control: no-cache\n\n"]
    joined.board.card.flush()
    assert (tmp_path / "fetched.bmp").read_bytes() == bmp

    panel = joined.board.panel.image()
    left, top = (panel.width - sent.width) // 2, (panel.height - sent.height) // 2
    shown = panel.crop((left, top, left + sent.width, top + sent.height)).tobytes()
    # 24-bit BMP is cut to 5, 6 and 5 bits on the way.
    assert max(abs(a - b) for a, b in zip(shown, sent.tobytes(), strict=True)) <= 8

    received = bytearray()
    closed = threading.Event()

    class Sink(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while data := self.request.recv(65536):
                received.extend(data)
            closed.set()

    with tcp_server(Sink) as port:
        joined.repl(SEND % port)
        assert closed.wait(10)
    assert received == bmp
    assert joined.soc.uarts[1].receiver.lost == 0
    assert joined.board.modem.stats.links[0].acked >= len(bmp)


@pytest.mark.parametrize("baud", stock.BAUDS)
def test_what_becomes_of_replies(firmware: Path, tmp_path: Path, baud: int) -> None:
    """The same table as in hosted/test_stock_network.py."""
    board = Board(BoardConfig(card=str(tmp_path)))
    engine = K210Engine(board, firmware)
    asked = stock.attach(board, stock.CASES)
    engine.boot()
    engine.console.wait_for_prompt(60 * SECOND)
    engine.repl(PINS + stock.JOIN.format(baud=baud))
    said = engine.repl(asked, 120 * SECOND)
    board.power_off()
    assert not stock.judge(said, stock.CASES, baud)


@pytest.mark.parametrize("think_ms", [0, 40])
def test_a_real_servers_thinking_is_seen(firmware: Path, tmp_path: Path, think_ms: int) -> None:
    class Serve(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            time.sleep(think_ms / 1000)
            self.request.sendall(bytes(i & 0xFF for i in range(504)))
            self.request.recv(1)

    board = Board(BoardConfig(card=str(tmp_path)))
    engine = K210Engine(board, firmware)
    engine.boot()
    engine.console.wait_for_prompt(60 * SECOND)
    engine.repl(PINS + stock.JOIN.format(baud=115_200))
    with tcp_server(Serve) as port:
        said = engine.repl(f"ask({port}, 42, 504, '127.0.0.1')")
    board.power_off()
    got, whole, took, _ = said.split()[1:]
    assert (got, whole) == ("504", "True")
    assert int(took) >= stock.Case(think_ms).least_ms(115_200)
