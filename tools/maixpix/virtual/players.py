"""The two engines behind one face, for a board that runs until it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from maixpix.errors import UserError
from virtualboard.clock import SECOND

if TYPE_CHECKING:
    from maixpix.virtual.live import LiveOptions
    from virtualboard.board import Board


class Player(Protocol):
    """What both engines have in common. All of it belongs to the thread that calls `run`."""

    resumed: bool
    """True when the board goes on from a snapshot instead of starting."""

    def run(self, stop: Callable[[], bool]) -> None:
        """Play until `stop()` is true; it is looked at whenever `halt` was called, or more often."""

    def halt(self) -> None:
        """`stop()` has become true: look at it soon."""

    def hold(self, on: bool) -> None:
        """The reset pin: true stops the chip, false lets it start anew."""

    def save(self, path: Path) -> None:
        """Keep the machine's state in a file. Raises UserError when that cannot be."""


def make_player(board: Board, options: LiveOptions) -> Player:
    """The engine that `options` names. Raises UserError for options that it cannot do."""
    return _k210(board, options) if options.engine == "k210" else _hosted(board, options)


class _Hosted:
    resumed = False

    def __init__(self, board: Board) -> None:
        from virtualboard.hosted.engine import Engine

        self._engine = Engine(board, repl=True)

    def run(self, stop: Callable[[], bool]) -> None:
        if not stop():
            self._engine.run()

    def halt(self) -> None:
        self._engine.power_off()

    def hold(self, on: bool) -> None:
        if not on:
            self._engine.chip.reset()

    def save(self, path: Path) -> None:
        raise _no_snapshots()


def _no_snapshots() -> UserError:
    return UserError(
        "the hosted engine has no snapshots: its programs are Python objects of this process", "add --engine k210"
    )


def _hosted(board: Board, options: LiveOptions) -> Player:
    if options.firmware is not None:
        raise UserError("the hosted engine runs no firmware file", "add --engine k210")
    if options.snapshot is not None:
        raise _no_snapshots()
    if options.isp:
        raise UserError("the hosted engine has no boot ROM to flash through", "add --engine k210")
    if options.flash is not None and options.flash.is_file():
        raise UserError(f"{options.flash} is a file, the hosted engine keeps its flash in a folder", "name a folder")
    if options.flash is not None:
        try:
            options.flash.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {options.flash}: {error.strerror}", "name another one") from None
    return _Hosted(board)


class _Chip:
    def __init__(self, board: Board, options: LiveOptions) -> None:
        from virtualboard.k210.engine import K210Engine

        self.engine = K210Engine(board, cpu_factor=options.cpu_factor)
        self._clock = board.clock
        self._isp = options.isp
        self._started = self.resumed = False
        panel = board.panel
        self._identity = {
            "version of maixpix": _version(),
            "board": f"{options.model} of {panel.width}x{panel.height}",
        }
        if options.firmware is not None:
            self._identity["firmware"] = sha256(board.flash.data).hexdigest()[:16]

    def run(self, stop: Callable[[], bool]) -> None:
        if not self._started:
            self._started = True
            self.engine.boot(self._isp)
        try:
            if self._clock.pace:
                self.engine.serve(stop)  # sleeps while the firmware idles
            else:
                while not self.engine.run(stop, SECOND):
                    pass
        except RuntimeError as error:
            raise UserError(f"the emulated chip stopped: {error}", "is this image for the K210?") from error

    def halt(self) -> None:
        """`run` looks after every slice."""

    def hold(self, on: bool) -> None:
        from virtualboard.k210.sysctl import RESET_PIN

        if on:
            self.engine.rom.serving = False
            self.engine.soc.reset(RESET_PIN)
        else:
            self.engine.soc.request_reset(RESET_PIN)

    def resume(self, path: Path) -> None:
        """Go on from the snapshot `path`."""
        from virtualboard.k210 import snapshot

        try:
            self._identity = snapshot.load(self.engine, path, self._identity)
        except (snapshot.SnapshotError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UserError(f"cannot use the snapshot {path}: {reason}", "delete it, or name another file") from None
        self._started = self.resumed = True

    def save(self, path: Path) -> None:
        from virtualboard.k210 import snapshot

        try:
            snapshot.save(self.engine, path, self._identity)
        except (snapshot.SnapshotError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UserError(f"no snapshot in {path}: {reason}", "stop it at its prompt") from None


def _version() -> str:
    try:
        return metadata.version("maixpix")
    except metadata.PackageNotFoundError:  # run from its folder without being installed
        return "unknown"


def _k210(board: Board, options: LiveOptions) -> Player:
    try:
        import virtualboard.k210.engine
    except ImportError:
        raise UserError("the emulated chip needs Unicorn", "run: pip install 'maixpix[k210]'") from None
    snapshot = options.snapshot
    if snapshot is not None and (options.flash is not None or options.isp):
        raise UserError("--snapshot keeps the flash, too, and needs no --flash or --isp", "leave one of them out")
    resume = snapshot is not None and snapshot.exists()
    if not resume or options.firmware is not None:
        load_flash(board, options)
    try:
        chip = _Chip(board, options)
        if snapshot is not None and resume:
            chip.resume(snapshot)
        return chip
    except virtualboard.k210.selfcheck.UnicornUnsuitable as error:
        raise UserError(str(error)) from None
    except ValueError as error:
        raise UserError(str(error), "see --help") from None


def load_flash(board: Board, options: LiveOptions) -> None:
    """Fill the board's flash: what `--flash` kept, then the firmware over its beginning."""
    from maixpix.flash import images, kfpkg
    from virtualboard.k210.bootrom import add_header

    if options.flash is not None and options.flash.exists():
        try:
            board.flash.load(options.flash)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot use {options.flash} as flash: {error}", "name a file written by --flash") from None
    if options.firmware is not None:
        image = images.identify(options.firmware)
        parts = image.parts
        if image.kind != "kfpkg":
            images.require_firmware(image)
            parts = (kfpkg.Part(0, image.path.name, options.firmware.read_bytes(), program=not image.headed),)
        for part in parts:
            data = add_header(part.data) if part.program else part.data
            board.flash.data[part.address : part.address + len(data)] = data
    elif not options.isp and (options.flash is None or not options.flash.exists()):
        raise UserError(
            "the emulated chip has nothing to run", "name a MaixPy image with --firmware, or flash one: --isp"
        )
