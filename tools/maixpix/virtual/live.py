"""A virtual board that runs until it is stopped: which engine, with what in its flash, its slot and its air."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from maixpix.errors import UserError
from maixpix.flash.images import identify
from maixpix.virtual.mailbox import Mailbox
from maixpix.virtual.players import Player, make_player
from maixpix.virtual.reach import LOOPBACK
from virtualboard.board import Board, BoardConfig, WifiNetwork
from virtualboard.clock import SECOND, Clock
from virtualboard.faults import Faults
from virtualboard.host.console import ConsoleLine
from virtualboard.host.typist import Typist

_PROMPT_S = 60  # of the board's time at full speed; builds that format their flash need three of them


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
    snapshot: Path | None = None
    """File that the machine's state is taken from when it exists, and kept in when the board is stopped (k210)."""
    model: str = "dock"
    reach: list[str] = field(default_factory=list)
    """Address ranges beyond loopback that links may reach; with any, the system's resolver is asked for names."""


class LiveBoard:
    """One board and the engine that plays its chip. `close` switches it off and writes everything back.

    Its parts belong to the thread that calls `run` or `execute`; other threads ask through `mailbox`. `console` is
    the host's end of its serial port. Raises UserError for options that cannot be had.
    """

    def __init__(self, options: LiveOptions) -> None:
        if options.card is not None and not options.card.is_dir():
            raise UserError(f"there is no folder {options.card}", "name an existing folder to be the SD card")
        if options.camera is not None and not options.camera.exists():
            raise UserError(f"there is no picture {options.camera}", "name a picture file or a folder of pictures")
        self.options = options
        config = BoardConfig(
            model=options.model,
            at=options.at,
            card=str(options.card) if options.card else None,
            flash_dir=str(options.flash) if options.flash and options.engine == "hosted" else None,
            camera=str(options.camera) if options.camera else None,
            panel_width=options.panel[0] if options.panel else None,
            panel_height=options.panel[1] if options.panel else None,
            wifi=[WifiNetwork(name, key) for name, key in options.wifi],
            names=options.names,
            reach=[LOOPBACK, *options.reach],
            faults=options.faults,
            seed=options.seed,
        )
        self.board = Board(config, Clock(pace=options.paced))
        self.board.network.dns = bool(options.reach)
        self.console = ConsoleLine(self.board)
        self.mailbox = Mailbox(self.board.clock)
        self._stopped = threading.Event()
        self._closed = False
        self._flash_file = options.flash if options.engine == "k210" else None
        self._snapshot: Path | None = None
        try:
            self.faults = Faults(self.board, options.faults, options.seed)
            self.player: Player = make_player(self.board, options)
        except BaseException:
            self._flash_file = None  # nothing has run that would be worth keeping
            self.close()
            raise

    def run(self) -> None:
        """Play until `stop`."""
        self._snapshot = None  # an engine that fails leaves nothing worth keeping
        self.player.run(self._stopped.is_set)
        self._snapshot = self.options.snapshot

    def stop(self) -> None:
        """End `run`; from any thread or signal handler."""
        self._stopped.set()
        self.mailbox.post(self.player.halt)

    def _end(self) -> None:
        # In the engine's thread: at once, so that no more virtual time passes than in any other run.
        self._stopped.set()
        self.player.halt()

    def reset(self) -> None:
        """Press the board's reset key shortly. Only in the engine's thread."""
        self.player.hold(True)
        self.player.hold(False)

    def execute(self, code: bytes, on_output: Callable[[bytes], None], timeout_s: float = 600.0) -> str:
        """Type `code` at the REPL; returns its traceback ("" when it ended well), and ends the run.

        `timeout_s` is in the board's time. Raises UserError when no prompt appears or the program does not end in it,
        KeyboardInterrupt when `stop` came before.
        """
        clock = self.board.clock
        typist = Typist(self.console, code, on_output, self._end, at_prompt=self.player.resumed)
        late = clock.after(round(timeout_s * SECOND), self._end)
        patience_s = min(timeout_s, _PROMPT_S / min(1.0, self.options.cpu_factor))
        silent = clock.after(round(patience_s * SECOND), lambda: None if typist.prompted else self._end())
        self.run()
        if typist.error is not None:
            late.cancel()
            silent.cancel()
            return typist.error
        if not silent.active and not typist.prompted:
            raise UserError(f"no prompt appeared within {patience_s:g} s of the board's time", self._why_silent())
        if late.active:
            raise KeyboardInterrupt
        raise UserError(
            f"the program did not end within {timeout_s:g} s of the board's time", "raise --timeout, or look for a loop"
        )

    def _why_silent(self) -> str:
        image = identify(self.options.firmware) if self.options.firmware is not None else None
        if image is not None and image.kind == "k210":
            return f"{image.path.name} is no MaixPy build: watch it without --exec and --run"
        return "see what it prints: run it without --exec and --run"

    def close(self) -> None:
        """Switch off: links closed, card and flash written back, doors closed. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self.mailbox.close()
        try:
            if self._snapshot is not None:
                self.player.save(self._snapshot)
        finally:
            self._write_back()

    def _write_back(self) -> None:
        self.board.power_off()
        if self._flash_file is not None:
            try:
                self.board.flash.save(self._flash_file)
            except OSError as error:
                raise UserError(
                    f"the flash was not saved to {self._flash_file}: {error.strerror}", "choose another --flash"
                ) from None


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at Ctrl-C or SIGTERM; the second one interrupts as usual."""
    asked = False

    def handler(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
