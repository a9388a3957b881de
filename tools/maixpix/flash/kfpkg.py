"""Flash packages (.kfpkg): a zip with flash-list.json and the binaries beside it.

kflash 1.1.6 rewrites the JSON text with a greedy pattern before parsing it, so only one shape is safe: every key on
a line of its own, the address a decimal number and not the last key. `write` produces exactly that; `parse` reads
what other tools produced too (hexadecimal addresses, one long line).
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from maixpix.errors import shorten

FLASH_SIZE = 16 * 1024 * 1024
LIST_NAME = "flash-list.json"
SECTOR = 4096

_MOST_LIST = 64 * 1024
_MOST_MEMBERS = 1000
_MOST_PARTS = 64
_PIECE = 256 * 1024
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NAMES = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd"}  # PKWARE APPNOTE 4.4.5

_BARE_HEX = re.compile(r'("address"\s*:\s*)"?(0[xX][0-9a-fA-F]+)"?')
_EPOCH = (2020, 1, 1, 0, 0, 0)


class PackageError(ValueError):
    """A package that is not well-formed; the text says what is wrong."""


@dataclass(frozen=True)
class Part:
    """One member: its bytes go to `address`; `program` adds the flash header and digest that the boot ROM checks."""

    address: int
    name: str
    data: bytes = field(repr=False)
    program: bool = False

    @property
    def end(self) -> int:
        """First address behind the part: a program is 5 + 32 bytes longer in flash than in its file."""
        return self.address + len(self.data) + (37 if self.program else 0)


def check_layout(parts: Sequence[Part]) -> None:
    """Raise PackageError when parts overlap, repeat a name, or leave the 16 MiB flash."""
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise PackageError(f"two parts are named {name}")
    for part in parts:
        if part.address < 0 or part.end > FLASH_SIZE:
            raise PackageError(f"{part.name} ends at 0x{part.end:X}, behind the 16 MiB flash")
    ordered = sorted(parts, key=lambda part: part.address)
    for first, second in pairwise(ordered):
        if first.end > second.address:
            raise PackageError(f"{first.name} reaches 0x{first.end:X}, over {second.name} at 0x{second.address:X}")


def build(parts: Sequence[Part]) -> bytes:
    """The package as bytes; the same parts always give the same bytes.

    Raises PackageError as `check_layout` does, and for addresses that are no multiple of 4096 (older flashing tools
    need that).
    """
    if not parts:
        raise PackageError("a package needs at least one part")
    for part in parts:
        if part.address % SECTOR:
            raise PackageError(f"{part.name}: address 0x{part.address:X} is no multiple of 0x{SECTOR:X}")
    check_layout(parts)
    files = [{"address": part.address, "bin": part.name, "sha256Prefix": part.program} for part in parts]
    text = json.dumps({"version": "0.1.0", "files": files}, indent=2)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(zipfile.ZipInfo(LIST_NAME, _EPOCH), text, zipfile.ZIP_DEFLATED)
        for part in parts:
            package.writestr(zipfile.ZipInfo(part.name, _EPOCH), part.data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def write(parts: Sequence[Part], path: Path) -> None:
    """Write the package to `path`; a file that was there is replaced only by a complete one."""
    data = build(parts)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def parse(data: bytes) -> list[Part]:
    """The parts of a package, checked.

    The list may stand in a folder with its files, as when the folder was zipped instead of what is in it, and may
    begin with a byte order mark. Raises PackageError, one line, for a missing or bad list, members that are missing,
    damaged, encrypted or packed by a rare method, and impossible layouts; zipfile.BadZipFile for what is no zip. Never
    unpacks more than the flash holds.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            members = _members(package)
            folder, listed = _list_of(package, members)
            entries = [_Entry.read(one) for one in listed]
            _check_sizes(entries, [members.get(folder + entry.name) for entry in entries])
            parts = [
                Part(entry.address, entry.name, _unpacked(package, members[folder + entry.name]), entry.program)
                for entry in entries
            ]
    except (NotImplementedError, EOFError, UnicodeDecodeError, ValueError, OverflowError, struct.error) as error:
        if isinstance(error, PackageError):
            raise
        raise PackageError(f"its zip structure is damaged ({type(error).__name__})") from None
    check_layout(parts)
    return parts


def _members(package: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Members by their path with forward slashes (some Windows tools write others)."""
    found = package.infolist()
    if len(found) > _MOST_MEMBERS:
        raise PackageError(f"it has {len(found):,} members, more than {_MOST_MEMBERS}")
    return {member.filename.replace("\\", "/"): member for member in found if not member.is_dir()}


def _list_of(package: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> tuple[str, list[Any]]:
    """(folder that the list is in, "" at the top; the entries of its "files")."""
    # macOS adds a shadow of each file in a folder of its own.
    places = [name for name in members if name.rpartition("/")[2] == LIST_NAME and not name.startswith("__MACOSX/")]
    if not places:
        raise PackageError(f"{LIST_NAME} is missing")
    if LIST_NAME not in members and len(places) > 1:
        raise PackageError(f"it has {len(places)} files {LIST_NAME}, none of them at its top")
    place = LIST_NAME if LIST_NAME in members else places[0]
    if members[place].file_size > _MOST_LIST:
        raise PackageError(f"{LIST_NAME} is larger than {_MOST_LIST // 1024} KiB")
    try:
        text = _unpacked(package, members[place]).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PackageError(f"{LIST_NAME} is not UTF-8 text") from None
    try:
        listed = json.loads(_BARE_HEX.sub(lambda hit: hit[1] + str(int(hit[2], 16)), text))
    except RecursionError:
        raise PackageError(f"{LIST_NAME} is nested too deeply") from None
    except ValueError as error:
        raise PackageError(f"{LIST_NAME} is not JSON ({error})") from None
    files = listed.get("files") if isinstance(listed, dict) else None
    if not isinstance(files, list) or not files:
        raise PackageError(f"{LIST_NAME} names no files")
    if len(files) > _MOST_PARTS:
        raise PackageError(f"{LIST_NAME} names {len(files):,} files, more than {_MOST_PARTS}")
    return place.removesuffix(LIST_NAME), files


@dataclass(frozen=True)
class _Entry:
    """One entry of the list."""

    address: int
    name: str
    program: bool

    @classmethod
    def read(cls, entry: object) -> _Entry:
        """`entry` as JSON gave it. Raises PackageError."""
        if not isinstance(entry, dict):
            raise PackageError(f"{LIST_NAME} has an entry that is no object")
        address, name, program = entry.get("address"), entry.get("bin"), entry.get("sha256Prefix")
        if isinstance(address, bool) or not isinstance(address, int):
            raise PackageError(f"address of {_shown(name)} is no number")
        if not isinstance(name, str) or not isinstance(program, bool):
            raise PackageError('an entry lacks "bin" or "sha256Prefix"')
        return cls(address, name, program)


def _check_sizes(entries: Sequence[_Entry], members: Sequence[zipfile.ZipInfo | None]) -> None:
    """Before anything is unpacked: every member is there, and all of them together fit the flash."""
    total = 0
    for entry, member in zip(entries, members, strict=True):
        if member is None:
            raise PackageError(f"{_shown(entry.name)} is listed but not inside")
        if member.file_size > FLASH_SIZE:
            raise PackageError(f"{_shown(entry.name)} is larger than the flash")
        total += member.file_size
    if total > FLASH_SIZE:
        raise PackageError(f"its files have {total:,} bytes, more than the flash")


def _unpacked(package: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    name = _shown(member.filename)
    if member.flag_bits & 1:
        raise PackageError(f"{name} is encrypted; take the package without a password")
    if member.compress_type not in _METHODS:
        # LZMA's window is as large as the file says, and kflash's users have no tool that writes the others.
        method = _NAMES.get(member.compress_type, f"method {member.compress_type}")
        raise PackageError(f"{name} is packed with {method}; pack it with deflate, the usual method of zip")
    out = io.BytesIO()  # hands its buffer over without a copy
    try:
        with package.open(member) as file:
            while piece := file.read(min(_PIECE, member.file_size + 1 - out.tell())):
                out.write(piece)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise PackageError(f"{name} is damaged ({error})") from None
    if out.tell() != member.file_size:
        raise PackageError(f"{name} is damaged ({out.tell():,} of {member.file_size:,} bytes)")
    return out.getvalue()


def _shown(name: object) -> str:
    return shorten(str(name), 40)
