"""Run the real kflash unchanged on ports it cannot handle by itself: `python -m maixpix.flash.kflash_run ARGS`.

kflash 1.1.6 sets DTR and RTS on whatever it opens and gives up when that fails. A pseudo-terminal has no such lines
and answers ENOTTY (EINVAL on some systems), so on those two errors the line is taken as set; a real port's errors
still end the run. Addresses such as rfc2217://host:port, which carry the lines over a network, are opened by pyserial's
URL handlers.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import kflash
import serial

_NO_SUCH_LINE = (errno.ENOTTY, errno.EINVAL)


def _tolerant(method: Callable[[Any], None]) -> Callable[[Any], None]:
    def update(port: Any) -> None:
        try:
            method(port)
        except OSError as error:
            if error.errno not in _NO_SUCH_LINE:
                raise

    return update


def prepare() -> None:
    """Make `serial.Serial` accept pseudo-terminals and URLs, in this process only."""
    if os.name == "posix":

        class Port(serial.Serial):
            _update_dtr_state = _tolerant(serial.Serial._update_dtr_state)
            _update_rts_state = _tolerant(serial.Serial._update_rts_state)

    else:
        Port = serial.Serial

    def opened(port: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if port and "://" in port:
            return serial.serial_for_url(port, *args, **kwargs)
        return Port(port, *args, **kwargs)

    serial.Serial = opened


if __name__ == "__main__":
    prepare()
    kflash.main()
