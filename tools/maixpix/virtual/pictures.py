"""Pictures that people name for a virtual board: what its camera sees, and where its panel goes."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from maixpix.errors import UserError

_NAME = "name a picture file or a folder of pictures"


def require_pictures(path: Path) -> None:
    """Raise UserError unless Pillow reads the file `path`, or at least one file of the folder `path`."""
    if not path.exists():
        raise UserError(f"there is no picture {path}", _NAME)
    if path.is_dir():
        if not any(_is_picture(file) for file in sorted(path.iterdir()) if file.is_file()):
            raise UserError(f"there is no picture in the folder {path}", _NAME)
    elif not _is_picture(path):
        raise UserError(f"{path} is no picture", _NAME)


def format_of(path: Path) -> str:
    """The kind of picture that the name of `path` promises, PNG without a suffix. Raises UserError for what is none."""
    if not path.suffix:
        return "PNG"
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise UserError(f"{path.name}: no picture can be kept as {path.suffix}", "name it .png or .jpg")
    return kind


def keep_as(png: bytes, path: Path) -> int:
    """Write the picture `png` to `path` in the format of its name; returns the bytes written. Raises UserError."""
    kind, out = format_of(path), io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").save(out, format=kind)
    data = png if kind == "PNG" else out.getvalue()
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "choose another place") from None
    return len(data)


def _is_picture(path: Path) -> bool:
    try:
        with Image.open(path):
            return True
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
