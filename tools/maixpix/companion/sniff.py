"""What a file is, by its first bytes, and whether its end is there: senders' names and types are not believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES = 64
TAIL_BYTES = 4096


@dataclass(frozen=True)
class Kind:
    """One recognised file type; `is_whole(size, head, tail)` is false when its own structure shows bytes missing."""

    media_type: str
    suffix: str
    other_suffixes: tuple[str, ...] = ()
    is_whole: Callable[[int, bytes, bytes], bool] = lambda size, head, tail: True


def _jpeg_whole(size: int, head: bytes, tail: bytes) -> bool:
    # Some cameras pad behind the end marker, so it need not be the last thing.
    return b"\xff\xd9" in tail


def _png_whole(size: int, head: bytes, tail: bytes) -> bool:
    return b"IEND\xaeB`\x82" in tail


def _gif_whole(size: int, head: bytes, tail: bytes) -> bool:
    return tail.rstrip(b"\x00").endswith(b";")


def _riff_whole(size: int, head: bytes, tail: bytes) -> bool:
    return size >= 8 + int.from_bytes(head[4:8], "little")


def _bmp_whole(size: int, head: bytes, tail: bytes) -> bool:
    return size >= int.from_bytes(head[2:6], "little")


def recognise(head: bytes) -> Kind | None:
    """The kind of a file that begins with `head` (its first 64 bytes, or all of a shorter one)."""
    if head[:3] == b"\xff\xd8\xff":
        return Kind("image/jpeg", ".jpg", (".jpeg", ".jpe", ".jfif"), _jpeg_whole)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return Kind("image/png", ".png", (), _png_whole)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return Kind("image/gif", ".gif", (), _gif_whole)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind("image/webp", ".webp", (), _riff_whole)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Kind("video/x-msvideo", ".avi", (), _riff_whole)
    if (
        head[:2] == b"BM"
        and len(head) >= 26
        and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)
    ):
        return Kind("image/bmp", ".bmp", (".dib",), _bmp_whole)
    if head[:4] in (b"II*\x00", b"MM\x00*"):
        return Kind("image/tiff", ".tif", (".tiff",))
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return Kind("image/avif", ".avif")
    if head[:12] == b"\x00\x00\x00\x0cjP  \r\n\x87\n":
        return Kind("image/jp2", ".jp2")
    if head[:4] == b"qoif":
        return Kind("image/qoi", ".qoi")
    return None


def media_type_of(head: bytes) -> str | None:
    """Media type of a picture that begins with `head`; None for everything else."""
    kind = recognise(head)
    return kind.media_type if kind and kind.media_type.startswith("image/") else None
