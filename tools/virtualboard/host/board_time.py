"""A virtual board's time as the programs at its ports see it: limits on its answers are counted in it.

A paced board keeps to real time while its machine lets it. On a busy machine it falls behind, and a program that allows
it 30 seconds of its own clock would give up a board that had six. So each port of a board that runs is announced in a
small file: the board's process and its virtual time, written anew every 50 ms. `BoardTime` reads it; for a real board
there is no such file, and its time is real time.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from virtualboard.clock import SECOND, Clock

_ENTRY = struct.Struct("<qq")  # process, virtual time in ns
_WRITE_EVERY_S = 0.05
_READ_EVERY_S = 0.02

SLOWEST = 0.02
"""Board's seconds that a real second counts at least, so that a board which hangs is given up all the same."""

_WORTH_TELLING = 0.8
_JUDGED_AFTER_S = 1.0


@contextlib.contextmanager
def announced(clock: Clock, port: str, where: Path | None = None) -> Iterator[None]:
    """While the context lasts, tell the time of `clock` to whoever opens `port` (a device's path, or a loopback URL).

    `where` is what `make_folder` has returned, for a process whose temporary folder is another one since then. Where no
    file can be written nothing is told, and programs go by real time as before.
    """
    path = (where or make_folder()) / _entry_of(port).name
    try:
        path.unlink(missing_ok=True)  # of a board that was killed; a link that somebody left here is not followed
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        yield
        return
    over = threading.Event()

    def tell() -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, _ENTRY.pack(os.getpid(), clock.now))

    def keep_telling() -> None:
        while not over.wait(_WRITE_EVERY_S):
            tell()

    tell()
    writer = threading.Thread(target=keep_telling, name="board-time", daemon=True)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()
        os.close(handle)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def make_folder() -> Path:
    """`folder`, made where there is none and it can be."""
    with contextlib.suppress(OSError):
        folder().mkdir(mode=0o700, exist_ok=True)
    return folder()


class BoardTime:
    """Seconds that the board behind `port` has had. They pass as fast as real ones, or slower.

    A board that runs ahead of real time gets no shorter limits for it. `real` and `told` are for tests: the real
    seconds, and the virtual nanoseconds that the port's file tells (None: not a virtual board).
    """

    def __init__(
        self,
        port: str,
        real: Callable[[], float] = time.monotonic,
        told: Callable[[], int | None] | None = None,
    ) -> None:
        self._real = real
        self._told = told or (lambda: _told(port))
        self._began = self._marked = real()
        self._mark = self._told()
        self._looked = self._began
        self._passed = 0.0  # board's seconds until the mark

    def now(self) -> float:
        """Seconds since an unknown moment; only differences mean something."""
        real = self._real()
        most = real - self._marked
        if self._mark is None:  # a real board, or one that is gone
            return self._passed + most
        if real - self._looked >= _READ_EVERY_S:
            self._looked = real
            self._look(real, most, self._told())
            most = real - self._marked
        return self._passed + most * SLOWEST

    def _look(self, real: float, most: float, virtual: int | None) -> None:
        if virtual == self._mark:
            return  # the mark stays: what is told late counts from there
        if virtual is None or virtual < self._mark:
            had = most
        else:
            had = min(most, max((virtual - self._mark) / SECOND, most * SLOWEST))
        self._passed += had
        self._marked, self._mark = real, virtual

    def sleep(self, seconds: float) -> None:
        """Do nothing for so long: real seconds, which a board that runs beside this program has, too."""
        time.sleep(seconds)

    @property
    def speed(self) -> float:
        """Board's seconds for a real second, since this object was made; 1.0 for a real board."""
        real = self._real() - self._began
        return min(1.0, self.now() / real) if real > 0 else 1.0

    @property
    def remark(self) -> str:
        """ " (the virtual board runs at 0.2 of real time)" when that may explain what went wrong, else ""."""
        if self._mark is None or self._real() - self._began < _JUDGED_AFTER_S or self.speed >= _WORTH_TELLING:
            return ""
        return f" (the virtual board runs at {self.speed:.2g} of real time)"


def _told(port: str) -> int | None:
    """Virtual time that the file of `port` tells; None without such a file, or when its board is gone."""
    try:
        process, virtual = _ENTRY.unpack(_entry_of(port).read_bytes())
    except (OSError, ValueError, struct.error):
        return None
    return virtual if _runs(process) else None


def _runs(process: int) -> bool:
    if os.name != "posix":
        return True  # there, signal 0 would end the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # another user's process runs, too
    return True


def folder() -> Path:
    """Where the entries of all ports of this user are."""
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    return Path(tempfile.gettempdir()) / f"maixpix{user}"


def _entry_of(port: str) -> Path:
    """The file of a port; boards on other machines have none here."""
    name = port
    if "://" in port:
        address = urlsplit(port)
        local = address.hostname in ("127.0.0.1", "localhost", "::1")
        name = f"tcp-{address.port}" if local else "elsewhere"
    return folder() / name.strip("/").replace("/", "-")
