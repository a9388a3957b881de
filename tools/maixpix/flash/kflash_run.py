"""Run the real kflash unchanged on ports it cannot handle by itself: `python -m maixpix.flash.kflash_run ARGS`.

kflash 1.1.6 sets DTR and RTS on whatever it opens and gives up when that fails. A pseudo-terminal has no such lines
and answers ENOTTY (EINVAL on some systems), so on those two errors the line is taken as set; a real port's errors
still end the run. Addresses such as rfc2217://host:port, which carry the lines over a network, are opened by pyserial's
URL handlers. kflash's limits on answers are counted in the board's time: a virtual board on a busy machine is slow.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import Any

import kflash
import serial

from virtualboard.host.board_time import BoardTime

_NO_SUCH_LINE = (errno.ENOTTY, errno.EINVAL)


def _tolerant(method: Callable[[Any], None]) -> Callable[[Any], None]:
    def update(port: Any) -> None:
        try:
            method(port)
        except OSError as error:
            if error.errno not in _NO_SUCH_LINE:
                raise

    return update


class _Time:
    """The module `time` for kflash: `time()` is the board's, everything else as it was."""

    def __init__(self, port: str) -> None:
        self.time = BoardTime(port).now

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def prepare() -> None:
    """In this process only: `serial.Serial` accepts pseudo-terminals and URLs, kflash goes by the board's time."""
    if os.name == "posix":

        class Port(serial.Serial):
            _update_dtr_state = _tolerant(serial.Serial._update_dtr_state)
            _update_rts_state = _tolerant(serial.Serial._update_rts_state)

    else:
        Port = serial.Serial

    def opened(port: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if port:
            kflash.time = _Time(port)
        if port and "://" in port:
            return serial.serial_for_url(port, *args, **kwargs)
        return Port(port, *args, **kwargs)

    serial.Serial = opened


if __name__ == "__main__":
    prepare()
    kflash.main()
