"""Device code that was compiled before, kept on the host's disk: checking and changing its syntax tree costs more than
all the rest of a board's start.

An entry is found by its content: the source, its file name, mode and step cost, and the text of the modules that
transform it. So no entry is ever wrong, and none needs to be thrown away but to keep the folder small. Processes share
the folder: an entry appears whole or not at all, and one that is damaged counts as absent.

The folder is `MAIXPIX_CODE_CACHE` ("" switches the cache off), else `maixpix/code` in the user's cache folder. A folder
that cannot be made or is not this user's own is not used: what lies in it is run.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import marshal
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import CodeType

from virtualboard.hosted import dialect, program
from virtualboard.hosted.program import compile_device

FOLDER_VARIABLE = "MAIXPIX_CODE_CACHE"

SMALLEST = 512
"""Bytes of source below which compiling is as quick as looking up: what is typed at a prompt."""

MOST_ENTRIES = 2000
"""Files that the folder keeps, some 10 kB each; beyond them the older half goes."""

_DIGEST = 32  # bytes of SHA-256 in front of the code: marshal trusts what it reads


def compiled(source: str | bytes, filename: str, mode: str, node_cost: int) -> CodeType:
    """`compile_device`, from the cache where it can be. SyntaxError as there."""
    text = source.encode() if isinstance(source, str) else source
    folder = cache_folder() if len(text) >= SMALLEST else None
    if folder is None:
        return compile_device(source, filename, mode, node_cost)
    path = folder / _key(text, filename, mode, node_cost)
    code = _read(path)
    if code is None:
        code = compile_device(source, filename, mode, node_cost)
        # A full disk or a folder that went away costs time, nothing else.
        with contextlib.suppress(OSError):
            _write(path, code)
    return code


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


@cache
def _transformer() -> bytes:
    """Digest of what decides what a source becomes: this Python's byte code, and the modules that transform."""
    digest = hashlib.sha256(importlib.util.MAGIC_NUMBER + sys.version.encode())
    for module in (program, dialect):
        digest.update(Path(module.__file__).read_bytes())
    return digest.digest()


def _key(text: bytes, filename: str, mode: str, node_cost: int) -> str:
    head = repr((filename, mode, node_cost)).encode()
    return hashlib.sha256(_transformer() + hashlib.sha256(head).digest() + text).hexdigest()


def _read(path: Path) -> CodeType | None:
    try:
        entry = path.read_bytes()
    except OSError:
        return None
    body = entry[_DIGEST:]
    if hashlib.sha256(body).digest() != entry[:_DIGEST]:
        return None
    code = marshal.loads(body)
    return code if isinstance(code, CodeType) else None


def _write(path: Path, code: CodeType) -> None:
    body = marshal.dumps(code)
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
