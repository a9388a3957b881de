"""What the emulated chip of a demo starts with: a flash that has been booted from.

MaixPy formats its flash at the first start, which takes 1.5 s of the board's time and as long on the host. What it
becomes follows from the image and the emulation alone and is kept between runs (`virtualboard.cache`).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

import virtualboard
from virtualboard.cache import kept

_KIND = "chip"
_MOST_ENTRIES = 40
"""Entries kept, of 0.2 to 1 MB each; beyond them the older half goes."""


def started_flash(firmware: Path, first_start: str, start: Callable[[], bytes]) -> bytes:
    """The flash's contents after the first start of `firmware`, at whose prompt the program `first_start` was run.

    `start` does it and returns them; it is called when no earlier demo has.
    """
    digest = hashlib.sha256()
    for path in sorted((Path(virtualboard.__file__).parent / "k210").glob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(hashlib.sha256(firmware.read_bytes()).digest() + first_start.encode())
    return zlib.decompress(kept(digest.hexdigest(), lambda: zlib.compress(start(), 1), _KIND, _MOST_ENTRIES))
