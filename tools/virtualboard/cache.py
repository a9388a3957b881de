"""What was worked out before, kept on the host's disk: found by the digest of all that it was made of.

So no entry is ever wrong, and none needs to be thrown away but to keep a folder small. Processes share the folders: an
entry appears whole or not at all, and one that is damaged counts as absent.

A kind of things has a folder of its own: `MAIXPIX_CODE_CACHE` ("" switches all caches off) is that of compiled code,
and the others lie beside it as NAME-KIND; without it they are `maixpix/KIND` in the user's cache folder. A folder that
cannot be made or is not this user's own is not used: what lies in it is run.
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

CODE = "code"
PICTURES = "pictures"

MOST_ENTRIES = 4000
"""Files that a folder keeps unless told otherwise: code has some 6 kB each. Beyond them the older half goes."""

_DIGEST = 32  # bytes of SHA-256 in front of an entry: who reads code trusts it


def kept(key: str, make: Callable[[], bytes], kind: str = CODE, most: int = MOST_ENTRIES) -> bytes:
    """The entry `key` of `kind`, made and kept when there is none. `key` is a file name; it tells all that decides the
    entry. The folder is to hold at most `most` entries."""
    folder = cache_folder(kind)
    if folder is None:
        return make()
    body = _read(folder / key)
    if body is None:
        body = make()
        # A full disk or a folder that went away costs the next run time, nothing else.
        with contextlib.suppress(OSError):
            _write(folder / key, body)
            _thin_out(folder, most)
    return body


def cache_folder(kind: str = CODE) -> Path | None:
    """The folder of `kind`, made where there is none; None when there is to be no cache, or can be none."""
    return _made(kind, os.environ.get(FOLDER_VARIABLE))


@cache
def _made(kind: str, named: str | None) -> Path | None:
    if named == "":
        return None
    try:
        if named is None:
            folder = _user_cache() / "maixpix" / kind
        else:
            folder = Path(named) if kind == CODE else Path(f"{named}-{kind}")
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


def _thin_out(folder: Path, most: int) -> None:
    """Keep the newer half when there are more than `most` files; other processes may do so at the same time."""
    with os.scandir(folder) as entries:
        names = [entry.path for entry in entries]
    if len(names) <= most:
        return
    ages = []
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            ages.append((Path(name).stat().st_mtime_ns, name))
    for _, name in sorted(ages)[: len(ages) // 2]:
        Path(name).unlink(missing_ok=True)
