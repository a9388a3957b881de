"""File objects of device code: binary and text streams over the raw handles of card and flash.

`read(n)` in text mode counts characters; lines are read byte by byte, which the costs reflect; nothing is buffered
above the volume (MicroPython v1.11 `py/stream.c`).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from virtualboard.hosted import buffers
from virtualboard.hosted.flash_fs import FlashFile
from virtualboard.hosted.vfs import Volumes


class FileIO:
    """A binary file."""

    _text = False

    def __init__(self, volumes: Volumes, handle: Any) -> None:
        self._volumes = volumes
        self._handle = handle
        self._on_flash = isinstance(handle, FlashFile)

    # -- reading ------------------------------------------------------------------------------------------

    def _get(self, count: int) -> bytes:
        chip = self._volumes.chip
        with self._volumes.card_call():
            data = self._handle.read(count)
        chip.charge(len(data) * (chip.costs.flash_read_byte if self._on_flash else chip.costs.file_byte))
        return data

    def _line(self, limit: int) -> bytes:
        chip = self._volumes.chip
        line = bytearray()
        with self._volumes.card_call():
            while limit < 0 or len(line) < limit:
                byte = self._handle.read(1)
                if not byte:
                    break
                line += byte
                if byte == b"\n":
                    break
        chip.charge(len(line) * chip.costs.call // 2)
        return bytes(line)

    def read(self, count: int = -1, /) -> Any:
        return self._get(count if count is not None else -1)

    def readinto(self, buffer: Any, count: int = -1, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._get(len(view) if count < 0 else min(count, len(view)))
        view[: len(data)] = data
        return len(data)

    def readline(self, limit: int = -1, /) -> Any:
        return self._line(limit)

    def readlines(self) -> list[Any]:
        return list(self)

    def __iter__(self) -> FileIO:
        return self

    def __next__(self) -> Any:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    # -- writing ------------------------------------------------------------------------------------------

    def write(self, data: Any, /, *limits: int) -> int:
        raw = buffers.raw(data)
        if len(limits) == 1:
            raw = raw[: limits[0]]
        elif len(limits) == 2:
            raw = raw[limits[1] : limits[1] + limits[0]]
        chip = self._volumes.chip
        with self._volumes.card_call():
            self._handle.write(raw)
        chip.charge(len(raw) * (chip.costs.flash_write_byte if self._on_flash else chip.costs.file_byte))
        return len(raw)

    # -- the rest -----------------------------------------------------------------------------------------

    def seek(self, offset: int, whence: int = 0, /) -> int:
        with self._volumes.card_call():
            return self._handle.seek(offset, whence)

    def tell(self) -> int:
        return self._handle.tell()

    def flush(self) -> None:
        with self._volumes.card_call():
            self._handle.flush()

    def close(self) -> None:
        with self._volumes.card_call():
            self._handle.close()

    def __enter__(self) -> FileIO:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A forgotten file keeps its descriptor, and its unflushed data, until the next collection.
        self._volumes.chip.heap.finalisers.append(self._finalise)

    def _finalise(self) -> None:
        # Nobody is there to be told of an error.
        with suppress(OSError):
            self._handle.close()


class TextIOWrapper(FileIO):
    """A text file: UTF-8, strict."""

    _text = True

    def read(self, count: int = -1, /) -> str:
        if count is None or count < 0:
            return _decode(self._get(-1))
        data = self._get(count)
        while True:
            missing = count - sum(byte & 0xC0 != 0x80 for byte in data) + _open_tail(data)
            more = self._get(missing) if missing > 0 and data else b""
            if not more:
                return _decode(data)
            data += more

    def readline(self, limit: int = -1, /) -> str:
        return _decode(self._line(limit))


def _open_tail(data: bytes) -> int:
    """Bytes that the last character still lacks."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return max(0, length - back)
        if byte < 0x80:
            return 0
    return 0


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UnicodeError from None


def open_file(volumes: Volumes, path: str, mode: str = "r", **ignored: Any) -> FileIO:
    """`open()` of device code; `buffering` and `encoding` are taken and ignored."""
    unknown = set(ignored) - {"buffering", "encoding"}
    if unknown:
        raise TypeError("extra keyword arguments given")
    handle = volumes.open(path, mode)
    return (FileIO if "b" in mode else TextIOWrapper)(volumes, handle)
