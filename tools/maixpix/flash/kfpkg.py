"""Flash packages (.kfpkg): a zip with flash-list.json and the binaries beside it.

kflash 1.1.6 rewrites the JSON text with a greedy pattern before parsing it, so only one shape is safe: every key on
a line of its own, the address a decimal number and not the last key. `write` produces exactly that; `parse` reads
what other tools produced too (hexadecimal addresses, one long line).
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

FLASH_SIZE = 16 * 1024 * 1024
LIST_NAME = "flash-list.json"
SECTOR = 4096

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

    Raises PackageError for a missing or bad list, missing or damaged members and impossible layouts, and
    zipfile.BadZipFile when it is no zip at all.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        try:
            text = package.read(LIST_NAME).decode("utf-8")
        except KeyError:
            raise PackageError(f"{LIST_NAME} is missing") from None
        except UnicodeDecodeError:
            raise PackageError(f"{LIST_NAME} is not UTF-8 text") from None
        try:
            listed = json.loads(_BARE_HEX.sub(lambda hit: hit[1] + str(int(hit[2], 16)), text))
        except ValueError as error:
            raise PackageError(f"{LIST_NAME} is not JSON ({error})") from None
        files = listed.get("files") if isinstance(listed, dict) else None
        if not isinstance(files, list) or not files:
            raise PackageError(f"{LIST_NAME} names no files")
        parts = [_part(entry, package) for entry in files]
    check_layout(parts)
    return parts


def _part(entry: object, package: zipfile.ZipFile) -> Part:
    if not isinstance(entry, dict):
        raise PackageError(f"{LIST_NAME} has an entry that is no object")
    address, name, program = entry.get("address"), entry.get("bin"), entry.get("sha256Prefix")
    if isinstance(address, bool) or not isinstance(address, int):
        raise PackageError(f"address of {name} is no number")
    if not isinstance(name, str) or not isinstance(program, bool):
        raise PackageError('an entry lacks "bin" or "sha256Prefix"')
    try:
        if package.getinfo(name).file_size > FLASH_SIZE:
            raise PackageError(f"{name} is larger than the flash")
        data = package.read(name)
    except KeyError:
        raise PackageError(f"{name} is listed but not inside") from None
    except (zipfile.BadZipFile, zlib.error) as error:
        raise PackageError(f"{name} is damaged ({error})") from None
    return Part(address, name, data, program)
