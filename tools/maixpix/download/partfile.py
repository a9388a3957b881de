"""The file that a download is written to, in place and at any offset, until it is proven and gets its final name.

Longer than 350 lines: what the disk is asked for stands together, and what its refusals mean.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sys
import threading
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from maixpix.download.extents import Extents
from maixpix.download.trouble import DownloadError

if sys.platform != "win32":
    import fcntl

READ = 1024 * 1024
"""Bytes read at once when a file is hashed."""

_AHEAD = 4 * 1024 * 1024
"""Bytes that are hashed at most before the next ones are written."""

_MAX_BUFFERS = 512
"""Buffers in one vectored write; Linux takes 1,024 (IOV_MAX)."""

_TOGETHER = 4
"""Files from which on one call for the whole disk is quicker than one for each."""

_MOST_WAITING = 256 * 1024 * 1024
"""Bytes that may wait for all disks when such a call is made: not for somebody's big copy to a slow card."""


@dataclass(frozen=True)
class Block:
    """A range that was written. `crc` is its CRC-32, None when the running SHA-256 covers it."""

    start: int
    stop: int
    crc: int | None


@dataclass(frozen=True)
class Snapshot:
    """Blocks that were written, and the digest of the file's first `hashed` bytes: what a next run can check."""

    blocks: Sequence[Block]
    hashed: int
    sha256: str


class PartFile:
    """All methods block and belong into a thread, except `discard` and `close`; only one at a time may write.
    What has been written is hashed in a step of its own, while the next bytes are written.

    The SHA-256 runs along while bytes arrive in order from the start, which a plain stream does; of parts it follows
    what is there without a gap, and the rest is hashed from the file when the download is proven.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.there = Extents()
        """What has been written, durable or not; kept by the caller, because threads must not change it."""
        self._fd = -1
        self._lock = threading.Lock()
        self._sha = hashlib.sha256()
        self._hashed = 0
        self._fresh: list[Block] = []

    @property
    def descriptor(self) -> int:
        """The open file's number for the system."""
        return self._fd

    @property
    def is_open(self) -> bool:
        """False until `open`, and after `close`."""
        return self._fd >= 0

    def open(self) -> None:
        """Create or open the file, for this program alone. Raises `DownloadError` when another one has it."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            self._fd = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise disk_error(error, self.path) from None
        if sys.platform != "win32":
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self.close()
                raise DownloadError(
                    f"another download is writing {self.path}", "wait for it or stop it", kind="locked"
                ) from None

    def allocate(self, size: int) -> None:
        """Give the file its final size. Raises `DownloadError` when the disk has no room for it."""
        missing = size - len(self.there)
        free = shutil.disk_usage(self.path.parent).free
        if missing > free:
            raise DownloadError(
                f"{self.path.parent} has {free:,} bytes free and {missing:,} are needed", "make room", kind="disk"
            )
        with self._told():
            os.ftruncate(self._fd, size)

    def write(self, position: int, pieces: Sequence[bytes | memoryview]) -> None:
        """Write `pieces` one behind the other; `account` must follow."""
        with self._told():
            self._write_all(position, pieces)

    def account(self, position: int, pieces: Sequence[bytes | memoryview]) -> Block:
        """Hash what was written."""
        with self._lock:
            crc = None
            if position == self._hashed:
                for piece in pieces:
                    self._sha.update(piece)
                    self._hashed += len(piece)
            else:
                crc = 0
                for piece in pieces:
                    crc = zlib.crc32(piece, crc)
            block = Block(position, position + sum(map(len, pieces)), crc)
            self._fresh.append(block)
        return block

    def hash_on(self, front: int) -> None:
        """Hash some of what is there without a gap, up to `front`, so that there is less to do at the end."""
        with self._told(), self._lock:
            self._hash_up_to(min(front, self._hashed + _AHEAD))

    def state(self, blocks: Sequence[Block]) -> Snapshot:
        """What is to be told of `blocks`, before a `sync` tells it again."""
        with self._lock:
            return Snapshot(blocks, self._hashed, self._sha.copy().hexdigest())

    def put(self, body: bytes) -> None:
        """Write a whole file at once, which no journal needs to know of."""
        with self._told():
            os.ftruncate(self._fd, 0)
            self._write_all(0, [body])

    def agrees(self, position: int, data: bytes) -> bool:
        """Whether the bytes at `position` are `data`."""
        return self.read(position, len(data)) == data

    def read(self, position: int, count: int) -> bytes:
        """`count` bytes at `position`, fewer at the end of the file."""
        with self._told():
            return _pread(self._fd, count, position)

    def sync(self) -> Snapshot:
        """Make durable what was written until now."""
        with self._lock:
            snapshot = Snapshot(self._fresh, self._hashed, self._sha.copy().hexdigest())
            self._fresh = []
        with self._told():
            getattr(os, "fdatasync", os.fsync)(self._fd)
        return snapshot

    def take_over(self, blocks: Sequence[Block], points: Sequence[tuple[int, str]]) -> bool:
        """Believe what an earlier run left, as far as the file still holds it. False when nothing of it is true.

        `blocks` are those of that run's snapshots; `points` the digests: of how many first bytes, and what it is.
        """
        end = os.fstat(self._fd).st_size
        for size, sha256 in sorted(points):
            proven = self._sha.copy(), self._hashed
            self._hash_up_to(min(size, end))
            if self._hashed != size or self._sha.hexdigest() != sha256:
                self._sha, self._hashed = proven
                break
        self.there.add(0, self._hashed)
        for block in dict.fromkeys(blocks):
            if block.crc is not None and self._hashed < block.stop <= end and self._crc(block) == block.crc:
                self.there.add(block.start, block.stop)
        if not len(self.there):
            self.restart()
        return bool(len(self.there))

    def restart(self) -> None:
        """Nothing that was written counts any more."""
        with self._lock:
            self.there.clear()
            self._fresh = []
            self._sha = hashlib.sha256()
            self._hashed = 0
        if self.is_open:
            with self._told():
                os.ftruncate(self._fd, 0)

    def digests(self, size: int, algorithms: Sequence[str] = ()) -> dict[str, bytes]:
        """SHA-256 of the first `size` bytes, and the digests of the further `algorithms` (names in `hashlib`)."""
        with self._told():
            self._hash_up_to(size)
            found = {"sha256": self._sha.digest()}
            more = {name: hashlib.new(name) for name in algorithms if name != "sha256"}
            if more:
                for position in range(0, size, READ):
                    data = _pread(self._fd, min(READ, size - position), position)
                    for running in more.values():
                        running.update(data)
        return found | {name: running.digest() for name, running in more.items()}

    def settle(self, size: int) -> os.stat_result:
        """Cut to `size` and make durable; what the system then says of the file stays true under its final name."""
        with self._told():
            if os.fstat(self._fd).st_size != size:
                os.ftruncate(self._fd, size)
            os.fsync(self._fd)
            return os.fstat(self._fd)

    def status(self) -> os.stat_result:
        """What the system says of the file."""
        with self._told():
            return os.fstat(self._fd)

    def finish(self, final: Path, may_replace: bool) -> None:
        """Give the final name in one step, after `settle`.

        Raises `DownloadError` (exists) when a file of that name has come meanwhile and may not be replaced.
        """
        with self._told():
            if may_replace:
                self.path.replace(final)
            else:
                self._link_to(final)
        self.close()

    def discard(self) -> None:
        """Close the file and remove it."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file, which stays as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _link_to(self, final: Path) -> None:
        """A new name that never replaces another; where there are no hard links (FAT), look first and rename."""
        try:
            os.link(self.path, final)
        except FileExistsError:
            raise exists_error(final) from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise
            if os.path.lexists(final):
                raise exists_error(final) from None
            self.path.rename(final)
            return
        self.path.unlink()

    def _write_all(self, position: int, pieces: Sequence[bytes | memoryview]) -> None:
        size = sum(map(len, pieces))
        if not hasattr(os, "pwritev"):
            with self._lock:
                os.lseek(self._fd, position, os.SEEK_SET)
                rest = memoryview(b"".join(pieces))
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            return
        if len(pieces) > _MAX_BUFFERS:
            pieces = [b"".join(pieces)]
        done = os.pwritev(self._fd, pieces, position)
        rest = memoryview(b"".join(pieces))[done:] if done < size else memoryview(b"")
        while rest:
            count = os.pwrite(self._fd, rest, position + done)
            done, rest = done + count, rest[count:]

    def _hash_up_to(self, stop: int) -> None:
        while self._hashed < stop:
            data = _pread(self._fd, min(READ, stop - self._hashed), self._hashed)
            if not data:
                return
            self._sha.update(data)
            self._hashed += len(data)

    def _crc(self, block: Block) -> int:
        crc = 0
        for position in range(block.start, block.stop, READ):
            crc = zlib.crc32(_pread(self._fd, min(READ, block.stop - position), position), crc)
        return crc

    def _told(self) -> _Told:
        return _Told(self.path)


class _Told:
    """Turns an `OSError` of the disk into a `DownloadError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise disk_error(error, self._path) from None


def disk_error(error: OSError, path: Path) -> DownloadError:
    """What a failed file operation means to the user."""
    remedies = {
        errno.ENOSPC: "make room and run the same command again",
        errno.EDQUOT: "make room and run the same command again",
        errno.EFBIG: "choose a file system or a limit that takes bigger files",
        errno.EACCES: "choose a folder that you may write to",
        errno.EROFS: "choose a folder that you may write to",
        errno.ELOOP: "remove the link that is in the way",
    }
    remedy = remedies.get(error.errno or 0, "choose another folder")
    return DownloadError(f"cannot write {path}: {error.strerror or error}", remedy, kind="disk")


def open_private(path: Path, mode: str) -> BinaryIO:
    """Open for writing ("wb", "ab"), unbuffered, what names addresses: there may be secrets in them."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if mode == "ab" else os.O_TRUNC) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), mode, 0)


def exists_error(path: Path) -> DownloadError:
    """A file has the name already."""
    return DownloadError(f"{path} is there already", "use --overwrite, --if-changed or another name", kind="exists")


def sync_together(files: Sequence[PartFile]) -> bool:
    """Make many files of one disk durable by one call. False where that is not to be had, or would cost too much.

    The call writes all that waits for that disk, whosever it is, and tells errors since Linux 5.8.
    """
    if len(files) < _TOGETHER or not _one_call_is_good():
        return False
    import ctypes  # only Linux, and only for many files

    return ctypes.CDLL(None, use_errno=True).syncfs(files[0].descriptor) == 0


def _one_call_is_good() -> bool:
    if sys.platform != "linux" or tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (5, 8):
        return False
    try:
        waiting = re.search(r"Dirty: +(\d+) kB", Path("/proc/meminfo").read_text("ascii"))
    except OSError:
        return False
    return waiting is not None and int(waiting[1]) * 1024 <= _MOST_WAITING


def sync_folder(folder: Path) -> None:
    """Make names in `folder` durable, where the system has a call for that."""
    if sys.platform == "win32":
        return
    with suppress(OSError):  # some network file systems refuse it; the files themselves are durable
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _pread(fd: int, count: int, position: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, count, position)
    os.lseek(fd, position, os.SEEK_SET)
    return os.read(fd, count)
