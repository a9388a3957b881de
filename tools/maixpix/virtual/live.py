"""A virtual board that runs until it is stopped: which engine, with what in its flash, its slot and its air."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from maixpix.board import once
from maixpix.errors import UserError
from maixpix.flash.images import identify
from maixpix.paths import board_files, require_folder
from maixpix.virtual.engines import engine_options, told_to_users
from maixpix.virtual.mailbox import Mailbox
from maixpix.virtual.pictures import require_pictures
from maixpix.virtual.reach import LOOPBACK
from virtualboard.board import Board, BoardConfig, WifiNetwork
from virtualboard.clock import GRACE_NS, MS, Clock
from virtualboard.engine import HOSTED, K210
from virtualboard.running import RunningBoard


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
    ap_web: int | None = None
    """Port of loopback whose connections come from a station of the modem's own network; 0 takes any."""
    sta_web: int | None = None
    """Port of loopback where the module's own server appears; 0 takes any, None the module's number."""
    rtt_ms: float = 4.0
    """Round trip to every peer, milliseconds of the board's time."""
    grace_ms: float = GRACE_NS / MS
    """Real milliseconds within which a peer answers at once in the board's time; see `virtualboard.clock`."""

    def config(self) -> BoardConfig:
        """The board that these options describe."""
        return BoardConfig(
            model=self.model,
            at=self.at,
            card=str(self.card) if self.card else None,
            flash_dir=str(self.flash) if self.flash and self.engine == HOSTED else None,
            camera=str(self.camera) if self.camera else None,
            panel_width=self.panel[0] if self.panel else None,
            panel_height=self.panel[1] if self.panel else None,
            wifi=[WifiNetwork(name, key) for name, key in self.wifi],
            names=self.names,
            reach=[LOOPBACK, *self.reach],
            dns=bool(self.reach),
            ap_web=self.ap_web,
            web_port=self.sta_web,
            rtt_ms=self.rtt_ms,
            grace_ms=self.grace_ms,
            faults=self.faults,
            seed=self.seed,
        )


class LiveBoard:
    """One board and the engine that plays its chip. `close` switches it off and writes everything back.

    Its parts belong to the thread that calls `run` or `execute`; other threads ask through `mailbox`. `console` is
    the host's end of its serial port. Raises UserError for options that cannot be had.
    """

    def __init__(self, options: LiveOptions) -> None:
        if options.card is not None:
            require_folder(options.card, "name an existing folder to be the SD card")
        if options.camera is not None:
            require_pictures(options.camera)
        self.options = options
        config = options.config()
        try:
            self.board = Board(config, Clock(round(config.grace_ms * MS), pace=options.paced))
        except OSError as error:
            why = error.strerror or str(error)
            raise UserError(f"port {options.ap_web} cannot be had: {why}", "name another --ap-web port") from None
        self.mailbox = Mailbox(self.board.clock)
        self._closed = False
        self._flash_file = options.flash if options.engine == K210 else None
        self._snapshot: Path | None = None
        try:
            with told_to_users():
                self.running = RunningBoard(self.board, engine_options(self.board, options))
                if options.snapshot is not None and options.snapshot.exists():
                    self.running.engine.resume(options.snapshot)
        except BaseException:
            self._flash_file = None  # nothing has run that would be worth keeping
            self.close()
            raise
        self.console = self.running.console
        self.faults = self.running.faults
        self.hold = self.running.engine.hold
        self.reset = self.running.reset

    def fence_in(self, writes: Iterable[Path]) -> str:
        """See `RunningBoard.fence_in`. This installation's device code stays readable: byte code is looked up in it."""
        reads = [board_files() / name for name in ("firmware", "apps", "assets")]
        return self.running.fence_in([*reads, *filter(None, [once.folder()])], writes)

    def run(self) -> None:
        """Play until `stop`."""
        with self._kept(), told_to_users():
            self.running.run()

    def execute(self, code: bytes, on_output: Callable[[bytes], None], timeout_s: float = 600.0) -> str:
        """Type `code` at the REPL; returns its traceback ("" when it ended well), and ends the run.

        `timeout_s` is in the board's time. Raises UserError when no prompt appears or the program does not end in it,
        KeyboardInterrupt when `stop` came before.
        """
        with self._kept(), told_to_users(self._why_silent()):
            return self.running.execute(code, on_output, timeout_s)

    def stop(self) -> None:
        """End `run`; from any thread or signal handler."""
        self.running.stopped.set()
        self.mailbox.post(self.running.end)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """An engine that fails leaves nothing worth keeping; any other end of a run is what the snapshot is of."""
        self._snapshot = None
        try:
            yield
        except KeyboardInterrupt:
            self._snapshot = self.options.snapshot
            raise
        self._snapshot = self.options.snapshot

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
                with told_to_users():
                    self.running.engine.save(self._snapshot)
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
