"""What the panel must show, pixel by pixel: the device code itself shows it, on a board to which nothing happens."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from maixpix.board import bundle, card, device_code
from maixpix.torture.pictures import pool
from virtualboard.board import Board, BoardConfig
from virtualboard.engine import EngineOptions
from virtualboard.program import Program
from virtualboard.running import RunningBoard

_BEGIN = """\
import sys
sys.path.insert(1, "/sd/maixpix/a")
from pix.screen import Screen
"""

_CARD = """\
class Told:
    code, title, cause, remedy = %r
Screen().error(Told)
"""


@cache
def software(byte_code: bool) -> bundle.Bundle:
    """The device code of this installation as `deploy` sends it."""
    return bundle.build(mpy=None if byte_code else False)


def put_software(folder: Path, byte_code: bool) -> None:
    """Make `folder` a card with the loader, `pix` and the apps on it."""
    shutil.copytree(_template(byte_code), folder)


@cache
def _template(byte_code: bool) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="maixpix-torture-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    card.put(folder, software(byte_code))
    return folder


def remedy_of(code: str) -> tuple[str, str]:
    """(title, remedy) of an error by its code, as the device code has them; ("", "") for a code that it does not."""
    try:
        error = device_code.load("errors").PixError(code)
    except ValueError:
        return "", ""
    return (error.title, error.remedy) if error.code == code else ("", "")


def told(line: str) -> tuple[str, str, str, str] | None:
    """(code, title, cause, remedy) of an error's line, "code: cause; remedy"; None when it is none of the table."""
    code, _, rest = line.partition(": ")
    title, remedy = remedy_of(code)
    if not title or not rest.endswith("; " + remedy):
        return None
    return code, title, rest.removesuffix("; " + remedy), remedy


@cache
def picture(number: int) -> bytes:
    """RGB of the panel with picture `number` of the pool on it."""
    return _drawn('Screen().show("/sd/p.jpg")\n', pool()[number])


@cache
def error_card(line: str) -> bytes:
    """RGB of the panel with the card of an error on it, whose line is "code: cause; remedy"; b"" for no such error."""
    words = told(line)
    return _drawn(_CARD % (words,)) if words is not None else b""


def _drawn(code: str, file: bytes | None = None) -> bytes:
    with tempfile.TemporaryDirectory(prefix="maixpix-easel-") as name:
        folder = Path(name) / "card"
        put_software(folder, byte_code=False)
        if file is not None:
            (folder / "p.jpg").write_bytes(file)
        board = Board(BoardConfig(card=str(folder), reach=[]))
        try:
            running = RunningBoard(board, EngineOptions(repl=False))
            heard = bytearray()
            if running.run_program(Program.of(_BEGIN + code), lambda _when, data: heard.extend(data)):
                raise RuntimeError(f"a board to which nothing happens could not draw: {bytes(heard)[-400:]!r}")
            return board.panel.image().convert("RGB").tobytes()
        finally:
            board.power_off()
