"""A virtual board as a test bench: what tests of anybody's MaixPy program need, in one object that stays as it is.

    bench = Bench(tmp_path)
    url = bench.serve(lambda request: b"hello")
    done = bench.run(Path("program.py"))
    assert done.ok and bench.panel.image().getpixel((0, 0)) == (255, 0, 0)

`run` is a power-on each time, with the same card. All time is the board's own: what `serve` and `listen` play answers
in it, so a run is the same on every machine. `virtualboard.pytest_plugin` makes it the fixture `board`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from virtualboard.board import Board, BoardConfig, WifiNetwork
from virtualboard.clock import MS
from virtualboard.engine import HOSTED, K210, EngineOptions, put_part
from virtualboard.network.script import Script
from virtualboard.panel import Panel
from virtualboard.program import Program
from virtualboard.running import RunningBoard

PEER = "10.0.0.2"
"""Address of the host "server" on the board's network, played by `Bench.serve` and `Bench.listen`."""

_MOST_HEAD = 65536


@dataclass
class Request:
    """What a program asked: method, target ("/x?y"), fields by their names in small letters, body."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Handler = Callable[[Request], "bytes | str | tuple[int, Mapping[str, str], bytes] | None"]
"""Answers a request: content; or (status, fields, content); None closes without a word."""


@dataclass
class Received:
    """What a listener has got: one entry a connection, complete when the program has closed it."""

    connections: list[bytearray] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        """Everything, of all connections."""
        return b"".join(self.connections)


@dataclass
class Traffic:
    """What a program made its modem do in the last run."""

    commands: list[str] = field(default_factory=list)
    """AT commands in order, as text."""
    sent: int = 0
    """Bytes from the chip to the modem."""
    received: int = 0
    """Bytes from the modem to the chip."""


@dataclass
class Run:
    """How a run ended. `ended` is "finished", or what else ended it: "reset", "crash", "power cut", "time limit"."""

    output: str
    """What the program printed, with plain newlines."""
    traceback: str
    """"" when it ended well."""
    ended: str
    virtual_ms: float
    """Time of the board that it took, start included."""
    faults: list[str]
    """What of the fault plan happened."""

    @property
    def ok(self) -> bool:
        """The program came to its end without an exception."""
        return self.ended == "finished" and not self.traceback


class Bench:
    """One board. `folder` is where its card is kept.

    engine: "hosted" (CPython plays MaixPy, the default) or "k210" (the emulated chip, which `firmware`, a MaixPy image,
    chooses by itself). at: AT firmware of the modem. card: folder whose files are on the card from the start. wifi:
    (name, key) pairs in range, "home" with the key "correct horse" unless told. faults: a fault plan. camera: picture
    or folder of pictures. model: "dock", "go", "bit", "cube" or "amigo". names: host names and their addresses.
    Raises ValueError for what is none of these, EngineError for an engine that cannot be had.
    """

    def __init__(
        self,
        folder: Path,
        *,
        engine: str | None = None,
        firmware: Path | str | None = None,
        at: str = "1.1",
        card: Path | str | None = None,
        wifi: Iterable[tuple[str, str]] = (("home", "correct horse"),),
        faults: Iterable[dict[str, Any]] = (),
        camera: Path | str | None = None,
        model: str = "dock",
        names: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        self.engine = engine or (K210 if firmware else HOSTED)
        if self.engine == K210 and firmware is None:
            raise ValueError("the emulated chip needs a MaixPy image: firmware=FILE")
        self.card = Path(folder) / "card"
        """The folder that is the SD card; the chip's files are in it when a run has ended."""
        if card is not None:
            shutil.copytree(card, self.card, dirs_exist_ok=True)
        self.card.mkdir(parents=True, exist_ok=True)
        self.config = BoardConfig(
            model=model,
            at=at,
            card=str(self.card),
            camera=str(camera) if camera is not None else None,
            wifi=[WifiNetwork(name, key) for name, key in wifi],
            names={"server": PEER, **(names or {})},
            faults=list(faults),
            seed=seed,
        )
        self.modem = Traffic()
        self.console = ""
        """All that the board printed in the last run, what MaixPy says at its start included."""
        self._firmware = Path(firmware).read_bytes() if firmware is not None else b""
        self._flash = b""
        self._peers: dict[tuple[str, int], Callable[[], Script]] = {}
        self._keys: list[tuple[float, float, int | None]] = []
        self._pads: list[tuple[int, Callable[[float, bool], None]]] = []
        self._board = Board(self.config)
        self._board.power_off()

    @property
    def panel(self) -> Panel:
        """The panel as the last run left it; `panel.image()` is a Pillow picture of it."""
        return self._board.panel

    def serve(self, handler: Handler, port: int = 80, host: str = "server") -> str:
        """An HTTP server for the runs to come, at the address that is returned."""
        self._peers[self.config.names.get(host, host), port] = lambda: _HttpPeer(handler)
        return f"http://{host}" + (f":{port}" if port != 80 else "")

    def listen(self, port: int, host: str = "server") -> Received:
        """A plain TCP listener, as `nc -l`, for the runs to come."""
        received = Received()
        self._peers[self.config.names.get(host, host), port] = lambda: _Listener(received)
        return received

    def press(self, at_ms: float = 0, for_ms: float = 200, pad: int | None = None) -> None:
        """In the runs to come, press a key (the BOOT key unless `pad` says) `at_ms` after power-on."""
        self._keys.append((at_ms, for_ms, pad))

    def watch(self, pad: int, seen: Callable[[float, bool], None]) -> None:
        """In the runs to come, call `seen(ms, level)` whenever the level of `pad` changes."""
        self._pads.append((pad, seen))

    def run(self, program: Path | str, timeout_s: float = 600.0) -> Run:
        """Power on, type `program` (a file, or source text) at the prompt, power off when it has ended.

        `timeout_s` is in the board's time; raises EngineError when the program does not end in it.
        """
        board = self._switch_on()
        heard, printed = bytearray(), bytearray()
        try:
            running = RunningBoard(board, EngineOptions(self.engine))
            running.console.listen(lambda _when, data: heard.extend(data))
            try:
                traceback = running.execute(Program.of(program).source.encode(), printed.extend, timeout_s)
                ended = "finished"
            except KeyboardInterrupt:
                if running.engine.ended in ("finished", "switched off"):
                    raise
                traceback, ended = "", running.engine.ended
        finally:
            board.power_off()
            self._flash = bytes(board.flash.data) if self.engine == K210 else b""
            self.console = _text(heard)
        self.modem.sent, self.modem.received = board.to_modem.sent, board.to_chip.sent
        happened = [what for _, what in running.faults.happened]
        return Run(_text(printed), traceback, ended, board.clock.now / MS, happened)

    def _switch_on(self) -> Board:
        board = self._board = Board(self.config)
        if self.engine == K210:
            if self._flash:
                board.flash.data[:] = self._flash
            else:
                put_part(board.flash, 0, self._firmware, program=True)
        self.modem = Traffic()
        commands = self.modem.commands
        board.modem.on_command = lambda line: commands.append(line.decode("utf-8", "replace").strip())
        for (address, port), factory in self._peers.items():
            board.network.attach(address, port, factory)
        for at_ms, for_ms, pad in self._keys:
            board.clock.at(round(at_ms * MS), lambda pad=pad: board.press(pad))
            board.clock.at(round((at_ms + for_ms) * MS), lambda pad=pad: board.press(pad, down=False))
        for pad, seen in self._pads:
            board.pads.on_level(pad, lambda level, seen=seen: seen(board.clock.now / MS, level))
        return board


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n")


class _HttpPeer(Script):
    """Collects a request and says what the handler answers."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._data = b""
        self._answered = False

    def received(self, data: bytes) -> None:
        self._data += data
        # Programs that write their request by hand often end its lines with LF alone (RFC 9112 2.2 lets us take that).
        end = min((found for found in map(self._data.find, (b"\r\n\r\n", b"\n\n")) if found >= 0), default=-1)
        if self._answered or (end < 0 and len(self._data) < _MOST_HEAD):
            return
        head, body = self._data[:end], self._data[end:].lstrip(b"\r").removeprefix(b"\n").lstrip(b"\r")[1:]
        first, *lines = head.decode("latin-1").replace("\r\n", "\n").split("\n")
        words = first.split(" ")
        pairs = [line.partition(":") for line in lines]
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(fields.get("content-length", "0") or 0)
        if len(body) < length:
            return
        self._answered = True
        if len(words) != 3:
            self._say(400, {}, b"this is no HTTP request")
            return
        answer = self._handler(Request(words[0], words[1], fields, body[:length]))
        if isinstance(answer, str):
            answer = answer.encode()
        if answer is None:
            self.finish()
        elif isinstance(answer, bytes):
            self._say(200, {}, answer)
        else:
            self._say(*answer)

    def _say(self, status: int, fields: Mapping[str, str], content: bytes) -> None:
        told = {"Content-Length": str(len(content)), "Connection": "close", **fields}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self.send(f"HTTP/1.1 {status} {'OK' if status < 300 else 'Other'}\r\n{lines}\r\n".encode() + content)
        self.finish()


class _Listener(Script):
    def __init__(self, received: Received) -> None:
        self._data = bytearray()
        received.connections.append(self._data)

    def received(self, data: bytes) -> None:
        self._data += data

    def finished(self) -> None:
        self.finish()
