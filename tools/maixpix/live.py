"""A virtual board that runs until it is stopped: which engine, with what in its flash, its slot and its air."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from maixpix.errors import UserError
from virtualboard.board import Board, BoardConfig, WifiNetwork
from virtualboard.clock import SECOND, Clock
from virtualboard.faults import Faults
from virtualboard.typist import Typist


@dataclass
class LiveOptions:
    """What `maixpix board` can be told. `engine` is "hosted" or "k210"."""

    engine: str = "hosted"
    firmware: Path | None = None
    flash: Path | None = None
    """File that keeps the 16 MiB flash between runs (k210), or the folder that is /flash (hosted)."""
    card: Path | None = None
    camera: Path | None = None
    at: str = "1.1"
    panel: tuple[int, int] | None = None
    wifi: list[tuple[str, str]] = field(default_factory=lambda: [("home", "correct horse")])
    names: dict[str, str] = field(default_factory=lambda: {"pc": "127.0.0.1"})
    faults: list[dict[str, Any]] = field(default_factory=list)
    seed: int = 0
    paced: bool = True
    isp: bool = False
    cpu_factor: float = 1.0


class Player(Protocol):
    """What both engines have in common for `LiveBoard`."""

    def run(self, stop: Callable[[], bool]) -> None:
        """Run until `stop()` is true."""


class LiveBoard:
    """One board and the engine that plays its chip. `close` switches it off and writes everything back."""

    def __init__(self, options: LiveOptions) -> None:
        if options.card is not None and not options.card.is_dir():
            raise UserError(f"there is no folder {options.card}", "name an existing folder to be the SD card")
        config = BoardConfig(
            at=options.at,
            card=str(options.card) if options.card else None,
            flash_dir=str(options.flash) if options.flash and options.engine == "hosted" else None,
            camera=str(options.camera) if options.camera else None,
            panel_width=options.panel[0] if options.panel else None,
            panel_height=options.panel[1] if options.panel else None,
            wifi=[WifiNetwork(name, key) for name, key in options.wifi],
            names=options.names,
            faults=options.faults,
            seed=options.seed,
        )
        self.board = Board(config, Clock(pace=options.paced))
        self.faults = Faults(self.board, options.faults, options.seed)
        self._flash_file = options.flash if options.engine == "k210" else None
        self.player: Player = _k210(self.board, options) if options.engine == "k210" else _hosted(self.board, options)

    def run(self, stop: Callable[[], bool]) -> None:
        """Run until `stop()` is true."""
        self.player.run(stop)

    def execute(self, code: bytes, on_output: Callable[[bytes], None], timeout_s: float = 600.0) -> str:
        """Type `code` at the REPL; returns its traceback ("" when it ended well). UserError when it never ends."""
        clock = self.board.clock
        ended = threading.Event()
        typist = Typist(self.board, code, on_output, ended.set)
        deadline = clock.now + round(timeout_s * 1e9)
        self.run(lambda: ended.is_set() or clock.now > deadline)
        if typist.error is None:
            raise UserError(
                f"the program did not end within {timeout_s:.0f} s of the board's time",
                "raise --timeout, or look for a loop",
            )
        return typist.error

    def close(self) -> None:
        """Switch off: links closed, card and flash written back."""
        self.board.power_off()
        if self._flash_file is not None:
            self.board.flash.save(self._flash_file)


class _Hosted:
    def __init__(self, board: Board) -> None:
        from virtualboard.hosted.engine import Engine

        self._clock = board.clock
        self._engine = Engine(board, repl=True)

    def run(self, stop: Callable[[], bool]) -> None:
        from virtualboard.clock import MS

        def look() -> None:
            if stop():
                self._engine.power_off()
            else:
                self._clock.after(5 * MS, look)

        self._clock.after(5 * MS, look)
        self._engine.run()


def _hosted(board: Board, options: LiveOptions) -> Player:
    if options.firmware is not None:
        raise UserError("the hosted engine runs no firmware file", "add --engine k210")
    if options.isp:
        raise UserError("the hosted engine has no boot ROM to flash through", "add --engine k210")
    return _Hosted(board)


class _Chip:
    def __init__(self, board: Board, options: LiveOptions) -> None:
        from virtualboard.k210.engine import K210Engine

        self.engine = K210Engine(board, cpu_factor=options.cpu_factor)
        self._clock = board.clock
        self._isp = options.isp
        self._booted = False

    def run(self, stop: Callable[[], bool]) -> None:
        if not self._booted:
            self._booted = True
            self.engine.boot(self._isp)
        if self._clock.pace:
            self.engine.serve(stop)  # sleeps while the firmware idles
        else:
            while not self.engine.run(stop, SECOND):
                pass


def _k210(board: Board, options: LiveOptions) -> Player:
    try:
        import virtualboard.k210.engine  # noqa: F401
    except ImportError:
        raise UserError("the emulated chip needs Unicorn", "run: pip install 'maixpix[k210]'") from None
    load_flash(board, options)
    return _Chip(board, options)


def load_flash(board: Board, options: LiveOptions) -> None:
    """Fill the board's flash: what `--flash` kept, then the firmware over its beginning."""
    from maixpix import images
    from virtualboard.k210.bootrom import add_header

    if options.flash is not None and options.flash.exists():
        try:
            board.flash.load(options.flash)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot use {options.flash} as flash: {error}", "name a file written by --flash") from None
    if options.firmware is not None:
        image = images.identify(options.firmware)
        images.require_firmware(image)
        data = options.firmware.read_bytes()
        data = data if image.headed else add_header(data)
        board.flash.data[: len(data)] = data
    elif not options.isp and (options.flash is None or not options.flash.exists()):
        raise UserError(
            "the emulated chip has nothing to run", "name a MaixPy image with --firmware, or flash one: --isp"
        )


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """A function that tells whether Ctrl-C or SIGTERM has come; the second Ctrl-C interrupts as usual."""
    asked = threading.Event()

    def handler(number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, old in before.items():
            signal.signal(number, old)
