"""Write the K210's flash with the real kflash, watched (`kflash_watch`): it cannot hang, and its false successes are
caught. A lower rate is tried when one may help, and MaixPy's start is listened for afterwards.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import serial

from maixpix.boards import SAFE_BAUD, Board
from maixpix.errors import UserError
from maixpix.flash import kfpkg
from maixpix.flash.kflash_watch import Failed, Limits, Progress, run
from maixpix.flash.plan import Job

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
    line for each such step. Raises UserError with the last cause; the flash is then to be written again.
    """
    last: Failed | None = None
    for rate in rates(baud or board.baud):
        if last is not None:
            if note is not None:
                note(f"{last.cause}; trying again at {rate} baud")
            _await_silence(port)
        with _input_file(job) as file:
            command = [*_arguments(port, board, rate), *(["-e"] if job.erase_chip else []), str(file)]
            try:
                run(port, rate, command, job, progress, limits or Limits())
            except Failed as failed:
                last = failed
                if not failed.retry:
                    break
            else:
                return rate
    raise UserError(last.cause if last else "nothing was tried", last.remedy if last else "")


def _await_silence(port: str, quiet_s: float = 0.4, limit_s: float = 3) -> None:
    """Let the loader finish answering the run that was ended: a late answer would pass for the next run's greeting."""
    deadline = time.monotonic() + limit_s
    try:
        with serial.serial_for_url(port, SAFE_BAUD, timeout=quiet_s) as line:
            while line.read(max(1, line.in_waiting)) and time.monotonic() < deadline:
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
        raise UserError(failed.cause, failed.remedy) from None


def rates(first: int) -> list[int]:
    """`first` and the lower rates to fall back to."""
    return [first, *(rate for rate in (460800, SAFE_BAUD) if rate < first)]


def confirm(port: str, limit_s: float = 12) -> bool:
    """True when MaixPy is heard starting on `port` within `limit_s`, or answers at its prompt.

    Its first start formats the file system; a later one may have passed while kflash still held the port. kflash
    cannot read flash back, so this and the boot ROM's own digest are the only proof of a good transfer.
    """
    deadline = time.monotonic() + limit_s
    write_timeout = None if "://" in port else 1.0  # pyserial's RFC 2217 client knows none
    ask_at = time.monotonic() + _ASK_EVERY_S
    heard = b""
    try:
        with serial.serial_for_url(port, SAFE_BAUD, timeout=0.2, write_timeout=write_timeout) as line:
            while time.monotonic() < deadline:
                heard = (heard + line.read(max(1, line.in_waiting)))[-4000:]
                if any(sign in heard for sign in (b"[MAIXPY]", b"MicroPython v", b"\r\n>>> ")):
                    return True
                if time.monotonic() > ask_at:
                    ask_at += _ASK_EVERY_S
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
