"""Errors as device code sees them: newlib numbers, MicroPython's texts, and the ways a program can be stopped."""

from __future__ import annotations

import errno as _host_errno
from collections.abc import Iterator
from contextlib import contextmanager

ERRNO = {
    "EPERM": 1,
    "ENOENT": 2,
    "EIO": 5,
    "EBADF": 9,
    "EAGAIN": 11,
    "ENOMEM": 12,
    "EACCES": 13,
    "EEXIST": 17,
    "ENODEV": 19,
    "EISDIR": 21,
    "EINVAL": 22,
    "EOPNOTSUPP": 95,
    "ECONNRESET": 104,
    "ENOBUFS": 105,
    "ECONNREFUSED": 111,
    "EADDRINUSE": 112,
    "ECONNABORTED": 113,
    "ETIMEDOUT": 116,
    "EHOSTUNREACH": 118,
    "EINPROGRESS": 119,
    "EALREADY": 120,
    "ENOTCONN": 128,
}
"""Names that MicroPython v1.11 knows (`moduerrno.c`), with newlib's numbers (`MICROPY_USE_INTERNAL_ERRNO` is 0)."""

ERRNO_NAMES = {number: name for name, number in ERRNO.items()}


def _no_attribute(name: str) -> property:
    def missing(self: BaseException) -> None:
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    return property(missing)


class DeviceOSError(OSError):
    """`OSError` of MicroPython: no `errno` attribute, `[Errno 2] ENOENT` as text; `args[0]` may be a text."""

    errno = _no_attribute("errno")
    strerror = _no_attribute("strerror")
    filename = _no_attribute("filename")

    def __str__(self) -> str:
        if len(self.args) == 1:
            name = ERRNO_NAMES.get(self.args[0]) if isinstance(self.args[0], int) else None
            return f"[Errno {self.args[0]}] {name}" if name else str(self.args[0])
        return str(self.args) if self.args else ""

    def __repr__(self) -> str:
        return f"OSError({', '.join(map(repr, self.args))},)" if self.args else "OSError()"


DeviceOSError.__name__ = DeviceOSError.__qualname__ = "OSError"


@contextmanager
def device_errors() -> Iterator[None]:
    """Turn an `OSError` of a part, which carries MicroPython's number, into the device's own class."""
    try:
        yield
    except DeviceOSError:
        raise
    except OSError as e:
        number = e.args[0] if e.args else _host_errno.EIO
        raise DeviceOSError(number) from None


class Stopped(BaseException):
    """The program on the chip is over; device code cannot hold it up, whatever it catches."""


class HardReset(Stopped):
    """`machine.reset()`, the watchdog or a lost supply; `cause` is a value of `machine.reset_cause()`."""

    def __init__(self, cause: int = 0) -> None:
        super().__init__()
        self.cause = cause


class SoftReset(Stopped):
    """Ctrl-D at the REPL."""


class PowerOff(Stopped):
    """The host ends the run: time limit, Ctrl-C, end of a one-shot job."""


class Crash(Stopped):
    """The firmware itself went astray (null pointer): it prints a register dump and hangs until a reset."""
