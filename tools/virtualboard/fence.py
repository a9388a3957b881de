"""What keeps programs of the hosted engine from the rest of the machine. It is a fence, no wall.

Device code is Python in this process, and `().__class__` leads from it to everything that the process may do. So the
process itself gives up what a board does not need: secrets in its environment, descriptors of whoever started it, the
way to type into their terminal, memory and files without end, and, where the kernel has Landlock, all files but the
board's own. `docs/fence.md` says what holds where.

For processes that play one board and then end: nothing of this can be taken back.
"""

from __future__ import annotations

import ctypes
import os
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from virtualboard import landlock, terminal

try:
    import resource
except ImportError:  # Windows has none
    HAS_LIMITS = False
else:
    HAS_LIMITS = True

MEMORY_BYTES = 4 << 30
"""Address space: some ten times what a board with its web page maps."""
FILE_BYTES = 1 << 30
"""Size of a file that is written: a card of the virtual board has 256 MiB."""
OPEN_FILES = 1024
MORE_TASKS = 1024
"""Threads and processes of this user beyond those of the whole machine at the start. The kernel counts them by user, so
that a smaller number would stop the board when something else of the user's grows."""

_NAMES = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR",
    "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "WINDIR",
    "COMSPEC", "PATHEXT", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "MAIXPIX_CODE_CACHE", "MAIXPIX_DEBUG",
}  # fmt: skip
_KINDS = ("LC_", "PYTHON")

_scratch: list[tempfile.TemporaryDirectory[str]] = []  # goes with the process

_SYSTEM = (
    # Libraries, time zones and certificates, with the settings by which names are looked up. Not /etc: it holds keys.
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share", "/nix/store", "/etc/ld.so.cache",
    "/etc/localtime", "/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
    "/etc/services", "/etc/protocols", "/etc/mime.types", "/etc/ssl/openssl.cnf", "/etc/ssl/certs",
    "/etc/pki/tls/openssl.cnf", "/etc/crypto-policies", "/dev/urandom",
)  # fmt: skip


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What of `given` a board's process needs. A list of names, so that a secret which nobody thought of stays out."""
    return {name: value for name, value in given.items() if name.upper() in _NAMES or name.startswith(_KINDS)}


def open_output(path: Path) -> BinaryIO:
    """Open a file for what is written when the run has ended; until then it keeps what it holds."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "wb")


def enclose(reads: Iterable[Path], writes: Iterable[Path]) -> str:
    """Fence this process in; returns in a few words what could not be had, "" when everything holds.

    Besides Python's own folders and this source tree it can read what is at `reads` and below, and change what is at
    `writes` and below; what is not there yet stays out of reach. Temporary files go to a folder of its own from here
    on. Call it from the only thread: threads that there are already keep their rights.
    """
    _forget_environment()
    _close_inherited()
    terminal.let_go()
    limited = _limit()
    if not landlock.version():
        return "no Landlock" if limited else "no Landlock, no resource limits"
    outer, own = Path(tempfile.gettempdir()), _own_scratch()
    landlock.restrict(
        [
            *((path, landlock.READ) for path in (*_of_python(), *map(Path, _SYSTEM), *reads)),
            *((path, landlock.CHANGE) for path in (*writes, own)),
            (Path(os.devnull), landlock.READ_FILE | landlock.WRITE_FILE),
            # Who makes a temporary folder also has to remove it. This right removes no folder that holds anything.
            (outer, landlock.REMOVE_DIR),
        ]
    )
    return "" if threading.active_count() == 1 else "not for threads that ran before"


def _own_scratch() -> Path:
    _scratch.append(tempfile.TemporaryDirectory(prefix="maixpix-board-"))
    tempfile.tempdir = os.environ["TMPDIR"] = _scratch[-1].name
    return Path(tempfile.tempdir)


def _forget_environment() -> None:
    """Take everything else out of this process's environment, its first copy (/proc/self/environ) included."""
    kept = environment(os.environ)
    for name in [name for name in os.environ if name not in kept]:
        if sys.platform == "linux":
            _blot_out(os.fsencode(name))
        del os.environ[name]


def _blot_out(name: bytes) -> None:
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    value = getenv(name)
    if value:
        ctypes.memset(value, 0, len(ctypes.string_at(value)))


def _close_inherited() -> None:
    """Close what whoever started this process left open: Python's own descriptors are never inheritable."""
    listed = next((folder for folder in map(Path, ("/proc/self/fd", "/dev/fd")) if folder.is_dir()), None)
    for descriptor in [] if listed is None else [int(each.name) for each in listed.iterdir()]:
        try:
            if descriptor > 2 and os.get_inheritable(descriptor):
                os.close(descriptor)
        except OSError:
            continue  # the one by which the list itself was read


def _limit() -> bool:
    """Set the limits, never above those that hold already; whether the system took all of them."""
    if not HAS_LIMITS:
        return False
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: FILE_BYTES, resource.RLIMIT_NOFILE: OPEN_FILES}
    limits[resource.RLIMIT_AS] = MEMORY_BYTES
    if (tasks := _tasks()) is not None:
        limits[resource.RLIMIT_NPROC] = tasks + MORE_TASKS
    taken = [_lower(kind, value) for kind, value in limits.items()]
    return all(taken)


def _lower(kind: int, value: int) -> bool:
    most = resource.getrlimit(kind)[1]
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    try:
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError):  # macOS takes no limit of the address space that is in use already
        return False
    return True


def _tasks() -> int | None:
    """Threads on this machine, which are at least as many as this user's; None where Linux does not tell."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return None


def _of_python() -> list[Path]:
    """The interpreter, its libraries, what is installed for it, and this source tree.

    The current folder and the home folder are left out, though Python looks for modules in them when told to.
    """
    paths = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    kept_out = [Path(os.path.realpath(".")), Path(os.path.realpath(os.path.expanduser("~")))]  # noqa: PTH111  never fails
    for entry in filter(None, sys.path):
        whole = Path(entry).resolve()
        if not any(other.is_relative_to(whole) for other in kept_out):
            paths.add(whole)
    paths.add(Path(__file__).resolve().parent.parent)
    paths.update((Path(sys.base_prefix) / "lib", Path(sys.prefix) / "pyvenv.cfg", Path(sys.executable)))
    return sorted(paths)
