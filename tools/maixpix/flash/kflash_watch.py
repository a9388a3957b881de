"""One run of kflash, its output read as it comes: every phase has a limit, and the first sign of damage ends it.

Limits are in the board's time: a virtual board on a busy machine gets as much of it as any other.

kflash 1.1.6 has habits that a caller must know: a data frame refused for its checksum is reported and then skipped,
with exit code 0; a board that stops answering is waited for without end; a refused frame of the stub is sent again
1 KiB too high; messages go to stdout; a timeout closes the port and the next retry blames the port.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maixpix import ports
from maixpix.errors import shorten
from maixpix.flash.plan import Job
from virtualboard.host.board_time import BoardTime

Progress = Callable[[str, int, int], None]
"""Called with a part's name, and how many of its bytes are written; for `LOADER` with percent of 100."""
LOADER = "loader"

_LOOK_S = 0.5  # real seconds between two looks at the board's time

_PERCENT = re.compile(r"(Downloading ISP|Programming BIN):.*?([\d.]+)%")
_WRITING = re.compile(r"Writing\s+(\S+)\s+into")


@dataclass(frozen=True)
class Limits:
    """Longest silences in seconds of the board's time, by phase.

    kflash's own greeting takes up to 12 s for one board type and 48 s when it tries all; a 64 KiB frame takes 6 s at
    115200 and about 1 s in the flash chip; a whole-chip erase of a W25Q128 takes at most 200 s (its data sheet).
    """

    greeting: float = 60.0
    stub: float = 15.0
    frame: float = 30.0
    erase: float = 240.0

    def total(self, job: Job, baud: int) -> float:
        """Longest time of a whole run in seconds: three times what the bytes of `job` take at `baud`, and the rest."""
        sectors = 1 + sum(len(part.data) >> 16 for part in job.parts)
        wire = 3 * 10 * job.size / baud
        return self.greeting + self.stub + self.frame + 2 * sectors + wire + (self.erase if job.erase_chip else 0)


class Failed(Exception):
    """One kflash run that failed. `retry` tells that a lower rate may help.

    In `remedy`, {slower}, {board} and {port} stand for advice that depends on what was tried (`write.advice`).
    """

    def __init__(self, cause: str, remedy: str, retry: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.retry = retry


# A line of kflash's output -> why the run is lost, what helps, whether a lower rate may. The first match ends the run.
_FATAL: tuple[tuple[str, str, str, bool], ...] = (
    ("Data checksum error", "a block arrived damaged and kflash went on", "use a shorter cable", True),
    ("receive data time out", "the boot ROM stopped answering", "replug the board", True),
    ("recv unknown op", "something answers on this port that is no boot ROM", "{port}, {board}", False),
    ("Failed to Connect to K210's Stub", "the loader does not answer at the new rate", "{slower}", True),
    ("Fast mode failed", "the adapter cannot do the fast rate", "{slower}", True),
    ("has been disconnected", "the loader stopped answering, or the port was lost", "replug the board, {slower}", True),
    ("No valid Kendryte K210 found", "no K210 answered", "{port}, {board}, or hold BOOT while replugging", False),
    ("port that is not open", "the port closed during the search for the board's type", "{board}", False),
    ("NoneType", "the port vanished", "replug the board", False),
    ("Failed to initialize flash", "the loader cannot reach the flash chip", "power the board off and on", True),
    ("Failed to erase", "the flash chip was not erased", "power the board off and on, then try again", False),
    ("Failed to write", "the flash chip was not written", "power the board off and on, then try again", True),
    ("Failed to communication", "the loader stopped answering", "power the board off and on", True),
    ("Failed to reboot", "the loader does not answer after writing", "power the board off and on", True),
)

_REFUSED = re.compile(r"Failed, retry, errcode=\s*0x([0-9a-f]+)")
# The boot ROM's answer to a block of the loader (kflash 1.1.6, ISPResponse.ErrorCode).
_ROM_ERRORS = {
    0xE1: ("the boot ROM got a block of the loader of a wrong length", "use a shorter cable, {slower}"),
    0xE2: ("a block of the loader arrived damaged at the boot ROM", "use a shorter cable, {slower}"),
    0xE3: ("the boot ROM does not know the command it was given", "power the board off and on, then try again"),
}


def run(port: str, baud: int, arguments: Sequence[str], job: Job, progress: Progress | None, limits: Limits) -> None:
    """One run of kflash with `arguments` at `baud`. Raises Failed; never returns when its success is doubtful."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8:replace", COLUMNS="100", LINES="24")
    process = subprocess.Popen(
        [sys.executable, "-m", "maixpix.flash.kflash_run", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=os.name == "posix",
    )
    try:
        _watch(process, port, _Reader(job, progress, limits), limits.total(job, baud))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _watch(process: subprocess.Popen[bytes], port: str, reader: _Reader, total_s: float) -> None:
    pieces: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read_lines, args=(process, pieces), daemon=True).start()
    clock = BoardTime(port)
    end = clock.now() + total_s
    deadline = clock.now() + reader.limit
    while True:
        left = min(deadline, end) - clock.now()
        try:
            line = pieces.get(timeout=max(0.0, min(left, _LOOK_S)))
        except queue.Empty:
            if left > 0:
                continue
            failed = reader.silence() if deadline < end else reader.crawling(total_s)
            raise Failed(failed.cause + clock.remark, failed.remedy, failed.retry) from None
        if line is None:
            break
        if reader.take(line):
            deadline = clock.now() + reader.limit
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
        self._percent = -1.0

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
        refused = _REFUSED.search(line)
        if refused is not None:
            code = int(refused[1], 16)
            unknown = f"the boot ROM refused a block of the loader (code {code:#x})", "power the board off and on"
            raise Failed(*_ROM_ERRORS.get(code, unknown), True)
        percent = _PERCENT.search(line)
        if percent is not None:
            return self._advance(percent[1], float(percent[2]))
        before = self.phase
        self.last = line
        if "Unexcepted Return" in line or "retrying" in line:
            # One is normal: the stub answers the change of rate. More means that answers get lost.
            self._odd_answers += 1
            if self._odd_answers > 4:
                raise Failed("the loader's answers are damaged", "use a shorter cable, {slower}", True)
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
            raise Failed(_greeting_cause(line), "{port}, {board}, close other programs on the port", False)
        # Words alone are no progress: a chip that stays busy says "Erasing flash" for ever.
        return self.phase != before or self.finished

    def _advance(self, what: str, percent: float) -> bool:
        before = self.phase, self._part, self._percent
        self._percent = percent
        if what == "Downloading ISP":
            self.phase = "stub"
            if self.progress is not None:
                self.progress(LOADER, int(percent), 100)
            return before != (self.phase, self._part, percent)
        self.phase = "frame"
        if self._part < len(self.job.parts):
            part = self.job.parts[self._part]
            if self.progress is not None:
                self.progress(part.name, round(len(part.data) * percent / 100), len(part.data))
            if percent >= 100:
                self._part += 1
        return before != (self.phase, self._part, percent)

    def silence(self) -> Failed:
        """The phase took longer than its limit."""
        limit = f"{self.limit:g} s"
        if self.phase == "greeting":
            return Failed(
                f"no K210 answered within {limit}",
                "{port}, {board}, or hold BOOT while replugging",
                False,
            )
        if self.phase == "stub":
            return Failed(f"the loader went silent for {limit}", "use a shorter cable, {slower}", True)
        if self.phase == "erase":
            return Failed(f"erasing took more than {limit}", "power the board off and on, then try again", False)
        return Failed(
            f"the board stopped answering for {limit} while its flash was written",
            "replug the board",
            True,
        )

    def crawling(self, total_s: float) -> Failed:
        """There was progress all the time, but far too little of it."""
        return Failed(f"flashing was not done after {total_s:.0f} s", "use a shorter cable, {slower}", True)

    def unexplained(self, code: int) -> Failed:
        """kflash ended without the words of success."""
        last = self.last or "no message"
        return Failed(
            f"kflash ended with code {code} after: {shorten(last)}",
            "try again, {board}",
            self.phase != "greeting",
        )


def _greeting_cause(line: str) -> str:
    inner = re.search(r"\((.*)\)", line)
    text = inner[1] if inner else line
    if "could not open port" in text or "Errno" in text:
        return f"the port failed during the greeting ({shorten(text, 60)})"
    return "no K210 answered the greeting" + (f" ({shorten(text, 60)})" if text else "")
