"""Landlock: a Linux process that gives up its own rights to files, for good and for all that it starts.

Source: the kernel's Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h. The three system calls
have no wrappers in the C library; their numbers are the same on every architecture that Python runs on. `py-landlock`
does the same; it calls itself alpha and knows two architectures, and this much is quicker read than depended on.

It binds the calling thread and every thread and process that this one starts afterwards: call it while there is only
one. Files that are open already stay usable. What it cannot refuse, whatever the rules: stat, chmod, chown, times and
attributes of files, connecting to a Unix socket by its path, the network's addresses.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1  # LANDLOCK_RULE_PATH_BENEATH
_SET_NO_NEW_PRIVS = 38  # of prctl: no set-user-ID program, which is what lets everybody restrict himself

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG = 1 << 7, 1 << 8
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

READ = EXECUTE | READ_FILE | READ_DIR
"""Read what is there, and run it: what is run is bound by the same rules."""
CHANGE = READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER
"""All that a folder's files and folders need; no links, sockets, pipes or devices."""

_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_FIRST_USABLE = 2  # version 1 (Linux 5.13) refuses every move from folder to folder
_SINCE = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
_SCOPES_SINCE = 6
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2  # out of reach beyond the own processes

Rule = tuple[Path, int]
"""A path, and the rights at it and below."""


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]  # noqa: RUF012


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32)]  # noqa: RUF012


def version() -> int:
    """Version of Landlock's interface that can be used here: 0 for none, else 2 (Linux 5.19) and up."""
    if sys.platform != "linux":
        return 0
    try:
        found = _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:  # not built in, switched off, or refused by a container
        return 0
    return found if found >= _FIRST_USABLE else 0


def restrict(rules: Iterable[Rule]) -> None:
    """From now on this thread, and what it starts, has the rights of `rules` and no other rights to files.

    Paths that are not there are left out. From version 6 on (Linux 6.12) processes outside get no signals either.
    Raises OSError where `version` is 0.
    """
    known = version()
    if not known:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    handled = (1 << 13) - 1
    for since, right in _SINCE.items():
        handled |= right if known >= since else 0
    scoped = known >= _SCOPES_SINCE
    wanted = _Ruleset(handled, 0, _ABSTRACT_SOCKETS | _SIGNALS if scoped else 0)
    size = ctypes.sizeof(_Ruleset) if scoped else ctypes.sizeof(ctypes.c_uint64)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(wanted), size, 0)
    try:
        for path, rights in rules:
            _allow(ruleset, path, rights & handled)
        _checked(_libc().prctl(_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(each) for each in (1, 0, 0, 0))))
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there, or behind a door that is closed anyway, needs no rule
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        beneath = _PathBeneath(rights, descriptor)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(beneath), 0)
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    libc = _libc()
    libc.syscall.restype = ctypes.c_long
    return _checked(libc.syscall(ctypes.c_long(number), *words))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
