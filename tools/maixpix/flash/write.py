"""Write the K210's flash with the real kflash, watched (`kflash_watch`): it cannot hang, and its false successes are
caught. A lower rate is tried when one may help, and MaixPy's start is listened for afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import serial

from maixpix.boards import SAFE_BAUD, Board
from maixpix.errors import UserError
from maixpix.flash import kfpkg
from maixpix.flash.kflash_watch import LOADER, Failed, Limits, Progress, run
from maixpix.flash.plan import Job
from virtualboard.host.board_time import BoardTime

_ASK_EVERY_S = 3.0


def write(
    job: Job,
    port: str,
    board: Board,
    baud: int | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    limits: Limits | None = None,
) -> int:
    """Write `job` through `port`; returns the rate that worked, in baud.

    When a run fails in a way that a lower rate may cure, the next lower one is tried, down to 115200. `note` gets one
    line for each such step. Raises UserError with the last cause, and says when the flash is left half written, also
    for Ctrl-C.
    """
    last: Failed | None = None
    reached = _Reached(job, progress)
    for rate in rates(baud or board.baud):
        if last is not None:
            if note is not None:
                note(f"{last.cause}; trying again at {rate} baud")
            _await_silence(port)
        with _input_file(job) as file:
            command = [*_arguments(port, board, rate), *(["-e"] if job.erase_chip else []), str(file)]
            try:
                run(port, rate, command, job, reached, limits or Limits())
            except Failed as failed:
                last = failed
                if not failed.retry:
                    break
            except KeyboardInterrupt:
                _await_silence(port)  # of the loader, for whoever runs this again at once
                if not reached.flash:
                    raise
                raise UserError("stopped: the flash is half written", _HALF, 130) from None
            else:
                return rate
    assert last is not None
    if not reached.chip and running(port):
        raise UserError("MaixPy runs on this board and was not reset into the boot ROM", _into_rom(port, board))
    remedy = advice(last.remedy, port, board, rate)
    raise UserError(last.cause, f"{remedy}; the flash is half written: {_HALF}" if reached.flash else remedy)


_HALF = "the board does not start until it is flashed again"


class _Reached:
    """How far the runs of a job came: to the chip at all, and to its flash. Passes progress on."""

    def __init__(self, job: Job, progress: Progress | None) -> None:
        self.chip = self.flash = False
        self._erases = job.erase_chip
        self._progress = progress

    def __call__(self, name: str, done: int, total: int) -> None:
        self.chip = True
        # The chip is erased as soon as the loader runs, before the first piece is told.
        self.flash = self.flash or name != LOADER or (self._erases and done >= total)
        if self._progress is not None:
            self._progress(name, done, total)


def advice(remedy: str, port: str, board: Board, rate: int) -> str:
    """`remedy` with what fits this board, port and rate in the place of {slower}, {board} and {port}."""
    network = "://" in port
    if rate > SAFE_BAUD:
        slower = f"use a lower --baud than {rate}"
    else:
        slower = "look after the network between" if network else "use another USB port or adapter"
    named = f"is it really a {board.name} (--board)?" if board.kflash else "name the board with --board"
    where = "check the address" if network else "check --port (an adapter of two ports: the other one)"
    return remedy.format(slower=slower, board=named, port=where)


def running(port: str, limit_s: float = 3) -> bool:
    """True when MaixPy answers on `port` at its prompt, or is heard starting there."""
    return confirm(port, limit_s, ask_every_s=0.5)


def _into_rom(port: str, board: Board) -> str:
    """How a running board gets into its boot ROM by hand."""
    if "://" in port:
        return f"{advice('{board}', port, board, 0)} (a virtual board: --lines), or start it with its BOOT key held"
    if Path(port).name.isdigit():  # /dev/pts/3
        return "a pseudo-terminal has no reset line: start `maixpix board` with --isp, or flash through its --rfc2217"
    return f"{advice('{board}', port, board, 0)}, or hold BOOT while replugging, and run this again"


def _await_silence(port: str, quiet_s: float = 0.4, limit_s: float = 3) -> None:
    """Let the loader finish answering the run that was ended: a late answer would pass for the next run's greeting."""
    clock = BoardTime(port)
    deadline = clock.now() + limit_s
    try:
        with serial.serial_for_url(port, SAFE_BAUD, timeout=quiet_s) as line:
            while line.read(max(1, line.in_waiting)) and clock.now() < deadline:
                continue
    except (OSError, serial.SerialException):
        return  # the next run opens the port itself, and tells what is wrong with it


def erase(port: str, board: Board, address: int, length: int, limits: Limits | None = None) -> None:
    """Erase `length` bytes from `address` (multiples of 4096), or the whole chip when `length` is 0."""
    if address % kfpkg.SECTOR or length % kfpkg.SECTOR or address + length > kfpkg.FLASH_SIZE or address < 0:
        raise UserError("address and length must be multiples of 0x1000 within 16 MiB", "correct them")
    span = ["-A", hex(address), "-L", hex(length) if length else "all"]
    try:
        arguments = [*_arguments(port, board, SAFE_BAUD), *span, "erase"]
        run(port, SAFE_BAUD, arguments, Job([], True), None, limits or Limits())
    except Failed as failed:
        raise UserError(failed.cause, advice(failed.remedy, port, board, SAFE_BAUD)) from None
    except KeyboardInterrupt:
        raise UserError("stopped: the flash is partly erased", _HALF, 130) from None


def rates(first: int) -> list[int]:
    """`first` and the lower rates to fall back to."""
    return [first, *(rate for rate in (460800, SAFE_BAUD) if rate < first)]


def confirm(port: str, limit_s: float = 12, ask_every_s: float | None = None) -> bool:
    """True when MaixPy is heard starting on `port` within `limit_s` of the board's time, or answers at its prompt.

    Its first start formats the file system; a later one may have passed while kflash still held the port. kflash
    cannot read flash back, so this and the boot ROM's own digest are the only proof of a good transfer.
    """
    ask_every_s = ask_every_s or _ASK_EVERY_S
    clock = BoardTime(port)
    deadline = clock.now() + limit_s
    write_timeout = None if "://" in port else 1.0  # pyserial's RFC 2217 client knows none
    ask_at = clock.now() + ask_every_s
    heard = b""
    try:
        with serial.serial_for_url(port, SAFE_BAUD, timeout=0.2, write_timeout=write_timeout) as line:
            while clock.now() < deadline:
                heard = (heard + line.read(max(1, line.in_waiting)))[-4000:]
                if any(sign in heard for sign in (b"[MAIXPY]", b"MicroPython v", b"\r\n>>> ")):
                    return True
                if clock.now() > ask_at:
                    ask_at += ask_every_s
                    line.write(b"\r")
    except (OSError, serial.SerialException):
        return False
    return False


def _arguments(port: str, board: Board, rate: int) -> list[str]:
    chosen = ["-B", board.kflash] if board.kflash else []
    return ["-p", port, *chosen, "-b", str(rate), "-n"]


@contextmanager
def _input_file(job: Job) -> Iterator[Path]:
    """The job as one file kflash takes: a lone firmware as .bin, anything else as a package."""
    with tempfile.TemporaryDirectory(prefix="maixpix-") as folder:
        if len(job.parts) == 1 and job.parts[0].program and job.parts[0].address == 0:
            file = Path(folder) / "firmware.bin"
            file.write_bytes(job.parts[0].data)
        else:
            file = Path(folder) / "flash.kfpkg"
            try:
                kfpkg.write(job.parts, file)
            except kfpkg.PackageError as error:
                raise UserError(str(error), "choose another address") from None
        yield file
