"""What a file is, by its first bytes: senders' names and types are not believed."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

HEAD_BYTES = 64


@dataclass(frozen=True)
class Kind:
    """One recognised file type; `decoder` is Pillow's name of the one that reads it, "" for what is no picture."""

    media_type: str
    suffix: str
    other_suffixes: tuple[str, ...] = ()
    decoder: str = ""


_JPEG = Kind("image/jpeg", ".jpg", (".jpeg", ".jpe", ".jfif", ".mpo"), "JPEG")
_PNG = Kind("image/png", ".png", (), "PNG")
_GIF = Kind("image/gif", ".gif", (), "GIF")
_WEBP = Kind("image/webp", ".webp", (), "WEBP")
_BMP = Kind("image/bmp", ".bmp", (".dib",), "BMP")
_TIFF = Kind("image/tiff", ".tif", (".tiff",), "TIFF")
_AVIF = Kind("image/avif", ".avif", (), "AVIF")
_HEIC = Kind("image/heic", ".heic", (".heif", ".hif"), "HEIF")
_AVI = Kind("video/x-msvideo", ".avi")
_JP2 = Kind("image/jp2", ".jp2", (".j2k",))
_QOI = Kind("image/qoi", ".qoi")

_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@dataclass(frozen=True)
class More:
    """A format that is read only when asked for: its decoder is slow, old, or unpacks little into much."""

    title: str
    decoder: str
    magic: re.Pattern[bytes]


MORE_FORMATS = {
    "jp2": More("JPEG 2000", "JPEG2000", re.compile(rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")),
    "qoi": More("QOI", "QOI", re.compile(rb"qoif")),
    "ppm": More("PPM", "PPM", re.compile(rb"P[1-6fF][ \t\r\n#]")),
    "pcx": More("PCX", "PCX", re.compile(rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]")),
    "ico": More("ICO", "ICO", re.compile(rb"\x00\x00\x01\x00[^\x00]")),
    # It has no mark of its own: a header that makes sense must do.
    "tga": More(
        "TGA", "TGA", re.compile(rb".[\x00\x01][\x01-\x03\x09-\x0b].{13}[\x08\x0f\x10\x18\x20][\x00-\x3f]", re.DOTALL)
    ),
}
"""By the names that `maixpix serve --also-read` takes."""


def recognise(head: bytes) -> Kind | None:
    """The kind of a file that begins with `head` (its first 64 bytes, or all of a shorter one)."""
    if head[:3] == b"\xff\xd8\xff":
        return _JPEG
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return _PNG
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return _GIF
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"AVI "):
        return _WEBP if head[8:12] == b"WEBP" else _AVI
    if head[:2] == b"BM" and len(head) >= 26 and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return _BMP
    if head[:4] in (b"II*\x00", b"MM\x00*"):
        return _TIFF
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if MORE_FORMATS["jp2"].magic.match(head):
        return _JP2
    if head[:4] == b"qoif":
        return _QOI
    return None


def _of_brands(head: bytes) -> Kind | None:
    """HEIC or AVIF, by the first brand in the file type box that says which (ISO/IEC 14496-12 section 4.3)."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    if b"avif" in brands or b"avis" in brands:
        return _AVIF
    return _HEIC if any(brand in _HEIC_BRANDS for brand in brands) else None


def media_type_of(head: bytes) -> str | None:
    """Media type of a picture that begins with `head`; None for everything else."""
    kind = recognise(head)
    return kind.media_type if kind and kind.media_type.startswith("image/") else None


def name_of(head: bytes) -> str:
    """Which of `MORE_FORMATS` begins with `head`, "" for none."""
    return next((name for name, more in MORE_FORMATS.items() if more.magic.match(head)), "")


def picture_format(head: bytes, also: Collection[str] = ()) -> str | None:
    """Pillow's name of the decoder for a file that begins with `head`; None when it is no picture that is read."""
    kind = recognise(head)
    if kind is not None and kind.decoder:
        return kind.decoder
    name = name_of(head)
    return MORE_FORMATS[name].decoder if name in also else None
