"""What the emulated chip of a demo starts with: the byte code of `pix`, and a flash that has been booted from.

MaixPy formats its flash at the first start, which takes 1.5 s of the board's time and as long on the host; byte code is
made by one process a file. Both follow from their sources alone and are kept between runs (`virtualboard.cache`).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import virtualboard
from maixpix.board import bundle
from virtualboard.cache import cache_folder, read, write

_KIND = "chip"
_MOST_ENTRIES = 40
"""Entries kept, of 0.2 to 1 MB each; beyond them the older half goes."""


def byte_code() -> Mapping[str, bytes]:
    """`pix` as `maixpix deploy` sends it, see `bundle.pix_files`. UserError for a file that does not compile."""
    sources = sorted((bundle.source_root() / "firmware" / "pix").glob("*.py"))
    made_of = [Path(bundle.__file__).read_bytes(), (bundle.compiler() or "").encode()]
    for path in sources:
        made_of += [path.name.encode(), path.read_bytes()]

    def make() -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, data in bundle.pix_files().items():
                archive.writestr(name, data)
        return packed.getvalue()

    with zipfile.ZipFile(io.BytesIO(_kept(made_of, make))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def started_flash(firmware: Path, first_start: str, start: Callable[[], bytes]) -> bytes:
    """The flash's contents after the first start of `firmware`, at whose prompt the program `first_start` was run.

    `start` does it and returns them; it is called when no earlier demo has.
    """
    chip = [path.read_bytes() for path in sorted((Path(virtualboard.__file__).parent / "k210").glob("*.py"))]
    made_of = [*chip, firmware.read_bytes(), first_start.encode()]
    return zlib.decompress(_kept(made_of, lambda: zlib.compress(start(), 1)))


def _kept(made_of: list[bytes], make: Callable[[], bytes]) -> bytes:
    folder = cache_folder(_KIND)
    if folder is None:
        return make()
    path = folder / hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in made_of)).hexdigest()
    body = read(path)
    if body is None:
        body = make()
        write(path, body, _MOST_ENTRIES)
    return body
