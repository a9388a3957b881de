"""Real MaixPy on the chip. Needs an image: MAIXPY_FIRMWARE=/path/to/maixpy.bin."""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from virtualboard.board import BoardConfig
from virtualboard.clock import MS, SECOND
from virtualboard.k210.engine import K210Engine
from virtualboard.k210.repl import ReplError
from virtualboard.network import Script

pytestmark = pytest.mark.firmware


@pytest.fixture
def chip(boot: Callable[..., K210Engine], tmp_path: Path) -> K210Engine:
    """A freshly booted board with a card."""
    (tmp_path / "card").mkdir()
    return boot(BoardConfig(card=str(tmp_path / "card")))


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


def test_snapshot_is_a_way_back(chip: K210Engine) -> None:
    chip.repl("kept = 1")
    state = chip.snapshot()
    chip.repl("later = 2\nkept = 3")
    chip.restore(state)
    assert chip.repl("print(kept)") == "1\n"
    with pytest.raises(ReplError, match="NameError"):
        chip.repl("print(later)")


# Less than the stock driver's ring, which loses what comes while the card is written.
BODY = random.Random(3).randbytes(8_000)

FETCH = """
import socket, network
from machine import UART
from fpioa_manager import fm
fm.register(6, fm.fpioa.UART2_RX, force=True)
fm.register(7, fm.fpioa.UART2_TX, force=True)
nic = network.ESP8285(UART(UART.UART2, 115200, timeout=1000, read_buf_len=10240))
nic.connect("home", "correct horse")
s = socket.socket()
s.connect(("10.1.2.3", 80))
s.send("GET / HTTP/1.0\\r\\n\\r\\n")
s.settimeout(2)
f, size = open("/sd/got.bin", "wb"), 0
while size < %d:
    data = s.recv(2048)
    if not data: break
    size += f.write(data)
f.close()
print(size)
"""


class Server(Script):
    """Answers a while after the request, as over a real network; the stock driver loses what comes with SEND OK."""

    def received(self, data: bytes) -> None:
        if b"\r\n\r\n" in data:
            self.clock.after(400 * MS, lambda: self.send(BODY))


def test_same_inputs_same_run(boot: Callable[..., K210Engine], tmp_path: Path) -> None:
    """Card, modem, scripted peer and all: what a run leaves behind is the same to the last bit."""
    runs = []
    for number in range(2):
        card = tmp_path / f"card{number}"
        card.mkdir()
        (card / "pix.json").write_text("{}")
        os.utime(card / "pix.json", (1_700_000_000, 1_700_000_000))
        engine = boot(BoardConfig(card=str(card)))
        engine.board.network.attach("10.1.2.3", 80, Server)
        assert engine.repl(FETCH % len(BODY)) == f"{len(BODY)}\n"
        engine.board.card.flush()
        assert (card / "got.bin").read_bytes() == BODY
        names = sorted(path.name for path in card.iterdir())
        runs.append(
            (
                engine.cycles,
                engine.slices,
                engine.ram_hash(),
                hashlib.sha256(engine.board.flash.data).hexdigest(),
                [(name, hashlib.sha256((card / name).read_bytes()).hexdigest()) for name in names],
                engine.board.card.bytes_written,
            )
        )
    assert runs[0] == runs[1]


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
