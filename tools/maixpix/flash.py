"""Write the K210's flash with the real kflash, watched: it cannot hang, and its false successes are caught.

kflash 1.1.6 has habits that a caller must know: a data frame refused for its checksum is reported and then skipped,
with exit code 0; a board that stops answering is waited for without end; a refused frame of the stub is sent again
1 KiB too high; messages go to stdout; a timeout closes the port and the next retry blames the port. So kflash runs
in a subprocess, its output is read as it comes, every phase has a limit, and the first line that means damage ends it.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import serial

from maixpix import images, kfpkg, ports
from maixpix.boards import SAFE_BAUD, Board
from maixpix.errors import UserError

FILESYSTEM_AT = 0xD00000
FILESYSTEM_SIZE = 0x300000

Progress = Callable[[str, int, int], None]

_PERCENT = re.compile(r"(Downloading ISP|Programming BIN):.*?([\d.]+)%")
_WRITING = re.compile(r"Writing\s+(\S+)\s+into")


@dataclass(frozen=True)
class Limits:
    """Longest silences in seconds, by phase.

    kflash's own greeting takes up to 12 s for one board type and 48 s when it tries all; a 64 KiB frame takes 6 s at
    115200 and about 1 s in the flash chip; a whole-chip erase of a W25Q128 takes at most 200 s (its data sheet).
    """

    greeting: float = 60.0
    stub: float = 15.0
    frame: float = 30.0
    erase: float = 240.0


class Failed(Exception):
    """One kflash run that failed. `retry` tells that a lower rate may help."""

    def __init__(self, cause: str, remedy: str, retry: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.retry = retry


# A line of kflash's output -> why the run is lost, what helps, whether a lower rate may. The first match ends the run.
_FATAL: tuple[tuple[str, str, str, bool], ...] = (
    ("Data checksum error", "a block arrived damaged and kflash went on", "use a shorter cable", True),
    ("Failed, retry, errcode", "the boot ROM refused a block of the loader", "use a shorter cable", True),
    ("receive data time out", "the boot ROM stopped answering", "replug the board", True),
    (
        "recv unknown op",
        "something answers on this port that is no boot ROM",
        "try the adapter's other port, or another --board",
        False,
    ),
    ("Failed to Connect to K210's Stub", "the loader does not answer at the new rate", "use a lower --baud", True),
    ("Fast mode failed", "the adapter cannot do the fast rate", "use a lower --baud", True),
    (
        "has been disconnected",
        "the loader stopped answering, or the port was lost",
        "replug the board, use a lower --baud",
        True,
    ),
    ("No valid Kendryte K210 found", "no K210 answered", "check --port and --board, hold BOOT while replugging", False),
    (
        "port that is not open",
        "the port closed during the search for the board's type",
        "name the board with --board",
        False,
    ),
    ("NoneType", "the port vanished", "replug the board", False),
    ("Failed to initialize flash", "the loader cannot reach the flash chip", "power the board off and on", True),
    ("Failed to erase", "the flash chip was not erased", "power the board off and on, then try again", False),
    ("Failed to write", "the flash chip was not written", "power the board off and on, then try again", True),
    ("Failed to communication", "the loader stopped answering", "power the board off and on", True),
    ("Failed to reboot", "the loader does not answer after writing", "power the board off and on", True),
)


@dataclass
class Job:
    """What to write: parts in the order given, or only an erase. Build it with `plan`."""

    parts: list[kfpkg.Part]
    erase_chip: bool = False
    titles: list[str] = field(default_factory=list)
    version: str = ""

    @property
    def size(self) -> int:
        """Bytes to transfer."""
        return sum(len(part.data) for part in self.parts)


def plan(items: Iterable[tuple[Path, int | None]], erase_chip: bool = False, over_files: bool = False) -> Job:
    """Check files and their addresses, and put them together.

    `items` are (file, address or None); None is address 0 for firmware, and right for packages only otherwise.
    `over_files` allows parts to reach into MaixPy's file system at 0xD00000. Raises UserError when a file is not what
    its place needs, or parts overlap.
    """
    job = Job([], erase_chip)
    for path, address in items:
        image = images.identify(path)
        job.titles.append(f"{path.name}: {image.title}")
        if image.kind == "kfpkg":
            if address is not None:
                raise UserError(f"{path.name} is a package and has its own addresses", "leave out the @address")
            job.parts.extend(image.parts)
            continue
        data = path.read_bytes()
        if address:
            job.parts.append(kfpkg.Part(address, path.name, data, image.bootable and not image.headed))
            continue
        images.require_firmware(image)
        # kflash adds the header itself; a second one would not boot.
        payload = data[5:-32] if image.headed else data
        job.parts.append(kfpkg.Part(0, path.name, payload, program=True))
        job.version = job.version or image.version
    _check(job, over_files)
    return job


def _check(job: Job, over_files: bool) -> None:
    try:
        kfpkg.check_layout(job.parts)
    except kfpkg.PackageError as error:
        raise UserError(str(error), "choose other addresses, models usually go to 0x300000") from None
    for part in job.parts:
        if part.end > FILESYSTEM_AT and not over_files:
            whole = part.address == FILESYSTEM_AT and len(part.data) == FILESYSTEM_SIZE
            if not whole:
                raise UserError(
                    f"{part.name} reaches into the board's files (0x{FILESYSTEM_AT:X} and up)",
                    "choose a lower address, or add --over-files to destroy them",
                )


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
                run(port, command, job, progress, limits or Limits())
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
        run(port, [*_arguments(port, board, SAFE_BAUD), *span, "erase"], Job([], True), None, limits or Limits())
    except Failed as failed:
        raise UserError(failed.cause, failed.remedy) from None


def rates(first: int) -> list[int]:
    """`first` and the lower rates to fall back to."""
    return [first, *(rate for rate in (460800, SAFE_BAUD) if rate < first)]


def confirm(port: str, limit_s: float = 12) -> bool:
    """True when MaixPy is heard starting on `port` within `limit_s`; its first start formats the file system.

    kflash cannot read flash back, so this and the boot ROM's own digest are the only proof of a good transfer.
    """
    deadline = time.monotonic() + limit_s
    heard = b""
    try:
        with serial.serial_for_url(port, SAFE_BAUD, timeout=0.2) as line:
            while time.monotonic() < deadline:
                heard = (heard + line.read(max(1, line.in_waiting)))[-4000:]
                if b"[MAIXPY]" in heard or b"MicroPython v" in heard:
                    return True
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


def run(port: str, arguments: Sequence[str], job: Job, progress: Progress | None, limits: Limits) -> None:
    """One run of kflash with `arguments`. Raises Failed; never returns for a run whose success is doubtful."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8:replace", COLUMNS="100", LINES="24")
    process = subprocess.Popen(
        [sys.executable, "-m", "maixpix.kflash_run", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=os.name == "posix",
    )
    try:
        _watch(process, port, job, progress, limits)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _watch(process: subprocess.Popen[bytes], port: str, job: Job, progress: Progress | None, limits: Limits) -> None:
    pieces: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read_lines, args=(process, pieces), daemon=True).start()
    reader = _Reader(job, progress, limits)
    deadline = time.monotonic() + reader.limit
    while True:
        try:
            line = pieces.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise reader.silence() from None
        if line is None:
            break
        if reader.take(line):
            deadline = time.monotonic() + reader.limit
    code = process.wait(timeout=10)
    if "could not open port" in reader.last.lower():
        raise ports.open_error(port, OSError(reader.last))
    if code or not reader.finished:
        raise reader.unexplained(code)


def _read_lines(process: subprocess.Popen[bytes], pieces: queue.Queue[str | None]) -> None:
    """Split kflash's output at CR and LF as it arrives; None at its end."""
    assert process.stdout is not None
    rest = b""
    while data := process.stdout.read1(4096):  # type: ignore[attr-defined]
        *lines, rest = re.split(rb"[\r\n]", rest + data)
        for line in lines:
            pieces.put(line.decode("utf-8", "replace"))
    pieces.put(rest.decode("utf-8", "replace"))
    pieces.put(None)


class _Reader:
    """Follows one run through its phases: greeting, stub, frame, erase."""

    def __init__(self, job: Job, progress: Progress | None, limits: Limits) -> None:
        self.job = job
        self.progress = progress
        self.limits = limits
        self.phase = "greeting"
        self.finished = False
        self.last = ""
        self._odd_answers = 0
        self._part = 0

    @property
    def limit(self) -> float:
        """Longest silence of the present phase in seconds."""
        return float(getattr(self.limits, self.phase))

    def take(self, line: str) -> bool:
        """One line of output; True when it is a sign of progress. Raises Failed when it means damage."""
        line = line.strip()
        if not line or "could not open port" in line:
            self.last = line or self.last
            return False
        for text, cause, remedy, retry in _FATAL:
            if text in line:
                raise Failed(cause, remedy, retry)
        percent = _PERCENT.search(line)
        if percent is not None:
            self._advance(percent[1], float(percent[2]))
            return True
        before = self.phase
        self.last = line
        if "Unexcepted Return" in line or "retrying" in line:
            # One is normal: the stub answers the change of rate. More means that answers get lost.
            self._odd_answers += 1
            if self._odd_answers > 4:
                raise Failed("the loader's answers are damaged", "use a shorter cable or a lower --baud", True)
            return False
        if "Greeting Message Detected" in line:
            self.phase = "stub"
        elif "Send Erase command" in line or "Erasing flash" in line:
            self.phase = "erase"
        elif "has been erased" in line or "Initialization flash" in line:
            self.phase = "erase" if self.job.erase_chip and "Initialization" in line else "frame"
        elif "Programming BIN" in line or _WRITING.search(line):
            self.phase = "frame"
        elif "rebooting" in line:
            self.finished = True
        elif "Greeting fail" in line:
            raise Failed(_greeting_cause(line), "check --port and --board, close other programs on the port", False)
        # Words alone are no progress: a chip that stays busy says "Erasing flash" for ever.
        return self.phase != before or self.finished

    def _advance(self, what: str, percent: float) -> None:
        if what == "Downloading ISP":
            self.phase = "stub"
            if self.progress is not None:
                self.progress("loader", int(percent), 100)
            return
        self.phase = "frame"
        if self._part < len(self.job.parts):
            part = self.job.parts[self._part]
            if self.progress is not None:
                self.progress(part.name, round(len(part.data) * percent / 100), len(part.data))
            if percent >= 100:
                self._part += 1

    def silence(self) -> Failed:
        """The phase took longer than its limit."""
        limit = f"{self.limit:g} s"
        if self.phase == "greeting":
            return Failed(
                f"no K210 answered within {limit}",
                "check --port (two-port adapters: the other one) and --board, or hold BOOT while replugging",
                False,
            )
        if self.phase == "stub":
            return Failed(f"the loader went silent for {limit}", "use a shorter cable or a lower --baud", True)
        if self.phase == "erase":
            return Failed(f"erasing took more than {limit}", "power the board off and on, then try again", False)
        return Failed(
            f"the board stopped answering for {limit} while its flash was written",
            "replug the board and flash it again before using it",
            True,
        )

    def unexplained(self, code: int) -> Failed:
        """kflash ended without the words of success."""
        last = self.last or "no message"
        return Failed(
            f"kflash ended with code {code} after: {last}",
            "try again, with --board if none was given",
            self.phase != "greeting",
        )


def _greeting_cause(line: str) -> str:
    inner = re.search(r"\((.*)\)", line)
    text = inner[1] if inner else line
    if "could not open port" in text or "Errno" in text:
        return f"the port failed during the greeting ({text})"
    return "no K210 answered the greeting" + (f" ({text})" if text else "")
