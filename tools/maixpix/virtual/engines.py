"""Which engine plays a board of the command line, what is in its flash, and what is told when it cannot be."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from maixpix import ui
from maixpix.errors import UserError
from maixpix.flash import images, kfpkg
from maixpix.virtual.byte_code import SourceOfByteCode
from virtualboard.engine import K210, EngineError, EngineOptions, load_flash, put_part

if TYPE_CHECKING:
    from maixpix.virtual.live import LiveOptions
    from virtualboard.board import Board
    from virtualboard.nor_flash import NorFlash


@contextlib.contextmanager
def told_to_users(remedy: str = "") -> Iterator[None]:
    """What the virtual board's engine refuses becomes a UserError; `remedy` is for errors that have none."""
    try:
        yield
    except EngineError as error:
        raise UserError(error.cause, error.remedy or remedy) from error


def engine_options(board: Board, options: LiveOptions) -> EngineOptions:
    """The engine that `options` name, with the flash of `board` filled. Raises UserError for what it cannot do."""
    if options.engine != K210:
        _refuse_what_hosted_lacks(options)
        return EngineOptions(decode_mpy=SourceOfByteCode(ui.note))
    snapshot = options.snapshot
    if snapshot is not None and (options.flash is not None or options.isp):
        raise UserError("--snapshot keeps the flash, too, and needs no --flash or --isp", "leave one of them out")
    panel = board.panel
    identity = {"version of maixpix": _version(), "board": f"{options.model} of {panel.width}x{panel.height}"}
    if options.firmware is not None or snapshot is None or not snapshot.exists():
        fill_flash(board.flash, options.firmware, options.flash, options.isp)
    if options.firmware is not None:
        identity["firmware"] = hashlib.sha256(board.flash.data).hexdigest()[:16]
    return EngineOptions(K210, cpu=options.cpu_factor, isp=options.isp, identity=identity)


def _refuse_what_hosted_lacks(options: LiveOptions) -> None:
    remedy = "add --engine k210"
    if options.firmware is not None:
        raise UserError("the hosted engine runs no firmware file", remedy)
    if options.snapshot is not None:
        raise UserError("the hosted engine has no snapshots: its programs are Python objects of this process", remedy)
    if options.isp:
        raise UserError("the hosted engine has no boot ROM to flash through", remedy)
    if options.flash is None:
        return
    if options.flash.is_file():
        raise UserError(f"{options.flash} is a file, the hosted engine keeps its flash in a folder", "name a folder")
    try:
        options.flash.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {options.flash}: {error.strerror}", "name another one") from None


def fill_flash(flash: NorFlash, firmware: Path | None, kept: Path | None = None, blank: bool = False) -> None:
    """Fill `flash`: what the file `kept` holds, then `firmware` (an image or a kfpkg) over its beginning.

    Raises UserError for files that are none, and, unless the flash may be `blank`, when there is neither.
    """
    with told_to_users():
        if kept is not None and kept.exists():
            load_flash(flash, kept)
        if firmware is not None:
            for part in firmware_parts(firmware):
                put_part(flash, part.address, part.data, part.program)
        elif not blank and (kept is None or not kept.exists()):
            raise UserError(
                "the emulated chip has nothing to run", "name a MaixPy image with --firmware, or flash one: --isp"
            )


def firmware_parts(path: Path) -> tuple[kfpkg.Part, ...]:
    """What a firmware file puts where: an image to address 0, a package's parts to theirs.

    Raises UserError for a file that is neither, and for a package without a program at address 0 to run.
    """
    image = images.identify(path)
    if image.kind != "kfpkg":
        images.require_firmware(image)
        return (kfpkg.Part(0, path.name, path.read_bytes(), program=not image.headed),)
    first = next((part for part in image.parts if part.address == 0), None)
    if first is None:
        raise UserError(f"{path.name} puts nothing to address 0, where the chip starts", "name a package with firmware")
    images.require_firmware(images.identify_bytes(first.data, Path(first.name)))
    return image.parts


def _version() -> str:
    try:
        return metadata.version("maixpix")
    except metadata.PackageNotFoundError:  # run from its folder without being installed
        return "unknown"
