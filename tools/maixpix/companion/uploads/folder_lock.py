"""One companion per uploads folder: two would not see each other's limits and log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from maixpix.errors import UserError

if sys.platform != "win32":
    import fcntl


def lock_folder(folder: Path) -> BinaryIO:
    """Hold `folder` until the returned file is closed (or this program dies). Raises `UserError` when it is held.

    Windows keeps others from deleting an open file, but not from using the folder: there nothing is checked.
    """
    file = (folder / "lock").open("ab")
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise UserError(
                f"another companion receives into {folder.parent}", "stop it or name another --uploads folder"
            ) from None
    return file
