"""The terminal that a board was started from: shown to, and never typed into.

By the ioctl TIOCSTI a process puts characters into the input of its controlling terminal, as if they had been typed
there: the shell that waits behind `maixpix board` would run them, outside of every fence. Linux takes it from
processes that have this terminal as their controlling one, and from those with the capability CAP_SYS_ADMIN
(drivers/tty/tty_io.c, tiocsti; from Linux 6.2 on it can be switched off, sysctl dev.tty.legacy_tiocsti). Ctrl-C and
hanging up still come: the kernel sends them to the terminal's process group.
"""

from __future__ import annotations

import ctypes
import os
import sys

try:
    import fcntl
    import termios
except ImportError:  # Windows has no such terminals
    HAS_TERMINALS = False
else:
    HAS_TERMINALS = True

_SYS_ADMIN = 21  # include/uapi/linux/capability.h
_CAPABILITIES_V3 = 0x20080522
_CAPBSET_DROP = 24  # of prctl


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]  # noqa: RUF012


class _Sets(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]  # noqa: RUF012


def let_go() -> None:
    """Give up the controlling terminal, for good and for all that this process starts.

    A session's leader keeps it: it would hang itself up, and there is no shell behind it. What is written to stdout and
    stderr still shows. Raises OSError when root's capability cannot be given up.
    """
    if not HAS_TERMINALS:
        return
    if os.getsid(0) != os.getpid():
        _forget_terminal()
    if sys.platform == "linux":
        _drop_administration()


def _forget_terminal() -> None:
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return  # there is none
    try:
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
    finally:
        os.close(terminal)


def _drop_administration() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_CAPABILITIES_V3, 0), (_Sets * 2)()
    if libc.capget(ctypes.byref(header), ctypes.byref(sets)):
        raise _failure()
    if not sets[0].permitted >> _SYS_ADMIN & 1:
        return
    # First what programs may be given when they are started, which takes another capability than this one.
    libc.prctl(_CAPBSET_DROP, *(ctypes.c_ulong(each) for each in (_SYS_ADMIN, 0, 0, 0)))
    for name in ("effective", "permitted", "inheritable"):
        setattr(sets[0], name, getattr(sets[0], name) & ~(1 << _SYS_ADMIN))
    if libc.capset(ctypes.byref(header), ctypes.byref(sets)):
        raise _failure()


def _failure() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
