"""The two engines behind one face: who plays the chip of a board, how it is told to stop, and what it reports.

`hosted` is CPython playing MaixPy, `k210` the emulated chip running a real image. They know the board's parts and
nothing of each other; whoever runs a board knows this face. Unicorn is asked for only where the chip is wanted.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from virtualboard.cache import PICTURES, cache_folder
from virtualboard.clock import MS, SECOND
from virtualboard.program import Program

if TYPE_CHECKING:
    from virtualboard.board import Board
    from virtualboard.nor_flash import NorFlash

HOSTED, K210 = "hosted", "k210"


class EngineError(Exception):
    """The engine cannot be had, or cannot go on. `cause` and `remedy` are short sentences for the user."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(f"{cause}; {remedy}" if remedy else cause)
        self.cause = cause
        self.remedy = remedy


@dataclass
class EngineOptions:
    """Which engine, and how it plays; plain data but for the paths. An engine ignores what is the other's."""

    kind: str = HOSTED
    card_delay_ms: int = 120
    """Hosted: from the interpreter's start to the card's appearance, milliseconds (`hosted.costs.CARD_DELAY_MS`)."""
    cpu: float = 1.0
    """Speed of the processor: of Python's steps (hosted), instructions a cycle (k210)."""
    heap_size: int | None = None
    """Hosted: GC heap in bytes that `gc_heap_size` has been set to before. The chip keeps it in its flash."""
    mpy_sources: list[str] = field(default_factory=list)
    """Hosted: folders in which the sources of byte code are found by their digest."""
    decode_mpy: Callable[[bytes], str | None] | None = None
    """Hosted: finds the source of byte code in another way (`hosted.loader.Decode`); only in this process."""
    argv: list[str] = field(default_factory=list)
    """Hosted: what `sys.argv` holds."""
    repl: bool = True
    """Hosted: stay at the prompt when `main.py` has ended. The chip always does."""
    flash: str | None = None
    """k210: file with the contents of the flash; it gets them back when the board is switched off."""
    isp: bool = False
    """k210: start with the BOOT key held, so that the boot ROM waits for an image."""
    identity: dict[str, str] = field(default_factory=dict)
    """k210: what a snapshot must agree in with this board, name -> value."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON. Raises ValueError with `decode_mpy`, which is no data."""
        if self.decode_mpy is not None:
            raise ValueError("a function cannot be handed to a board in another process: use mpy_sources")
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EngineOptions:
        """Inverse of `to_dict`; unknown keys are a ValueError that names them."""
        unknown = sorted(set(data) - {each.name for each in fields(cls)})
        if unknown:
            raise ValueError(f"unknown engine options: {', '.join(unknown)}")
        return cls(**data)


class Player(Protocol):
    """What both engines have in common. All of it belongs to the thread that calls `run`."""

    kind: str
    machine: Any
    """The engine itself: `hosted.engine.Engine` or `k210.engine.K210Engine`."""
    resumed: bool
    """True when the board goes on from a snapshot instead of starting."""
    ended: str
    """Why `run` has returned: "finished" (a program's end), "switched off", "power cut", "reset", "crash"."""
    error: str
    """Last line of the traceback that ended the program, "" without one."""
    exit_code: int | None
    """Of the program that `start_with` was given: 0, 1 after an uncaught exception, 3 when something else ended it."""
    takes_programs: bool
    """True when `start_with` works; otherwise programs are typed at the prompt."""

    def start_with(self, program: Program) -> None:
        """Run `program` after power-up, and end with it. Before `run`."""

    def run(self, stop: Callable[[], bool]) -> None:
        """Play until `stop()` is true; it is looked at whenever `halt` was called, or more often."""

    def halt(self, why: str = "switched off") -> None:
        """End `run` soon, for the reason `why`."""

    def hold(self, on: bool) -> None:
        """The reset pin: true stops the chip, false lets it start anew."""

    def resume(self, path: Path) -> None:
        """Go on from the snapshot `path`. Raises EngineError when that cannot be."""

    def save(self, path: Path) -> None:
        """Keep the machine's state in a file. Raises EngineError when that cannot be."""

    def figures(self) -> dict[str, Any]:
        """What this engine alone can tell of a run, for `report`."""


def make_engine(board: Board, options: EngineOptions) -> Player:
    """The engine that `options` names, with `board` just switched on. Raises EngineError where it cannot be had."""
    if options.kind == HOSTED:
        return _Hosted(board, options)
    if options.kind == K210:
        return _Chip(board, options)
    raise EngineError(f"there is no engine {options.kind!r}", f"use {HOSTED} or {K210}")


def put_part(flash: NorFlash, address: int, data: bytes, program: bool) -> None:
    """Put one part of a firmware into `flash`; a `program` gets the boot ROM's header and digest.

    Raises EngineError when it does not fit.
    """
    _require_unicorn()
    from virtualboard.k210.bootrom import add_header

    data = add_header(data) if program else data
    if address + len(data) > flash.size:
        raise EngineError(f"{len(data)} bytes at {address:#x} do not fit the flash of {flash.size} bytes")
    flash.data[address : address + len(data)] = data


def load_flash(flash: NorFlash, path: Path) -> None:
    """Fill `flash` from a file that an earlier run has kept. Raises EngineError when it is none."""
    try:
        flash.load(path)
    except (OSError, ValueError) as error:
        raise EngineError(f"cannot use {path} as flash: {error}", "name a file written by --flash") from None


def report(board: Board, engine: Player, faults: list[tuple[int, str]]) -> dict[str, Any]:
    """Figures of a run as plain data, the same for both engines; `uarts` and `heap` only from the hosted one."""
    lanes = (board.to_chip, board.to_modem, board.console_rx, board.console_tx)
    return {
        "engine": engine.kind,
        "virtual_ns": board.clock.now,
        "waited_real_ns": board.clock.waited_ns,
        "hidden_real_ns": board.clock.longest_hidden_ns,
        "grace_ms": board.clock.grace_ns / MS,
        "rtt_ms": board.network.rtt_ns / MS,
        "ended": engine.ended,
        "error": engine.error,
        **engine.figures(),
        "lanes": {lane.name: {"bytes": lane.sent, "busy_ns": lane.busy_ns} for lane in lanes},
        "card": {"written": board.card.bytes_written, "read": board.card.bytes_read},
        "panel": {"frames": board.panel.frames, "width": board.panel.width, "height": board.panel.height},
        "modem": json.loads(json.dumps(board.modem.stats, default=vars)),
        "faults": [[when, what] for when, what in faults],
    }


def host_folders(board: Board, engine: Player, options: EngineOptions) -> tuple[list[Path], list[Path]]:
    """What the hosted engine reads on the host, and what it changes there: folders and files that exist by now."""
    reads = [Path(folder) for folder in options.mpy_sources]
    writes: list[Path] = [engine.machine.flash.folder]
    if board.config.camera is not None:
        # A folder of links is looked at through them.
        reads += [Path(board.config.camera), *board.camera.pictures]
    if board.config.card is not None:
        writes.append(Path(board.config.card))
    writes += filter(None, (cache_folder(), cache_folder(PICTURES)))
    return reads, writes


class _Hosted:
    kind = HOSTED
    resumed = False
    takes_programs = True

    def __init__(self, board: Board, options: EngineOptions) -> None:
        from virtualboard.hosted.costs import Costs
        from virtualboard.hosted.engine import Engine
        from virtualboard.hosted.mpy import SourceIndex

        sources = [Path(folder) for folder in options.mpy_sources]
        self.machine = Engine(
            board,
            repl=options.repl,
            costs=Costs().scaled(options.cpu) if options.cpu != 1.0 else None,
            card_delay_ms=options.card_delay_ms,
            decode_mpy=SourceIndex(sources).source_of if sources else options.decode_mpy,
            argv=options.argv,
        )
        if options.heap_size is not None:
            self.machine.chip.next_heap_size = options.heap_size

    @property
    def exit_code(self) -> int | None:
        return self.machine.exit_code

    @property
    def ended(self) -> str:
        return self.machine.ended

    @property
    def error(self) -> str:
        return self.machine.error

    def start_with(self, program: Program) -> None:
        self.machine.program = program

    def run(self, stop: Callable[[], bool]) -> None:
        if not stop():
            self.machine.run()

    def halt(self, why: str = "switched off") -> None:
        self.machine.power_off(why)

    def hold(self, on: bool) -> None:
        if not on:
            self.machine.chip.reset()

    def resume(self, path: Path) -> None:
        raise EngineError(f"cannot use the snapshot {path}: {_NO_SNAPSHOTS}", "use the emulated chip")

    def save(self, path: Path) -> None:
        raise EngineError(f"no snapshot in {path}: {_NO_SNAPSHOTS}", "use the emulated chip")

    def figures(self) -> dict[str, Any]:
        return self.machine.figures()


_NO_SNAPSHOTS = "the hosted engine's programs are Python objects of this process"


class _Chip:
    kind = K210
    takes_programs = False

    def __init__(self, board: Board, options: EngineOptions) -> None:
        _require_unicorn()
        from virtualboard.k210.engine import K210Engine
        from virtualboard.k210.selfcheck import UnicornUnsuitable

        if options.flash is not None and Path(options.flash).exists():
            load_flash(board.flash, Path(options.flash))
        try:
            self.machine = K210Engine(board, cpu_factor=options.cpu)
        except UnicornUnsuitable as error:
            raise EngineError(str(error)) from None
        except ValueError as error:
            raise EngineError(str(error), "see --help") from None
        self._board = board
        self._isp = options.isp
        self._started = self.resumed = False
        self._identity = options.identity
        self._halted = False
        self.ended = "finished"
        self.error = ""
        self.exit_code: int | None = None
        board.on_power_cut = lambda: self.halt("power cut")

    def start_with(self, program: Program) -> None:
        raise EngineError(f"{program.filename} cannot be put before the chip's own start", "type it at its prompt")

    def run(self, stop: Callable[[], bool]) -> None:
        def over() -> bool:
            return self._halted or stop()

        if not self._started:
            self._started = True
            self.machine.boot(self._isp)
        try:
            if self._board.clock.pace:
                self.machine.serve(over)  # sleeps while the firmware idles
            else:
                while not self.machine.run(over, SECOND):
                    pass
        except RuntimeError as error:
            raise EngineError(f"the emulated chip stopped: {error}", "is this image for the K210?") from error

    def halt(self, why: str = "switched off") -> None:
        self._halted, self.ended = True, why

    def hold(self, on: bool) -> None:
        if on:
            self.machine.hold()
        else:
            self.machine.release()

    def resume(self, path: Path) -> None:
        from virtualboard.k210 import snapshot

        try:
            self._identity = snapshot.load(self.machine, path, self._identity)
        except (snapshot.SnapshotError, OSError) as error:
            raise EngineError(
                f"cannot use the snapshot {path}: {_reason(error)}", "delete it, or name another"
            ) from None
        self._started = self.resumed = True

    def save(self, path: Path) -> None:
        from virtualboard.k210 import snapshot

        try:
            snapshot.save(self.machine, path, self._identity)
        except (snapshot.SnapshotError, OSError) as error:
            raise EngineError(f"no snapshot in {path}: {_reason(error)}", "stop it at its prompt") from None

    def figures(self) -> dict[str, Any]:
        return {"resets": len(self.machine.resets) - 1 if self.machine.resets else 0}


def _require_unicorn() -> None:
    if importlib.util.find_spec("unicorn") is None:
        raise EngineError("the emulated chip needs Unicorn", "run: pip install 'maixpix[k210]'")


def _reason(error: Exception) -> object:
    return error.strerror if isinstance(error, OSError) else error
