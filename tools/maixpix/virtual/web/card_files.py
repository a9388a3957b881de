"""The card's folder for the page: what is listed of it, and which file a request may have. Blocks: for threads."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

from aiohttp import web

_FILES = 2000


def listing(folder: Path) -> tuple[list[dict[str, Any]], bool]:
    """Files below `folder` by name, at most `_FILES`; and whether there are more."""
    files: list[dict[str, Any]] = []
    waiting = [folder]
    while waiting:
        try:
            entries = sorted(waiting.pop().iterdir())
        except OSError:  # it has been removed meanwhile, or may not be read
            continue
        for entry in entries:
            try:
                status = entry.lstat()
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                waiting.append(entry)
            elif stat.S_ISREG(status.st_mode):
                if len(files) >= _FILES:
                    return files, True
                files.append({"path": entry.relative_to(folder).as_posix(), "size": status.st_size})
    return sorted(files, key=lambda file: file["path"]), False


def inside(folder: Path | None, name: str) -> Path | None:
    """The file `name` of the card, or None when it is none, or lies elsewhere."""
    if folder is None or "\0" in name:
        return None
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # RuntimeError: links that lead round in a circle
        return None


def sized(path: Path) -> tuple[int, bytes]:
    """Bytes of a file, and their SHA-256."""
    sha, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(256 * 1024):
                sha.update(piece)
                size += len(piece)
    except OSError as error:
        raise web.HTTPNotFound(text=f"the file cannot be read ({error.strerror})\n") from None
    return size, sha.digest()
