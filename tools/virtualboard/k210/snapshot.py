"""The whole board in a file: a zip archive with `machine.json` and raw memories, written whole or not at all.

In it are cores, memory, flash, device registers, panel, camera registers and the clock. Not in it are what lies outside
of the board and would not wait: the modem comes back as after a power cycle, with what its own flash holds (networks,
keys), its links closed and nothing joined. The card's contents stay in their folder; a card whose tables are no longer
as the firmware knows them comes back as if just put in. Timers and watchdogs begin their periods anew.

Nothing of a file is executed or unpickled: numbers, texts, and lists of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
import zlib
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtualboard.clock import SECOND
from virtualboard.k210.bus import log
from virtualboard.k210.patcher import CsrWrite
from virtualboard.k210.soc import RAM_SIZE
from virtualboard.kept import Kept

if TYPE_CHECKING:
    from virtualboard.esp8285 import Modem
    from virtualboard.k210.engine import K210Engine

FORMAT = 1
_MACHINE = "machine.json"
_LARGEST_JSON = 4 << 20
_LARGEST_FILE = 64 << 20
"""Bytes of an archive: three memories of 24 MiB that do not shrink at all, and room. The list of a zip's entries is
read whole before anything in it can be judged."""
_PATIENCE_NS = 2 * SECOND


class SnapshotError(ValueError):
    """The file cannot be made or used; the text says why, in one line."""


def save(engine: K210Engine, path: Path, identity: dict[str, str]) -> None:
    """Write the board's state to `path` once no transfer is under way. `identity` is compared by `load`.

    Raises SnapshotError when the board does not come to rest within two seconds of its time, OSError from the file.
    """
    board, soc = engine.board, engine.soc
    if engine.rom.serving:
        raise SnapshotError("the boot ROM waits for an image")
    pace, engine.clock.pace = engine.clock.pace, False
    try:
        if not engine.run(lambda: at_rest(engine), _PATIENCE_NS):
            raise SnapshotError("the board is in the midst of a transfer")
    finally:
        engine.clock.pace = pace
    state = engine.snapshot()
    machine = {
        "format": FORMAT,
        "identity": identity,
        "time": {"now": engine.clock.now, "cycles": soc.cycles, "base": soc.timebase.save()},
        "cores": state["cores"],
        "sites": [[site.funct3, site.source] for site in state["sites"]],
        "devices": {device.name: _packed(kept) for device, kept in zip(soc.devices, state["devices"], strict=True)},
        "panel": _packed_state(board.panel),
        "flash": _packed_state(board.flash),
        "camera": _packed_state(board.camera),
        "modem": _packed_state(board.modem),
        "card": board.card.spi.state(),
    }
    memories = {"ram": state["ram"], "flash": state["flash"], "panel": board.panel.memory}
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.writestr(_MACHINE, json.dumps(machine))
                for name, data in memories.items():
                    archive.writestr(name, data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def load(engine: K210Engine, path: Path, identity: dict[str, str]) -> dict[str, str]:
    """Make the fresh board of `engine` what it was; the clock goes on from there. Returns the whole identity.

    Raises SnapshotError when `path` is none of ours, is damaged, or its identity has another value for a key of
    `identity`; the board is as it was then. OSError when the file cannot be read.
    """
    board, soc = engine.board, engine.soc
    sizes = {"ram": RAM_SIZE, "flash": board.flash.size, "panel": len(board.panel.memory)}
    machine, memories = _read(path, sizes, identity)
    try:
        state = {
            "cores": machine["cores"],
            "sites": [CsrWrite(int(funct3), int(source)) for funct3, source in machine["sites"]],
            "ram": memories["ram"],
            "flash": memories["flash"],
            "devices": [_unpacked(machine["devices"][device.name]) for device in soc.devices],
        }
        time = machine["time"]
        _go_on_at(engine, int(time["now"]), int(time["cycles"]), time["base"])
        engine.restore(state)
        # Restoring the chip moves the parts' pins, so the parts come last.
        for part, kept in ((board.panel, "panel"), (board.flash, "flash"), (board.camera, "camera")):
            part.restore({name: _unpacked(value) for name, value in machine[kept].items()})
        if "modem" in machine:  # older snapshots have none
            board.modem.restore({name: _unpacked(value) for name, value in machine["modem"].items()})
        board.panel.memory = memories["panel"]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise SnapshotError(f"its contents are not as expected ({error!r})") from None
    if not board.card.spi.restore(machine["card"]):
        log.warning("the card's folder is not as it was: to the firmware the card was taken out and put in")
    return dict(machine["identity"])


def at_rest(engine: K210Engine) -> bool:
    """True when nothing is under way between the chip and its parts."""
    board, soc = engine.board, engine.soc
    if soc.reset_wanted is not None or any(device.busy for device in soc.devices):
        return False
    lanes = (board.console_rx, board.console_tx, board.to_modem)
    if any(lane.unsent() for lane in lanes) or board.console_rx.waiting():
        return False
    if board.card.present and not board.card.spi.idle:
        return False  # without a card, firmware leaves the line low for good
    return board.flash.idle


def _go_on_at(engine: K210Engine, now: int, cycles: int, base: list[int]) -> None:
    """Let the parts start up until the snapshot's time, the chip still off."""
    clock, soc = engine.clock, engine.soc
    pace, clock.pace = clock.pace, False
    clock.advance_to(max(now, clock.now))
    clock.pace = pace
    soc.cycles = cycles
    soc.timebase.load(base)


def _read(path: Path, sizes: dict[str, int], identity: dict[str, str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    if path.stat().st_size > _LARGEST_FILE:
        raise SnapshotError("it is far larger than any snapshot")
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.flag_bits & 1 for entry in archive.infolist()):
                raise SnapshotError("it is encrypted, as no snapshot is")
            if archive.getinfo(_MACHINE).file_size > _LARGEST_JSON:
                raise SnapshotError("its description is too large")
            machine = json.loads(archive.read(_MACHINE))
            if not isinstance(machine, dict) or machine.get("format") != FORMAT:
                raise SnapshotError("it has another format than this version's")
            for key, value in identity.items():
                if machine["identity"].get(key) != value:
                    raise SnapshotError(f"it was made with another {key}: {machine['identity'].get(key)}, not {value}")
            for name, size in sizes.items():
                if archive.getinfo(name).file_size != size:
                    raise SnapshotError(f"its {name} has another size")
            return machine, {name: archive.read(name) for name in sizes}
    except SnapshotError:
        raise
    except (
        zipfile.BadZipFile, zlib.error, KeyError, AttributeError, EOFError, NotImplementedError, ValueError,
        RecursionError,  # JSON nested a thousand deep
    ):  # fmt: skip
        raise SnapshotError("it is damaged, or no snapshot") from None


def _packed_state(part: Kept | Modem) -> dict[str, Any]:
    return {name: _packed(value) for name, value in part.state().items()}


def _packed(value: Any) -> Any:
    """`value` as JSON: plain numbers, texts and lists as they are, others as {"kind": contents}."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return {type(value).__name__: bytes(value).hex()}
    if isinstance(value, dict):
        return {"dict": [[_packed(key), _packed(each)] for key, each in value.items()]}
    if isinstance(value, list):
        return [_packed(each) for each in value]
    if isinstance(value, (tuple, deque)):
        return {type(value).__name__: [_packed(each) for each in value]}
    raise TypeError(f"a snapshot cannot hold {type(value).__name__}")


def _unpacked(value: Any) -> Any:
    """Inverse of `_packed`."""
    if isinstance(value, list):
        return [_unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    ((kind, contents),) = value.items()
    if kind == "dict":
        return {_unpacked(key): _unpacked(each) for key, each in contents}
    if kind in ("bytes", "bytearray"):
        return bytes.fromhex(contents) if kind == "bytes" else bytearray.fromhex(contents)
    return {"tuple": tuple, "deque": deque}[kind](_unpacked(each) for each in contents)
