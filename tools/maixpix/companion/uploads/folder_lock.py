"""One companion per uploads folder, on every system: two would not see each other's limits and log."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from maixpix.errors import UserError


def lock_folder(folder: Path) -> FileLock:
    """Hold `folder` until the returned lock is released (or this program dies). Raises `UserError` when it is held."""
    lock = FileLock(folder / "lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another companion receives into {folder.parent}", "stop it or name another --uploads folder"
        ) from None
    return lock
