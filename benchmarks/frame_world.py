"""The world of a picture frame for `benchmarks.frame_years`: a server in virtual time whose folder gets a new picture
every hour, and what goes wrong around the board.

A picture is a number in black and white: 4 by 4 fields, 12 bits and their check sum, so that a panel tells which
picture it shows, and a torn one shows itself.
"""

from __future__ import annotations

import hashlib
import io
import random
import re
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from time import gmtime, strftime

from PIL import Image, ImageDraw

from virtualboard.board import Board
from virtualboard.clock import MS, SECOND
from virtualboard.network.script import Script

SERVER = "127.0.0.1"
EPOCH = 1_800_000_000
HOUR = 3600
LISTED = 30
"""Pictures in the server's folder: the newest ones."""

ZONE_MIN = 60
SIZE = (160, 120)
"""Pixels of a picture, in grey and shown in the middle of the panel: it is decoded in a quarter of the time."""

_LEFT, _TOP = 80, 60
_WIDE, _HIGH = 40, 30
_NUMBERS = 4096


@lru_cache(maxsize=64)
def picture(number: int) -> bytes:
    """The JPEG file of that number."""
    bits = _code(number)
    image = Image.new("L", SIZE, 120)
    draw = ImageDraw.Draw(image)
    for at in range(16):
        x, y = at % 4 * _WIDE, at // 4 * _HIGH
        level = 225 if bits >> at & 1 else 30
        draw.rectangle((x + 4, y + 4, x + _WIDE - 4, y + _HIGH - 4), level)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=60)
    return out.getvalue()


def number_on(panel: Image.Image) -> int | None:
    """The number that a panel shows, None when it shows none."""
    bits = 0
    for at in range(16):
        level = panel.getpixel((_LEFT + at % 4 * _WIDE + 20, _TOP + at // 4 * _HIGH + 15))
        assert isinstance(level, tuple)
        if level[0] > 160:
            bits |= 1 << at
        elif level[0] > 90:
            return None
    number = bits & 0xFFF
    return number if _code(number) == bits else None


def _code(number: int) -> int:
    check = (number ^ number >> 4 ^ number >> 8) & 15
    return number | (check ^ 0b0110) << 12


@dataclass
class World:
    """Time and server. `started` is the world's time (seconds from the beginning) at the present board's power-on."""

    seed: int
    drift_ppm: int = 0
    """By how many millionths the world's time is faster than the board's crystal."""

    started: float = 0.0
    board: Board | None = None
    mode: str = ""
    """What the server does wrong: "refuse", "silent", "lies", "cut", "page"."""

    asked: Counter[str] = field(default_factory=Counter)
    last_good: float = 0.0
    """When a request was last answered as it should be."""

    states: list[tuple[float, dict[str, str]]] = field(default_factory=list)
    """The last reports of the board."""

    free: list[int] = field(default_factory=list)
    """Free heap that the present board told of, bytes."""

    waiting: float | None = None
    """Since when the board could be back, after the last trouble."""

    recoveries: list[tuple[float, str]] = field(default_factory=list)
    trouble: str = ""
    clock_off: int = 0
    """The greatest error of a clock that the board was sure of, seconds."""

    offline_clock_off: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed}/server")

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self.started + (self.board.clock.now / SECOND * self._pace if self.board is not None else 0.0)

    @property
    def _pace(self) -> float:
        return 1 + self.drift_ppm / 1_000_000

    def tick(self, when: float) -> int:
        """What the present board's clock shows at `when` of the world's seconds, not before its power-on."""
        return max(0, round((when - self.started) / self._pace * SECOND))

    @property
    def newest(self) -> int:
        """Number of the newest picture."""
        return LISTED + int(self.now // HOUR)

    def listed(self) -> range:
        """Numbers of the pictures in the folder."""
        return range(self.newest, self.newest - LISTED, -1)

    def published(self, number: int) -> bool:
        """True when a picture of that number has ever been in the folder."""
        return 0 < number <= self.newest

    def join(self, board: Board) -> None:
        """`board` is on the network now."""
        self.board = board
        self.set_mode(self.mode)

    def set_mode(self, mode: str) -> None:
        """Change what the server does wrong."""
        self.mode = mode
        assert self.board is not None
        self.board.network.attach(SERVER, 80, None if mode == "refuse" else lambda: _Served(self))

    def over(self, trouble: str) -> None:
        """The trouble is over: from now on the board may recover."""
        self.waiting = self.now
        self.trouble = trouble

    def hear(self, head: str) -> None:
        """A whole request came."""
        found = re.search(r"^Maixpix-State: (.*?)\r$", head, re.M)
        values = dict(item.split("=", 1) for item in found[1].split(";")) if found else {}
        self.states.append((self.now, values))
        del self.states[:-4]
        if values.get("heap", "").isdigit():
            self.free.append(int(values["heap"]))
        clock = values.get("clock", "")
        if clock.isdigit():
            off = abs(int(clock) - round(EPOCH + self.now))
            self.clock_off = max(self.clock_off, off)
            if self.now - self.last_good > 20 * HOUR:
                self.offline_clock_off = max(self.offline_clock_off, off)

    def good(self) -> None:
        """A request was answered as it should be."""
        self.last_good = self.now
        if self.waiting is not None:
            self.recoveries.append((self.now - self.waiting, self.trouble))
            self.waiting = None

    def answer(self, path: str) -> bytes | None:
        """The content at `path`, None when there is nothing."""
        if path.startswith("/playlist"):
            entries = []
            for number in self.listed():
                data = picture(number % _NUMBERS)
                proof = f"{hashlib.sha256(data).hexdigest()} {len(data)}"
                entries.append(f"- {proof} - - pictures/n{number}.jpg picture {number}")
            return "\n".join(["maixpix-playlist 1", *entries, f"end {len(entries)}"]).encode() + b"\n"
        found = re.match(r"/pictures/n(\d+)\.jpg", path)
        if found is None or not self.published(int(found[1])):
            return None
        return picture(int(found[1]) % _NUMBERS)


class _Served(Script):
    def __init__(self, world: World) -> None:
        self._world = world
        self._head = b""

    def received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" not in self._head:
            return
        head, self._head = self._head.decode("latin-1"), b""
        world = self._world
        path = head.split()[1]
        world.asked["list" if path.startswith("/playlist") else "picture"] += 1
        world.hear(head)
        if world.mode == "silent":
            return
        if world.mode == "page":
            self._say(200, b"<html><title>Hotel</title>log in here</html>", "text/html", {})
            return
        body = world.answer(path)
        if body is None:
            self._say(404, b"nothing here\n", "text/plain", {})
            return
        digest = hashlib.sha256(body).digest()
        fields = {"ETag": f'"{digest.hex()[:40]}"', "Repr-Digest": f"sha-256=:{b64encode(digest).decode()}:",
                  "Maixpix-Zone": str(ZONE_MIN), "Accept-Ranges": "bytes"}  # fmt: skip
        if world.mode == "lies":
            at = world.random.randrange(len(body))
            body = body[:at] + bytes([body[at] ^ 1 << world.random.randrange(8)]) + body[at + 1 :]
            if world.random.random() < 0.5:
                del fields["Repr-Digest"]
        if f"If-None-Match: {fields['ETag']}\r" in head:
            self._say(304, b"", "", fields)
            world.good()
            return
        wanted = re.search(r"^Range: bytes=(\d+)-\r$", head, re.M)
        first = int(wanted[1]) if wanted and f"If-Range: {fields['ETag']}\r" in head else 0
        if first >= len(body):
            first = 0
        if first:
            fields["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        kind = "text/plain" if path.startswith("/playlist") else "image/jpeg"
        cut = world.random.randrange(len(body) - first) if world.mode == "cut" else None
        self._say(206 if first else 200, body[first:], kind, fields, cut)
        if not world.mode:
            world.good()

    def _say(self, status: int, body: bytes, kind: str, fields: dict[str, str], cut: int | None = None) -> None:
        date = strftime("%a, %d %b %Y %H:%M:%S GMT", gmtime(EPOCH + self._world.now))
        head = {"Date": date, "Content-Length": str(len(body)), **({"Content-Type": kind} if kind else {}), **fields}
        lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in head.items())]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body[:cut])
        if cut is not None:
            self.reset()
        else:
            self.finish()


def break_something(world: World, rng: random.Random) -> str:
    """Make one thing go wrong around the board, and have it end by itself; returns what."""
    board = world.board
    assert board is not None
    clock = board.clock
    long_s = rng.choice([10, 60, 600, 3600, 7200])
    kind = rng.choice(["network", "network", "server", "server", "module", "wire", "card", "card", "power", "power"])
    what = kind
    if kind == "network":
        what = f"network away for {long_s} s"
        board.modem.drop_wifi()
        clock.after(long_s * SECOND, board.modem.restore_wifi)
        clock.after(long_s * SECOND, lambda: world.over(what))
    elif kind == "server":
        mode = rng.choice(["refuse", "silent", "lies", "cut", "page"])
        what = f"server: {mode} for {long_s} s"
        world.set_mode(mode)

        def mended() -> None:
            world.set_mode("")
            world.over(what)

        clock.after(long_s * SECOND, mended)
    elif kind == "module":
        name = rng.choice(["restart", "brown_out", "stall", "busy"])
        what = f"module: {name}"
        action = getattr(board.modem, name)
        if name == "restart":
            action(4)
        elif name == "brown_out":
            action()
        else:
            action(rng.randrange(1000, 9000) * MS)
        world.over(what)
    elif kind == "wire":
        _noise(board, rng, long_s)
        what = f"noise on the line for {min(long_s, 600)} s"
        clock.after(min(long_s, 600) * SECOND, lambda: world.over(what))
    elif kind == "card":
        what = _card(world, rng, long_s)
    else:
        what = "power cut"
        if rng.random() < 0.5:
            what = "power cut while something comes"
            board.to_chip.at_byte(board.to_chip.sent + rng.randrange(200, 30_000), board.cut_power)
        else:
            board.cut_power()
    return what


def _noise(board: Board, rng: random.Random, seconds: int) -> None:
    chance = 10 ** rng.uniform(-5, -3)

    def mangle(index: int, byte: int) -> bytes:
        if rng.random() >= chance:
            return bytes((byte,))
        return rng.choice([b"", bytes((byte, byte)), bytes((byte ^ 1 << rng.randrange(8),))])

    board.to_chip.mangle = mangle

    def quiet() -> None:
        board.to_chip.mangle = None

    board.clock.after(min(seconds, 600) * SECOND, quiet)


def _card(world: World, rng: random.Random, seconds: int) -> str:
    board = world.board
    assert board is not None
    name = rng.choice(["stall", "fail_reads", "fail_writes", "full", "pulled"])
    if name == "stall":
        board.card.stall(rng.randrange(100, 900) * MS)
    elif name in ("fail_reads", "fail_writes"):
        getattr(board.card, name)(rng.randrange(1, 4))
    elif name == "full":
        board.card.fill(rng.choice([0, 40_000, 150_000]))

        def emptied() -> None:
            board.card.leave_free = None
            world.over("card full")

        board.clock.after(seconds * SECOND, emptied)
        return f"card full for {seconds} s"
    else:
        board.card.remove()
        board.clock.after(20 * SECOND, board.card.insert)
        board.clock.after(20 * SECOND, lambda: world.over("card pulled"))
        return "card pulled for 20 s"
    world.over(f"card: {name}")
    return f"card: {name}"
