"""The console as an RFC 2217 port: pyserial as its client, and the lines that reset a board."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
import serial

from maixpix.board.link import Link
from maixpix.cli import run as maixpix
from rig.board_process import ENGINES, BoardProcess, engine_options, needs_firmware, wait_for_prompt
from rig.patience import patient
from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS, SECOND, Clock
from virtualboard.host.console import ConsoleLine
from virtualboard.host.reset_lines import ResetLines
from virtualboard.host.rfc2217 import Rfc2217Console

BOOT = 16


class Bench:
    """A board without an engine, its clock run by a thread as an engine would."""

    def __init__(self, pattern: str = "dan", pace: bool = True) -> None:
        self.board = Board(BoardConfig(), Clock(pace=pace))
        self.line = ConsoleLine(self.board)
        self.happened: list[str] = []
        self.lines = ResetLines(self.board, pattern, self._hold)
        self.console = Rfc2217Console(self.line, 0, self.lines, self.happened.append)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _hold(self, on: bool) -> None:
        boot = "boot" if not self.board.pads.level(BOOT) else "run"
        self.happened.append("held" if on else f"started to {boot}")

    def _run(self) -> None:
        while not self._stop.is_set():
            self.board.clock.advance(5 * MS)
            time.sleep(0.0005)  # the client shares this process; a loop that never lets go would starve it

    def __enter__(self) -> Bench:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(patient(10))
        self.console.close()
        self.board.power_off()

    def until(self, condition) -> None:
        deadline = time.monotonic() + patient(10)
        while not condition():
            assert time.monotonic() < deadline, self.happened
            time.sleep(0.01)


def test_all_bytes_pass_both_ways(monkeypatch):
    heard = bytearray()
    everything = bytes(range(256)) * 2 + b"\xff\xff\x00"
    with Bench() as bench:
        bench.board.console_rx.on_write = lambda: bench.board.clock.after(
            SECOND // 10, lambda: heard.extend(bench.board.console_rx.take())
        )
        with serial.serial_for_url(bench.console.url, 115200, timeout=patient(5)) as port:
            port.write(everything)
            bench.until(lambda: len(heard) >= len(everything))
            assert bytes(heard) == everything
            bench.board.clock.after(0, lambda: bench.board.console_tx.write(everything))
            assert port.read(len(everything)) == everything


def test_the_programs_rate_is_the_lines_rate():
    with Bench() as bench:
        with serial.serial_for_url(bench.console.url, 1_500_000, timeout=patient(5)) as port:
            bench.until(lambda: bench.line.baud == 1_500_000)
            bench.board.clock.after(0, lambda: bench.board.console_tx.write(b"sent at 115200"))
            assert port.read(4) != b"sent"
            port.baudrate = 230400
            bench.until(lambda: bench.line.baud == 230400)
        bench.until(lambda: bench.line.baud == 115200)


def test_a_second_program_is_turned_away_and_the_first_goes_on():
    with Bench() as bench:
        with serial.serial_for_url(bench.console.url, 115200, timeout=patient(5)) as first:
            with socket.create_connection(("127.0.0.1", bench.console.port), 5) as second:
                assert second.recv(1) == b""
            bench.board.clock.after(0, lambda: bench.board.console_tx.write(b"still here"))
            assert first.read(10) == b"still here"
        bench.until(lambda: bench.console._session is None)
        with serial.serial_for_url(bench.console.url, 115200, timeout=patient(5)):
            pass


AGREE = b"\xff\xfb\x2c\xff\xfd\x2c"  # IAC WILL and IAC DO of the COM-PORT option (RFC 2217 section 2)


def test_a_program_that_comes_right_after_one_that_was_killed_is_let_in():
    bench = Bench(pace=False)
    clock, port = bench.board.clock, bench.console.port
    try:
        killed = socket.create_connection(("127.0.0.1", port))
        killed.sendall(AGREE)
        clock.poll(SECOND)
        clock.poll(SECOND)
        killed.sendall(b"half a fram" * 500)
        killed.close()
        with socket.create_connection(("127.0.0.1", port), timeout=patient(10)) as second:
            for _ in range(3):  # the board sees both at once
                clock.poll(SECOND // 10)
            second.sendall(AGREE + b"print(1)")
            clock.poll(SECOND)
            assert "turned away" not in " ".join(bench.happened)
            second.settimeout(0.2)
            with pytest.raises(TimeoutError):  # silence, and no end of file
                while second.recv(100):
                    pass
    finally:
        bench.console.close()
        bench.board.power_off()


POST = (
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1:2217\r\nOrigin: http://evil.example\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 30\r\n\r\n\x03\r\nimport os; os.remove('a')\r\n"
)
SET_BAUD = b"\xff\xfa\x2c\x01\x00\x0f\x42\x40\xff\xf0"
DTR_OFF = b"\xff\xfa\x2c\x05\x09\xff\xf0"


@pytest.mark.parametrize(
    "words",
    [
        POST,
        POST.replace(b"POST", b"GET", 1),
        b"\r\nprint(1)\r\n",
        b"\x03\x04",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"print(1)\r" + AGREE + b"print(2)\r",
        b"\xff\xfb\x03print(1)\r",  # Telnet, but another option
        b"\xff\xf1print(1)\r",
        b"\xff\xffprint(1)\r",
        b"\xff\xfe\x2cprint(1)\r",  # the COM-PORT option refused
        SET_BAUD + b"print(1)\r",
        DTR_OFF,
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_stranger_moves_nothing_and_hears_nothing_of_the_board(words, at_once):
    """Web pages can send what they like to any port of loopback; only Telnet's COM-PORT option opens the console."""
    with Bench() as bench:
        with socket.create_connection(("127.0.0.1", bench.console.port), 5) as stranger:
            bench.board.clock.after(0, lambda: bench.board.console_tx.write(b"secret of the board"))
            heard = b""
            try:
                for piece in [words] if at_once else [words[i : i + 1] for i in range(len(words))]:
                    stranger.sendall(piece)
                while data := stranger.recv(1000):
                    heard += data
            except ConnectionError:
                pass
        assert b"secret" not in heard
        bench.until(lambda: not bench.console._strangers)
        assert bench.board.console_rx.take() == b""
        assert bench.line.baud == 115200
        assert bench.happened == []
        with serial.serial_for_url(bench.console.url, 115200, timeout=5) as port:
            bench.board.clock.after(0, lambda: bench.board.console_tx.write(b"fine"))
            assert port.read(4) == b"fine"


def test_silent_strangers_keep_nobody_out():
    with Bench() as bench:
        silent = [socket.create_connection(("127.0.0.1", bench.console.port), 5) for _ in range(20)]
        with serial.serial_for_url(bench.console.url, 115200, timeout=5) as port:
            bench.board.clock.after(0, lambda: bench.board.console_tx.write(b"fine"))
            assert port.read(4) == b"fine"
            bench.until(lambda: len(bench.console._strangers) <= 4)
        for peer in silent:
            peer.close()


@pytest.mark.parametrize("noise", [b"\xff\xfa\x2c\x01\xff\xf0", b"\xff\xfa\x2c\x02\xff\xf0\xff\xfa\x2c\x03\x77\xff\xf0",
                                   b"\xff\xf0", b"\xff\xfa\xff\xf0"])  # fmt: skip
def test_a_client_that_talks_nonsense_loses_its_connection_only(noise):
    with Bench() as bench:
        with socket.create_connection(("127.0.0.1", bench.console.port), 5) as rude:
            rude.sendall(noise)
            rude.settimeout(1)
            try:
                while rude.recv(4096):
                    pass
            except TimeoutError:
                pass
        bench.until(lambda: bench.console._session is None)
        with serial.serial_for_url(bench.console.url, 115200, timeout=patient(5)) as port:
            bench.board.clock.after(0, lambda: bench.board.console_tx.write(b"fine"))
            assert port.read(4) == b"fine"


ENDLESS = b"\xff\xfa" + b"A" * 5000


@pytest.mark.parametrize("talk", [ENDLESS, AGREE + ENDLESS, b"\xff\xf1" * 3000, b"\xff\xfe\x01" * 3000])
def test_talk_without_end_ends_the_connection(talk):
    """Bytes of an option are gathered until it ends, and each is the engine's time."""
    with Bench() as bench, socket.create_connection(("127.0.0.1", bench.console.port), 5) as rude:
        rude.settimeout(patient(5))
        with contextlib.suppress(ConnectionError):
            rude.sendall(talk)
            while rude.recv(4096):
                pass
        bench.until(lambda: bench.console._session is None and not bench.console._strangers)


# kflash 1.1.6: (DTR, RTS) in the order of its calls, one line at a time, 100 ms after each pair.
DAN = [("dtr", False), ("rts", False), ("dtr", False), ("rts", True), ("rts", False), ("dtr", True)]
GOE = [("dtr", False), ("rts", False), ("dtr", True), ("rts", False), ("rts", True), ("dtr", False)]


@pytest.mark.parametrize(("pattern", "moves"), [("dan", DAN), ("goE", GOE)])
@pytest.mark.parametrize("pace", [True, False])
def test_kflashs_pattern_ends_in_the_boot_rom(pattern, moves, pace):
    with Bench(pattern, pace) as bench:
        with serial.serial_for_url(bench.console.url, 115200, timeout=patient(5)) as port:
            assert bench.happened == []  # opening a port asserts both lines, which must not reset a board
            for line, level in moves:
                setattr(port, line, level)
            bench.until(lambda: bench.happened[-1:] == ["started to boot"])
        bench.until(lambda: bench.board.pads.level(BOOT))
        assert [what for what in bench.happened if what.startswith("started")][-1] == "started to boot"


@pytest.mark.parametrize(("pattern", "moves"), [("dan", GOE), ("goE", DAN)])
def test_the_other_types_pattern_does_not_reach_the_boot_rom(pattern, moves):
    with Bench(pattern) as bench:
        with serial.serial_for_url(bench.console.url, 115200, timeout=patient(5)) as port:
            for number, (line, level) in enumerate(moves):
                setattr(port, line, level)
                time.sleep(0.1 * (number % 2))
        assert "started to boot" not in bench.happened and bench.happened


def test_a_pulse_of_the_reset_line_starts_the_firmware():
    with Bench() as bench, serial.serial_for_url(bench.console.url, 115200, timeout=patient(5)) as port:
        port.dtr = False
        bench.until(lambda: bench.happened == ["held"])
        port.rts = False
        bench.until(lambda: bench.happened == ["held", "started to run"])


def test_a_program_that_dies_lets_go_of_the_lines():
    with Bench() as bench:
        port = serial.serial_for_url(bench.console.url, 115200, timeout=patient(5))
        port.dtr = False
        bench.until(lambda: bench.happened == ["held"])
        port._socket.shutdown(socket.SHUT_RDWR)
        port._socket.close()
        bench.until(lambda: bench.happened == ["held", "started to run"])


def test_unknown_lines_are_named():
    with pytest.raises(ValueError, match="known: kd233, dan, bit,"):
        ResetLines(Board(BoardConfig()), "amigo", lambda on: None)


@pytest.mark.parametrize("engine", ENGINES)
def test_our_commands_and_mpremotes_transport_work_over_it(engine, tmp_path, capsys):
    (tmp_path / "main.py").write_text("print('started')\n")
    options = ("--card", str(tmp_path), "--rfc2217", "0", *engine_options(engine))
    with BoardProcess(*options) as board:
        wait_for_prompt(board)  # the chip formats its flash first, and hears nothing meanwhile
        with Link(board.rfc2217) as link:
            assert link.eval("6 * 7") == 42
        heard = b""
        deadline = time.monotonic() + patient(30)
        with serial.Serial(board.pty, 115200, timeout=1) as listening:
            assert maixpix(["reset", "--lines", "--board", "dock", "--port", board.rfc2217]) == 0
            while b"started" not in heard:
                assert time.monotonic() < deadline, heard
                heard += listening.read(200)
        assert b"init end" in heard


@needs_firmware
@pytest.mark.firmware
def test_the_boot_key_line_takes_a_running_board_to_its_boot_rom_and_back(tmp_path):
    with BoardProcess("--rfc2217", "0", *engine_options("k210")) as board:
        wait_for_prompt(board)
        with serial.serial_for_url(board.rfc2217, 115200, timeout=2) as port:
            for line, level in DAN:
                setattr(port, line, level)
            time.sleep(0.3)
            port.reset_input_buffer()
            port.write(b"\xc0\xc2" + bytes(12) + b"\xc0")
            assert port.read(4) == b"\xc0\xc2\xe0\xc0"
            port.dtr = True
            port.rts = True
            port.dtr = False
            time.sleep(0.1)
            port.rts = False
            heard = b""
            deadline = time.monotonic() + patient(30)
            while b"[MAIXPY]" not in heard:
                assert time.monotonic() < deadline, heard
                heard += port.read(100)
