"""`uio`: streams over memory, and the room in the heap that they take (MicroPython `objstringio.c`)."""

from __future__ import annotations

import io
from typing import Any

from virtualboard.hosted.buffers import raw
from virtualboard.hosted.chip import Chip


class BytesIO:
    """`uio.BytesIO`."""

    def __init__(self, initial: Any = b"", /) -> None:
        self._buffer: Any = io.BytesIO(raw(initial)) if not isinstance(initial, int) else io.BytesIO()

    def read(self, count: int = -1, /) -> Any:
        return self._buffer.read(count)

    def readinto(self, target: Any, /) -> int:
        return self._buffer.readinto(target)

    def readline(self, limit: int = -1, /) -> Any:
        return self._buffer.readline(limit)

    def write(self, data: Any, /) -> int:
        return self._buffer.write(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._buffer.seek(offset, whence)

    def tell(self) -> int:
        return self._buffer.tell()

    def flush(self) -> None:
        return None

    def close(self) -> None:
        self._buffer.close()

    def getvalue(self) -> Any:
        return self._buffer.getvalue()

    def __enter__(self) -> BytesIO:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __iter__(self) -> Any:
        return iter(self._buffer)


def bytes_io_class(chip: Chip) -> type:
    class DeviceBytesIO(BytesIO):
        """Takes room in the heap for the size it is made with; `close` frees it (MicroPython objstringio.c)."""

        def __init__(self, initial: Any = b"", /) -> None:
            super().__init__(initial)
            self._room: tuple[int, int] | None = None
            if isinstance(initial, int) and initial >= 1024:
                address = chip.heap.alloc(initial)
                if address is None:
                    raise MemoryError(f"memory allocation failed, allocating {initial} bytes")
                self._room = address, initial

        def close(self) -> None:
            super().close()
            if self._room is not None:
                chip.heap.release(*self._room)
                self._room = None

    DeviceBytesIO.__name__ = DeviceBytesIO.__qualname__ = "BytesIO"
    return DeviceBytesIO


class StringIO(BytesIO):
    """`uio.StringIO`."""

    def __init__(self, initial: str = "", /) -> None:
        self._buffer = io.StringIO(initial if not isinstance(initial, int) else "")
