"""What took long to compile, kept on the host's disk between runs: device code, and byte code for boards.

An entry is found by its key, a digest of all that it follows from. So no entry is ever wrong, and none needs to be
thrown away but to keep the folder small. Processes share the folder: an entry appears whole or not at all, and one that
is damaged counts as absent.

The folder is `MAIXPIX_CODE_CACHE` ("" switches the cache off), else `maixpix/code` in the user's cache folder. A folder
that cannot be made or is not this user's own is not used: what lies in it is run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

FOLDER_VARIABLE = "MAIXPIX_CODE_CACHE"

MOST_ENTRIES = 2000
"""Files that the folder keeps, some 10 kB each; beyond them the older half goes."""

_DIGEST = 32  # bytes of SHA-256 in front of an entry: who reads code trusts it


def kept(key: str, make: Callable[[], bytes]) -> bytes:
    """The entry `key`, made and kept when there is none. `key` is a file name; it tells all that decides the entry."""
    folder = cache_folder()
    if folder is None:
        return make()
    body = _read(folder / key)
    if body is None:
        body = make()
        # A full disk or a folder that went away costs time, nothing else.
        with contextlib.suppress(OSError):
            _write(folder / key, body)
    return body


def cache_folder() -> Path | None:
    """The folder of compiled code, made where there is none; None when there is to be no cache, or can be none."""
    return _made(os.environ.get(FOLDER_VARIABLE))


@cache
def _made(named: str | None) -> Path | None:
    if named == "":
        return None
    try:
        folder = Path(named) if named else _user_cache() / "maixpix" / "code"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owned = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except (OSError, RuntimeError):  # no right to write there; a user without a home
        return None
    return folder if owned and os.access(folder, os.W_OK) else None


def _user_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if os.name == "nt" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _read(path: Path) -> bytes | None:
    try:
        entry = path.read_bytes()
    except OSError:
        return None
    body = entry[_DIGEST:]
    return body if hashlib.sha256(body).digest() == entry[:_DIGEST] else None


def _write(path: Path, body: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _thin_out(path.parent)


def _thin_out(folder: Path) -> None:
    """Keep the newer half when there are more than `MOST_ENTRIES` files; other processes may do so at the same time."""
    with os.scandir(folder) as entries:
        names = [entry.path for entry in entries]
    if len(names) <= MOST_ENTRIES:
        return
    ages = []
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            ages.append((Path(name).stat().st_mtime_ns, name))
    for _, name in sorted(ages)[: len(ages) // 2]:
        Path(name).unlink(missing_ok=True)
