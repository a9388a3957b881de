"""Real MaixPy on the chip. Needs an image: MAIXPY_FIRMWARE=/path/to/maixpy.bin."""

from __future__ import annotations

import hashlib
import http.server
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS, SECOND
from virtualboard.k210.engine import K210Engine
from virtualboard.k210.repl import ReplError

pytestmark = pytest.mark.firmware


@pytest.fixture(scope="session")
def formatted_flash(firmware: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Flash after the first boot, which formats /flash and takes longer than all later ones."""
    folder = tmp_path_factory.mktemp("card")
    board = Board(BoardConfig(card=str(folder)))
    engine = K210Engine(board, firmware)
    engine.boot()
    engine.console.wait_for_prompt(60 * SECOND)
    data = bytes(board.flash.data)
    board.power_off()
    return data


@pytest.fixture
def chip(firmware: Path, formatted_flash: bytes, tmp_path: Path) -> Iterator[K210Engine]:
    """A booted board with a card (tmp_path / "card") and a camera that sees a picture."""
    (tmp_path / "card").mkdir()
    scene = Image.new("RGB", (320, 240), (200, 40, 40))
    scene.paste((40, 200, 40), (160, 0, 320, 240))
    scene.save(tmp_path / "scene.png")
    board = Board(BoardConfig(card=str(tmp_path / "card"), camera=str(tmp_path / "scene.png")))
    board.flash.data[:] = formatted_flash
    engine = K210Engine(board)
    engine.boot()
    engine.console.wait_for_prompt()
    yield engine
    board.power_off()


def test_boots_to_the_prompt_and_calculates(chip: K210Engine) -> None:
    assert re.search(r"MicroPython v0\.\d\.\d.*kendryte-k210", chip.console.text())
    assert chip.repl("print(1+1, 3.5*2, 1/3)") == "2 7.0 0.3333333\n"
    assert chip.repl("import os\nprint(os.listdir('/'), os.getcwd())") == "['flash', 'sd'] /sd\n"


def test_exceptions_come_back_as_text(chip: K210Engine) -> None:
    with pytest.raises(ReplError, match="ZeroDivisionError"):
        chip.repl("1//0")


@pytest.mark.parametrize("duration_ms", [1, 20, 500, 3000])
def test_sleep_is_true(chip: K210Engine, duration_ms: int) -> None:
    code = f"import time\nt=time.ticks_ms()\ntime.sleep_ms({duration_ms})\nprint(time.ticks_diff(time.ticks_ms(),t))"
    assert abs(int(chip.repl(code)) - duration_ms) <= max(1, duration_ms // 1000)


def test_ctrl_c_interrupts(chip: K210Engine) -> None:
    mark = len(chip.console.output)
    chip.type("while True: pass\r\r\r")
    chip.run(timeout_ns=200 * MS)
    chip.type(b"\x03")
    assert b"KeyboardInterrupt" in chip.console.wait_for(b">>> ", start=mark + 20)


def test_soft_and_hard_reset(chip: K210Engine) -> None:
    chip.repl("x = 1")
    mark = len(chip.console.output)
    chip.type(b"\x04")
    chip.console.wait_for(b'Type "help()"', start=mark)
    chip.console.wait_for(b">>> ", start=mark)
    with pytest.raises(ReplError, match="NameError"):
        chip.repl("print(x)")
    mark = len(chip.console.output)
    chip.type("import machine; machine.reset()\r")
    chip.console.wait_for(b"init end", start=mark)
    chip.console.wait_for(b">>> ", start=mark + 40)
    assert chip.resets == [1, 8]
    assert chip.repl("print(2)") == "2\n"


def test_watchdog_resets(chip: K210Engine) -> None:
    mark = len(chip.console.output)
    chip.type("from machine import WDT; w = WDT(timeout=500)\r")
    chip.console.wait_for(b"init end", start=mark)
    assert chip.resets == [1, 2]


def test_timer_calls_back(chip: K210Engine) -> None:
    code = """
from machine import Timer
import time
calls = []
t = Timer(Timer.TIMER0, Timer.CHANNEL0, mode=Timer.MODE_PERIODIC, period=100, unit=Timer.UNIT_MS,
          callback=lambda t: calls.append(time.ticks_ms()), arg=None, start=True, priority=1, div=0)
start = time.ticks_ms()
while time.ticks_diff(time.ticks_ms(), start) < 1050: pass
t.stop()
print(len(calls))
"""
    assert chip.repl(code) == "10\n"


def test_chip_identity_and_hash(chip: K210Engine) -> None:
    code = "import machine, uhashlib, ubinascii\nprint(ubinascii.hexlify(machine.unique_id()).decode())"
    first = chip.repl(code)
    assert len(first) == 65
    assert chip.repl(code) == first
    for size in (0, 3, 55, 56, 64, 1000):
        got = chip.repl(f"print(ubinascii.hexlify(uhashlib.sha256(b'x'*{size}).digest()).decode())").strip()
        assert got == hashlib.sha256(b"x" * size).hexdigest()


def test_clock_ticks_over_the_leap_day(chip: K210Engine) -> None:
    got = chip.repl("import time\ntime.set_time((2024,2,28,23,59,58,0,0))\ntime.sleep(3)\nprint(time.localtime()[:6])")
    assert got in ("(2024, 2, 29, 0, 0, 0)\n", "(2024, 2, 29, 0, 0, 1)\n")


def test_card_both_ways(chip: K210Engine, tmp_path: Path) -> None:
    chip.repl("f=open('/sd/new.bin','wb')\nfor i in range(50): f.write(bytes(range(256))*4)\nf.close()")
    assert chip.repl("print(len(open('/sd/new.bin','rb').read()))") == "51200\n"
    chip.board.card.flush()
    assert (tmp_path / "card" / "new.bin").read_bytes() == bytes(range(256)) * 200


def test_panel_shows_what_is_drawn(chip: K210Engine) -> None:
    chip.repl(
        "import lcd, image\nlcd.init()\nlcd.clear((0,0,255))\nimg=image.Image(size=(320,240))\n"
        "img.draw_rectangle(0,0,160,240,(255,0,0),1,True)\nimg.draw_rectangle(160,0,160,240,(0,255,0),1,True)\n"
        "lcd.display(img)"
    )
    shown = chip.board.panel.image()
    assert shown.size == (320, 240)
    assert [shown.getpixel(at) for at in ((0, 0), (159, 239), (160, 0), (319, 120))] == [
        (255, 0, 0), (255, 0, 0), (0, 255, 0), (0, 255, 0),
    ]  # fmt: skip


def test_camera_picture_reaches_the_panel(chip: K210Engine) -> None:
    chip.repl(
        "import sensor, lcd\nlcd.init()\nsensor.reset()\nsensor.set_pixformat(sensor.RGB565)\n"
        "sensor.set_framesize(sensor.QVGA)\nsensor.run(1)\nimg=sensor.snapshot()\nlcd.display(img)"
    )
    shown = chip.board.panel.image()
    left, right = shown.getpixel((40, 120)), shown.getpixel((280, 120))
    assert all(abs(a - b) <= 8 for a, b in zip(left, (200, 40, 40), strict=True))
    assert all(abs(a - b) <= 8 for a, b in zip(right, (40, 200, 40), strict=True))
    assert chip.repl("print(img.width(), img.height())") == "320 240\n"


@pytest.fixture
def server() -> Iterator[tuple[int, bytes]]:
    """A web server whose answer comes after a pause, as over a real network: (port, the body it serves)."""
    body = random.Random(3).randbytes(15000)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(0.4)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield http_server.server_address[1], body
        http_server.shutdown()


def test_stock_driver_fetches_over_the_modem(chip: K210Engine, server: tuple[int, bytes], tmp_path: Path) -> None:
    port, body = server
    commands: list[bytes] = []
    chip.board.modem.on_command = commands.append
    chip.repl(
        "import network, usocket\nfrom machine import UART\nfrom fpioa_manager import fm\n"
        "fm.register(6, fm.fpioa.UART2_RX, force=True)\nfm.register(7, fm.fpioa.UART2_TX, force=True)\n"
        "nic = network.ESP8285(UART(UART.UART2, 115200, timeout=1000, read_buf_len=10240))\n"
        "nic.connect('home', 'correct horse')"
    )
    assert chip.repl("print(nic.ifconfig()[0])") == "192.168.4.50\n"
    got = chip.repl(
        f"""
s = usocket.socket()
s.connect(usocket.getaddrinfo('127.0.0.1', {port})[0][-1])
s.send('GET / HTTP/1.0\\r\\n\\r\\n')
s.settimeout(2)
f = open('/sd/got.bin', 'wb')
head, size = b'', 0
while size < {len(body)}:
    data = s.recv(4096)
    if not data: break
    if head is not None:
        head += data
        end = head.find(b'\\r\\n\\r\\n')
        if end < 0: continue
        data, head = head[end+4:], None
    size += f.write(data)
f.close()
print(size)
"""
    )
    assert got == f"{len(body)}\n"
    chip.board.card.flush()
    assert (tmp_path / "card" / "got.bin").read_bytes() == body
    assert b'AT+CWJAP="home","correct horse"\r\n' in commands
    assert chip.soc.uarts[1].receiver.lost == 0


def test_snapshot_is_a_way_back(chip: K210Engine) -> None:
    chip.repl("kept = 1")
    state = chip.snapshot()
    chip.repl("later = 2\nkept = 3")
    chip.restore(state)
    assert chip.repl("print(kept)") == "1\n"
    with pytest.raises(ReplError, match="NameError"):
        chip.repl("print(later)")


def test_same_inputs_same_run(firmware: Path, formatted_flash: bytes, tmp_path: Path) -> None:
    runs = []
    for number in (1, 2):
        board = Board(BoardConfig(card=None))
        board.flash.data[:] = formatted_flash
        engine = K210Engine(board)
        engine.boot()
        engine.console.wait_for_prompt()
        engine.repl("a = [n * n for n in range(1000)]")
        runs.append(
            (engine.cycles, engine.slices, engine.ram_hash(), hashlib.sha256(board.flash.data).digest(), number)
        )
        board.power_off()
    assert runs[0][:4] == runs[1][:4]


def test_threads_of_full_builds(chip: K210Engine) -> None:
    try:
        chip.repl("import _thread")
    except ReplError:
        pytest.skip("this build has no _thread")
    code = """
import _thread, time
seen = []
def run(name):
    for n in range(3):
        seen.append((name, n))
        time.sleep_ms(20)
_thread.start_new_thread(run, ('a',))
_thread.start_new_thread(run, ('b',))
time.sleep_ms(400)
print(sorted(seen))
"""
    assert chip.repl(code) == f"{[(name, n) for name in 'ab' for n in range(3)]}\n"


def test_idle_prompt_takes_no_slices(chip: K210Engine) -> None:
    if "_thread" in chip.repl("help('modules')"):
        pytest.skip("FreeRTOS builds tick")
    chip.run(timeout_ns=100 * MS)
    before = chip.slices
    chip.run(timeout_ns=10 * SECOND)
    assert chip.slices - before < 200
