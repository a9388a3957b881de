"""kflash's own stub, as PyPI ships it, on the emulated cores: what it makes of frames that the line has spoiled."""

from __future__ import annotations

import ast
import importlib.util
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="the emulated chip needs the k210 extra")

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS, SECOND
from virtualboard.k210.engine import K210Engine

ROM_GREET, ROM_WRITE, ROM_BOOT, GREET, WRITE, INIT = 0xC2, 0xC3, 0xC5, 0xD2, 0xD4, 0xD7
OK, BAD_CHECKSUM = 0xE0, 0xE2
END = b"\xc0"


def stub() -> bytes:
    """The program that kflash uploads first, from its source."""
    source = ast.parse(Path(importlib.util.find_spec("kflash").origin).read_text(encoding="utf-8"))
    literals = (
        n.value.value
        for n in ast.walk(source)
        if isinstance(n, ast.Assign)
        and isinstance(n.targets[0], ast.Name)
        and n.targets[0].id == "ISP_PROG"
        and isinstance(n.value, ast.Constant)
    )
    return zlib.decompress(bytes.fromhex(next(literals)))


def frame(opcode: int, first: int = 0, data: bytes = b"", size: int | None = None, spoil: int = 0) -> bytes:
    """A request as kflash makes it; `spoil` changes its checksum."""
    rest = struct.pack("<II", first, len(data) if size is None else size) + data
    body = struct.pack("<HHI", opcode, 0, zlib.crc32(rest) ^ spoil) + rest
    return END + body.replace(b"\xdb", b"\xdb\xdd").replace(END, b"\xdb\xdc") + END


class Line:
    """The host's end of the console."""

    def __init__(self, engine: K210Engine) -> None:
        self.engine, self.board = engine, engine.board

    def send(self, data: bytes) -> None:
        """Until the last bit has left."""
        when = self.board.console_rx.write(data)
        self.engine.run(timeout_ns=max(1, when - self.board.clock.now))

    def answer(self, limit_ns: int = 3 * SECOND) -> tuple[int, int] | None:
        """(opcode, status) of the next frame, or None when none comes."""
        heard = bytearray()

        def whole() -> bool:
            heard.extend(self.board.console_tx.take())
            return heard.count(END) >= 2 and heard.rindex(END) > heard.index(END) + 1

        if not self.engine.run(whole, limit_ns):
            assert not heard, bytes(heard)
            return None
        start = heard.index(END)
        return heard[start + 1], heard[start + 2]

    def ask(self, data: bytes) -> tuple[int, int] | None:
        self.send(data)
        return self.answer()


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    """The stub is up and has been told which flash it is."""
    board = Board(BoardConfig())
    engine = K210Engine(board)
    engine.boot(isp=True)
    built = Line(engine)
    assert built.ask(frame(ROM_GREET)) == (ROM_GREET, OK)
    program = stub()
    for at in range(0, len(program), 1024):
        assert built.ask(frame(ROM_WRITE, 0x8000_0000 + at, program[at : at + 1024])) == (ROM_WRITE, OK)
    built.send(frame(ROM_BOOT, 0x8000_0000))
    engine.run(timeout_ns=100 * MS)
    assert built.ask(frame(GREET)) == (GREET, OK)
    assert built.ask(frame(INIT, 1)) == (INIT, OK)
    yield built
    board.power_off()


def flash(line: Line, at: int, size: int) -> bytes:
    return bytes(line.board.flash.data[at : at + size])


def test_a_wrong_checksum_is_told_and_writes_nothing(line: Line) -> None:
    data = random.Random(1).randbytes(1024)
    assert line.ask(frame(WRITE, 0x10000, data, spoil=0x100)) == (WRITE, BAD_CHECKSUM)
    assert flash(line, 0x10000, 1024) == b"\xff" * 1024
    assert line.ask(frame(WRITE, 0x10000, data)) == (WRITE, OK)
    assert flash(line, 0x10000, 1024) == data


def test_a_changed_byte_is_told(line: Line) -> None:
    spoiled = bytearray(frame(WRITE, 0x20000, bytes(range(1, 129)) * 8))
    spoiled[500] ^= 0x04
    assert line.ask(bytes(spoiled)) == (WRITE, BAD_CHECKSUM)
    assert flash(line, 0x20000, 1024) == b"\xff" * 1024


def test_half_a_frame_is_waited_for_told_at_its_end_and_may_come_again(line: Line) -> None:
    """The stub has no time-out: whoever takes the line up again ends the half frame first, or resets the board."""
    whole = frame(WRITE, 0x30000, bytes(range(1, 129)) * 8)
    line.send(whole[:300])
    assert line.answer(SECOND) is None
    assert line.ask(END) == (WRITE, BAD_CHECKSUM)
    assert flash(line, 0x30000, 1024) == b"\xff" * 1024
    assert line.ask(whole) == (WRITE, OK)
    assert flash(line, 0x30000, 1024) == bytes(range(1, 129)) * 8
