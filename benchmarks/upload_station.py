"""A board that takes pictures and sends them, for the upload soak and the tests of `apps/snap.py` and `apps/send.py`.

What it is made of: a card with the device code, pictures of an earlier day in its outbox, views for its camera. `play`
runs it in this very process, which starts in no time and lets the caller see every picture as it is committed.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS
from virtualboard.hosted import loader
from virtualboard.program import Program
from virtualboard.running import RunningBoard

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "assets" / "pictures"
KEY, TOKEN = "sesame-open-42", "upload-token-77"

SMALL, LARGE = (320, 240), (1280, 960)
"""Sizes of planted pictures, pixels: one request of about 10 kB, and several of more than 200 kB."""

VIEWS = 24

# Most of a start is the compiling of `pix`, which is the same every time.
_compile_once = lru_cache(maxsize=256)(loader.compiled)


def make_card(folder: Path) -> Path:
    """A card with `pix` and the apps on it; returns `folder`."""
    for part in ("firmware/pix", "apps"):
        source = ROOT / part
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def plant(outbox: Path, count: int, quality: int = 50, large: int = 0) -> dict[str, bytes]:
    """Pictures of an earlier day, the last `large` of them big, all different: name -> content."""
    outbox.mkdir(exist_ok=True)
    for i in range(count):
        size = LARGE if i >= count - large else SMALL
        out = io.BytesIO()
        _photograph("chelsea.jpg", size).save(out, "JPEG", quality=(95 if size == LARGE else quality) + i)
        (outbox / f"s{i + 1:07}.jpg").write_bytes(out.getvalue())
    (outbox / "number").write_bytes(b"%07d\n" % count)
    return {file.name: file.read_bytes() for file in outbox.glob("*.jpg")}


def scenes(folder: Path, number: int, x: int = 0) -> Path:
    """A new folder of views, others for every `number` (below 12) and `x` (below 20): equal pictures would be kept
    once by a receiver, and that is right."""
    folder.mkdir()
    wide = _photograph("coffee.jpg", (500, 340))
    for i in range(VIEWS):
        left, top = x + 6 * i, 9 * number
        wide.crop((left, top, left + 320, top + 240)).save(folder / f"v{i:02}.bmp")
    return folder


@cache
def _photograph(name: str, size: tuple[int, int]) -> Image.Image:
    with Image.open(PICTURES / name) as source:
        return source.convert("RGB").resize(size)


def is_whole(data: bytes) -> bool:
    """Whether `data` is a JPEG file that decodes from its first to its last byte."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except (OSError, SyntaxError):
        return False
    return data[-2:] == b"\xff\xd9"


@dataclass
class Played:
    """One start of the board. `ended` is "finished", "power cut" or "time limit"."""

    console: str
    ended: str
    faults: list[str]
    requests: Counter[str] = field(default_factory=Counter)
    """HTTP requests that went over the serial line, by method."""


def play(
    config: BoardConfig,
    app: str,
    end_ms: int,
    on_commit: Callable[[str, bytes], None],
    prepare: Callable[[Board], None] = lambda board: None,
) -> Played:
    """Run the app of that name on the card of `config` until it ends, at the latest at `end_ms` of virtual time.

    `on_commit(name, content)` is called when a file gets its name in the outbox; `prepare` gets the board before its
    power-on, to arm what no fault plan can do.
    """
    loader.compiled = _compile_once
    board = Board(config)
    card = Path(config.card or "")
    requests: Counter[str] = Counter()
    rename, write = board.card.files.rename, board.to_modem.write

    def renamed(old: str, new: str) -> None:
        rename(old, new)
        if found := re.fullmatch(r"/outbox/(s\d{7}\.jpg)", new, re.I):
            on_commit(found[1], (card / "outbox" / found[1]).read_bytes())

    def written(data: bytes) -> int | None:
        if found := re.match(rb"(OPTIONS|POST|HEAD|PATCH|GET) ", data):
            requests[found[1].decode()] += 1
        return write(data)

    board.card.files.rename = renamed  # type: ignore[method-assign]
    board.to_modem.write = written  # type: ignore[method-assign]
    try:
        running = RunningBoard(board)
        printed = bytearray()
        prepare(board)
        program = Program.of(card / "apps" / f"{app}.py")
        running.run_program(program, lambda _when, data: printed.extend(data), end_ms * MS)
        text = printed.decode("utf-8", "replace").replace("\r\n", "\n")
        return Played(text, running.engine.ended, [what for _, what in running.faults.happened], requests)
    finally:
        board.power_off()


def digest(data: bytes) -> str:
    """SHA-256 as hex text."""
    return hashlib.sha256(data).hexdigest()
