"""The folder of pictures: what is listed, and how a name from outside becomes a file inside.

A name is a relative path with forward slashes. Whatever a request says, the file that is opened lies inside the folder
after all symbolic links are followed, is a regular file, is not hidden and has the suffix of a picture.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from maixpix.companion.problems import Refused
from maixpix.names import DEVICE_NAMES

MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".jfif": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".hif": "image/heif",
    ".mpo": "image/jpeg",
    ".jp2": "image/jp2",
    ".tga": "image/x-tga",
    ".ppm": "image/x-portable-pixmap",
    ".pgm": "image/x-portable-graymap",
    ".pbm": "image/x-portable-bitmap",
    ".pcx": "image/x-pcx",
    ".ico": "image/vnd.microsoft.icon",
    ".qoi": "image/qoi",
}
"""Suffixes that are taken for pictures, with their media types."""

_MAX_DEPTH = 8
_MAX_DIGESTS = 4096
_MAX_LEFT_OUT = 200
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
"""What no file name has on Windows, or what leads elsewhere there."""


@dataclass(frozen=True)
class Picture:
    """One file of the folder as it was when it was looked at; `modified` in ns since 1970."""

    name: str
    path: Path
    size: int
    modified: int

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.path.suffix.lower()]

    @property
    def identity(self) -> str:
        """Changes whenever the file was replaced or written."""
        return f"{self.path}\0{self.size}\0{self.modified}"


@dataclass(frozen=True)
class LeftOut:
    """A file of the folder that is not given out, and why; `passing` if that may end without a trace in its folder."""

    name: str
    reason: str
    passing: bool = False


Kinds = list[tuple[str, bool, bool]]
"""A folder's entries in the system's order: name, whether it is a folder, whether it is a link."""


@dataclass(frozen=True)
class _Survey:
    """What was found, with what shows that nothing was added, removed or renamed since."""

    folders: dict[Path, Kinds]
    pictures: list[Picture]
    left_out: list[LeftOut]
    unsure: bool
    """Something may change without a trace in its folder: a link's end, a right to read."""


class PictureFolder:
    """The pictures below `root`; `limit` bounds how many are listed."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root.resolve()
        self.limit = limit
        self._surveyed: _Survey | None = None
        self._digests: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def list(self) -> list[Picture]:
        """Pictures in the order of their names, at most `limit` of them."""
        return self.survey()[0]

    def survey(self) -> tuple[list[Picture], list[LeftOut]]:
        """The same, and what is left out (at most 200 of it).

        Names are judged and put in order once; as long as all folders hold the same entries, only sizes and times are
        looked at again.
        """
        before = self._surveyed
        again = None if before is None else self._again(before)
        self._surveyed = survey = again or self._anew()
        return list(survey.pictures), list(survey.left_out)

    def _again(self, before: _Survey) -> _Survey | None:
        """`before` with the files as they are now; None when more than their contents may have changed."""
        if before.unsure:
            return None
        try:
            if any(_kinds(folder) != kinds for folder, kinds in before.folders.items()):
                return None
            pictures = []
            for picture in before.pictures:
                status = picture.path.lstat()
                if not stat.S_ISREG(status.st_mode):
                    return None
                if (status.st_size, status.st_mtime_ns) != (picture.size, picture.modified):
                    picture = Picture(picture.name, picture.path, status.st_size, status.st_mtime_ns)
                pictures.append(picture)
        except OSError:
            return None
        return replace(before, pictures=pictures)

    def _anew(self) -> _Survey:
        found: list[Picture] = []
        left_out: list[LeftOut] = []
        folders: dict[Path, Kinds] = {}
        unsure = False
        for entry in self._walk(self.root, "", 0, folders):
            if isinstance(entry, LeftOut):
                unsure |= entry.passing
                if len(left_out) < _MAX_LEFT_OUT:
                    left_out.append(entry)
            elif len(found) < self.limit:
                found.append(entry)
            else:
                left_out.append(LeftOut(entry.name, f"only {self.limit} pictures are given out"))
                break
        found.sort(key=lambda picture: _natural(picture.name))
        unsure |= any(is_link for kinds in folders.values() for _, _, is_link in kinds)
        return _Survey(folders, found, left_out, unsure)

    def find(self, name: str) -> Picture:
        """The picture called `name`; raises `Refused` (404) for whatever does not name one inside the folder."""
        parts = name.split("/")
        if not all(_is_plain(part) for part in parts) or len(parts) > _MAX_DEPTH + 1:
            raise _not_found(name)
        picture = self._look(self.root.joinpath(*parts), name)
        if picture is None:
            raise _not_found(name)
        return picture

    def digest(self, picture: Picture) -> bytes:
        """SHA-256 of the file, remembered as long as it does not change. Reads the file: call it in a thread."""
        with self._lock:
            if (known := self._digests.get(picture.identity)) is not None:
                self._digests.move_to_end(picture.identity)
                return known
        sha = hashlib.sha256()
        with picture.path.open("rb") as file:
            while piece := file.read(256 * 1024):
                sha.update(piece)
        with self._lock:
            self._digests[picture.identity] = sha.digest()
            while len(self._digests) > _MAX_DIGESTS:
                self._digests.popitem(last=False)
        return sha.digest()

    def _walk(self, folder: Path, prefix: str, depth: int, folders: dict[Path, Kinds]) -> Iterator[Picture | LeftOut]:
        try:
            with os.scandir(folder) as scan:
                listed = list(scan)
        except OSError as error:
            yield LeftOut(prefix or "the folder", f"it cannot be read ({error.strerror})", passing=True)
            return
        folders[folder] = [_kind(entry) for entry in listed]
        entries = sorted(listed, key=lambda entry: entry.name)
        for entry in entries:
            name = prefix + entry.name
            if (why_not := _why_not(entry.name)) is not None:
                yield LeftOut(name, why_not)
            # Links to folders are not followed: they can lead round in circles.
            elif entry.is_dir(follow_symlinks=False):
                if depth < _MAX_DEPTH:
                    yield from self._walk(Path(entry.path), name + "/", depth + 1, folders)
                else:
                    yield LeftOut(name, f"folders are looked into {_MAX_DEPTH} deep")
            elif (picture := self._look_at(entry, name)) is not None:
                yield picture
            elif os.path.splitext(entry.name)[1].lower() in MEDIA_TYPES:  # noqa: PTH122
                yield LeftOut(name, "it is no plain file inside of the folder", passing=True)
            else:
                yield LeftOut(name, "its name is not that of a picture")

    def _look_at(self, entry: os.DirEntry[str], name: str) -> Picture | None:
        """The same as `_look`, without following the whole path again where there is no link."""
        if entry.is_symlink():
            return self._look(Path(entry.path), name)
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode) or os.path.splitext(entry.name)[1].lower() not in MEDIA_TYPES:  # noqa: PTH122
            return None
        return Picture(name, Path(entry.path), status.st_size, status.st_mtime_ns)

    def _look(self, path: Path, name: str) -> Picture | None:
        try:
            real = path.resolve(strict=True)
            inside = real.relative_to(self.root)
            status = real.stat()
        except (OSError, ValueError, RuntimeError):
            return None
        if not all(_is_plain(part) for part in inside.parts):
            return None
        if not stat.S_ISREG(status.st_mode) or real.suffix.lower() not in MEDIA_TYPES:
            return None
        return Picture(name, real, status.st_size, status.st_mtime_ns)


def _kinds(folder: Path) -> Kinds:
    """The folder as `_Survey` keeps it. Raises `OSError`."""
    with os.scandir(folder) as scan:
        return [_kind(entry) for entry in scan]


def _kind(entry: os.DirEntry[str]) -> tuple[str, bool, bool]:
    return entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink()


def picture_url(picture: Picture) -> str:
    """Path and query-free URL of a picture, relative to the server."""
    return "/pictures/" + quote(picture.name)


def _is_plain(part: str) -> bool:
    """True for one visible path component that names a file on this system."""
    return _why_not(part) is None


def _why_not(part: str) -> str | None:
    """Why a path component names nothing that is given out; None when it may."""
    if part.startswith("."):
        return "hidden files stay hidden"
    if not part or "/" in part or "\0" in part or len(part) > 255:
        return "its name cannot be asked for"
    try:
        part.encode()
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    if sys.platform == "win32" and (
        _FORBIDDEN.search(part) or part != part.rstrip(" .") or part.split(".")[0].rstrip().lower() in DEVICE_NAMES
    ):
        return "its name means something else to Windows"
    return None


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts shot9 before shot10."""
    pieces = re.split(r"([0-9]{1,18})", name.casefold())
    return [(0, int(piece), "") if index % 2 else (1, 0, piece) for index, piece in enumerate(pieces)]


def _not_found(name: str) -> Refused:
    shown = name if len(name) <= 60 else name[:57] + "..."
    return Refused(404, "not-found", f"there is no picture {shown!r} here", "see / for the list")
