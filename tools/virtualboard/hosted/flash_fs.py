"""`/flash`: SPIFFS as MaixPy builds it, on a host folder.

Flat: a `/` in a name is part of the name (kept as a sub-folder on the host). Two files can be open at a time. Sizes
count in pages of 4096 bytes, 4091 of them data, of which 683 are told and 653 can be used.

Source: MaixPy-v1 `vfs_spiffs.c`, `vfs_spiffs_file.c`, its SPIFFS settings (3 MiB, blocks of 128 KiB, pages of 4 KiB,
names of 128 bytes, a descriptor pool for two files).
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

PAGE_DATA = 4091
PAGES = 683
USABLE_PAGES = 653
BLOCK = 131_072
MAX_NAME = 126
MAX_OPEN = 2

ENOENT, EIO, EBADF = 2, 5, 9


class FlashFiles:
    """The files of `/flash`. `folder` None keeps them in a temporary folder, which goes with this object. Errors are
    OSError(number)."""

    def __init__(self, folder: Path | None) -> None:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="maix-flash-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        elif not folder.is_dir():
            raise NotADirectoryError(f"{folder} is not a directory; /flash needs one to keep its files in")
        self.folder = folder.resolve()
        self._open: weakref.WeakSet[FlashFile] = weakref.WeakSet()

    def names(self) -> Iterator[tuple[str, int]]:
        """(name, size in bytes) of every file."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                name = "/".join(_decoded(part) for part in path.relative_to(self.folder).parts)
                if len(name.encode()) <= MAX_NAME:
                    yield name, path.stat().st_size

    def size(self, name: str) -> int | None:
        """Size of a file in bytes, None when there is none of that name."""
        path = self.path(name)
        return path.stat().st_size if path is not None and path.is_file() else None

    def path(self, name: str) -> Path | None:
        """Host path of a name; None for names SPIFFS cannot have."""
        name = name.lstrip("/")
        if not name or len(name.encode()) > MAX_NAME or "\0" in name:
            return None
        path = self.folder.joinpath(*(_encoded(part) for part in name.split("/")))
        if any(parent.is_symlink() for parent in (path, *path.parents) if parent.is_relative_to(self.folder)):
            return None
        return path

    def open(self, name: str, mode: str) -> FlashFile:
        """Open a file; any failure is OSError(2)."""
        path = self.path(name)
        if path is None or len(self._open) >= MAX_OPEN or path.is_dir():
            raise OSError(ENOENT)
        create = "w" in mode or "x" in mode
        if create:
            if not path.exists() and self.used_pages() + 1 > USABLE_PAGES:
                raise OSError(ENOENT)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise OSError(ENOENT) from None  # the host cannot have both "a" and "a/b"
            path.write_bytes(b"")
        elif not path.is_file():
            raise OSError(ENOENT)
        writable = create or "a" in mode or "+" in mode
        handle = FlashFile(self, path, writable=writable, readable="a" not in mode or "+" in mode)
        if "a" in mode:
            handle.seek(0, 2)
        self._open.add(handle)
        return handle

    def remove(self, name: str) -> None:
        """Remove a file; OSError(2) when there is none."""
        path = self.path(name)
        if path is None or not path.is_file():
            raise OSError(ENOENT)
        path.unlink()
        self._prune(path.parent)

    def rename(self, old: str, new: str) -> None:
        """Rename; an existing file of the new name is removed first."""
        source, target = self.path(old), self.path(new)
        if source is None or target is None or not source.is_file() or target.is_dir():
            raise OSError(ENOENT)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
        self._prune(source.parent)
        for handle in self._open:
            if handle.path == source:
                handle.path = target

    def format(self) -> None:
        """Erase everything."""
        for name, _ in list(self.names()):
            self.remove(name)

    def used_pages(self) -> int:
        """Pages in use: data and one index page a file."""
        return sum(1 + -(-size // PAGE_DATA) for _, size in self.names())

    def statvfs(self) -> tuple[int, ...]:
        """Ten numbers in units of 131072 bytes, rounded down."""
        free = max(0, PAGES - self.used_pages()) * PAGE_DATA // BLOCK
        return (BLOCK, BLOCK, PAGES * PAGE_DATA // BLOCK, free, free, 0, 0, 0, 0, 128)

    def close_all(self) -> None:
        """Forget the descriptors (a chip reset)."""
        self._open.clear()

    def closed(self, handle: FlashFile) -> None:
        """A descriptor is free again."""
        self._open.discard(handle)

    def _prune(self, folder: Path) -> None:
        while folder != self.folder and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


class FlashFile:
    """An open file; writes reach the folder at once."""

    def __init__(self, files: FlashFiles, path: Path, writable: bool, readable: bool) -> None:
        self._files = files
        self.path = path
        self._writable = writable
        self._readable = readable
        self._position = 0
        self._is_open = True

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.path.stat().st_size

    def read(self, count: int = -1) -> bytes:
        """Up to `count` bytes, all when negative."""
        self._check(self._readable)
        with self.path.open("rb") as f:
            f.seek(self._position)
            data = f.read(count if count >= 0 else -1)
        self._position += len(data)
        return data

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write at the position; OSError(5) when the flash is full."""
        self._check(self._writable)
        end = self._position + len(data)
        grown = -(-max(0, end) // PAGE_DATA) - -(-self.size // PAGE_DATA)
        if grown > 0 and self._files.used_pages() + grown > USABLE_PAGES:
            raise OSError(EIO)
        with self.path.open("r+b") as f:
            f.seek(self._position)
            f.write(data)
        self._position = end
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; a place behind the end is the end (SPIFFS)."""
        self._check(True)
        base = (0, self._position, self.size)[whence]
        self._position = max(0, min(base + offset, self.size))
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""
        self._check(True)

    def close(self) -> None:
        """Give the descriptor back."""
        self._is_open = False
        self._files.closed(self)

    def _check(self, allowed: bool) -> None:
        if not self._is_open:
            raise OSError(EIO)
        if not allowed:
            raise OSError(EBADF)


def _encoded(part: str) -> str:
    if part in ("", ".", ".."):
        return "%" + "".join(f"{ord(c):02X}" for c in part)
    return part.replace("%", "%25")


def _decoded(part: str) -> str:
    if part.startswith("%") and part not in ("%25",) and all(part[i : i + 2] == "2E" for i in range(1, len(part), 2)):
        return "." * (len(part) // 2)
    return part.replace("%25", "%")
