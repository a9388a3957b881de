"""Ports named "cable://N" for pyserial (its `protocol_handler_packages`): the program's end of a `cable.Cable`."""

from __future__ import annotations

from typing import Any

from maixpix.torture.cable import PLUGGED


class Serial:
    """What `Link` and mpremote use of a pyserial port."""

    def __init__(self, port: str | None, timeout: float | None = None, **_settings: Any) -> None:
        self.port = port or ""
        self.timeout = timeout
        self.write_timeout: float | None = None
        self.rts = self.dtr = True
        self.is_open = False

    def open(self) -> None:
        """The cable is in, or OSError."""
        if self.port.removeprefix("cable://") not in PLUGGED:
            raise OSError(2, f"no cable is {self.port}")
        self._cable = PLUGGED[self.port.removeprefix("cable://")]
        self.is_open = True

    def isOpen(self) -> bool:
        """Whether it is open."""
        return self.is_open

    def close(self) -> None:
        """Use it no more."""
        self.is_open = False

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read at once."""
        return self._cable.waiting

    def inWaiting(self) -> int:
        """The same."""
        return self.in_waiting

    def read(self, count: int = 1) -> bytes:
        """Up to `count` bytes; fewer when the timeout is over."""
        if not self._cable.waiting and self.timeout:
            self._cable.wait(self.timeout, for_bytes=True)
        return self._cable.read(count)

    def write(self, data: bytes) -> int:
        """Type `data`."""
        self._cable.write(data)
        return len(data)

    def flush(self) -> None:
        """Everything is out at once."""

    def reset_input_buffer(self) -> None:
        """Forget what has come."""
        self._cable.read(1 << 30)

    def __enter__(self) -> Serial:
        if not self.is_open:
            self.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
