"""Recognise what a file is before it is written to a K210's flash.

Facts used here:

* A flashed program is one flag byte, a 32-bit length n, n bytes of payload and the SHA-256 of all that
  (kflash 1.1.6, `flash_firmware`; the boot ROM checks it). Files as published carry the payload only.
* Programs made with Kendryte's SDK begin with a jump followed by the bytes EF BE AD DE (Kendryte SDK, crt.S).
* The same start-up code loads gp with `la`; gp lies 2048 bytes behind the start of .sdata, which is the last
  section stored in the file (Kendryte SDK, kendryte.ld). A file that ends before .sdata begins was cut.
* MaixPy carries its version as "MicroPython v0.6.2-44-gd9dc6c58c on 2021-03-30; ... with kendryte-k210".
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from maixpix.errors import UserError
from maixpix.flash import kfpkg

MAX_FILE = 16 * 1024 * 1024
FIRMWARE_LIMIT = 0x300000

_HEADER = 5
_DIGEST = 32
_SDK_MARK = b"\xef\xbe\xad\xde"
_GP_BEHIND_SDATA = 0x800
_VERSION = re.compile(rb"MicroPython (v?[0-9][\w.\-]*) on (\d{4}-\d\d-\d\d); ([\x20-\x7e]{1,60}?) with kendryte-k210")
_GET_MAIXPY = "download one with `maixpix firmware get` or from Sipeed's download site"

# Wrong files that people really try, by their first bytes.
_STRANGERS = (
    (b"\x7fELF", "is an ELF program, not a flash image", "use the .bin file that was built beside it"),
    (b"\xe9", "looks like firmware of an ESP chip", "the K210 needs a MaixPy .bin"),
    (b"7z\xbc\xaf", "is a 7z archive", "unpack it and take the .bin inside"),
    (b"\x1f\x8b", "is a gzip archive", "unpack it and take the .bin inside"),
    (b"\x89PNG", "is a PNG picture", _GET_MAIXPY),
    (b"\xff\xd8\xff", "is a JPEG picture", _GET_MAIXPY),
    (b"UF2\n", "is a UF2 file of another chip", _GET_MAIXPY),
)


@dataclass(frozen=True)
class Image:
    """What a file is.

    `kind` is "maixpy", "k210" (another program for the chip), "kmodel" (a neural network), "kfpkg" (a package) or
    "data". `size` is that of the file in bytes. `headed` tells that the flash header and its digest are already
    there. `version`, `date` and `machine` are filled for MaixPy, `build` is "minimum", "openmv" or "full", each perhaps
    " with LVGL", `threads` whether `_thread` is built in. `parts` lists the contents of a package.
    """

    path: Path
    kind: str
    size: int
    sha256: str
    headed: bool = False
    version: str = ""
    date: str = ""
    machine: str = ""
    build: str = ""
    threads: bool = False
    parts: tuple[kfpkg.Part, ...] = ()

    @property
    def bootable(self) -> bool:
        """True when it may stand at address 0."""
        return self.kind in ("maixpy", "k210")

    @property
    def title(self) -> str:
        """One line for people."""
        size = f"{self.size:,} bytes"
        if self.kind == "maixpy":
            threads = "with threads" if self.threads else "without threads"
            return f"MaixPy {self.version} of {self.date}, {self.build} build {threads}, for {self.machine}, {size}"
        if self.kind == "k210":
            return f"K210 program that is not MaixPy, {size}"
        if self.kind == "kmodel":
            return f"neural network for the KPU (kmodel), {size}"
        if self.kind == "kfpkg":
            inside = ", ".join(f"{part.name} at 0x{part.address:X}" for part in self.parts)
            return f"flash package of {len(self.parts)}: {inside}, {size}"
        return f"data, {size}"


def identify(path: Path) -> Image:
    """Tell what the file at `path` is.

    Raises UserError when it cannot be read, is empty, truncated, damaged, or plainly something else. Unknown binary
    contents are returned as kind "data": they may be flashed at an address, never as firmware.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise UserError(f"{path} is a folder", "name the firmware file in it")
        if size > MAX_FILE:
            raise UserError(f"{path} has {size:,} bytes, more than the board's 16 MiB flash", _GET_MAIXPY)
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no file {path}", "check the name, or " + _GET_MAIXPY) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the file's permissions") from None
    return identify_bytes(data, path)


def identify_bytes(data: bytes, path: Path) -> Image:
    """As `identify`, for contents already in memory; `path` is only used in messages."""
    name = path.name
    if not data:
        raise UserError(f"{name} is empty", "download it again")
    digest = hashlib.sha256(data).hexdigest()
    if data[:2] == b"PK":
        return _package(data, path, digest)
    payload, headed = _without_header(data, name)
    if payload[2:6] == _SDK_MARK:
        return _program(payload, path, len(data), digest, headed)
    _refuse_strangers(data, name)
    if data[:4] == b"KMDL" or (data[:4] == b"\x03\x00\x00\x00" and len(data) > 32):
        return Image(path, "kmodel", len(data), digest)
    if _VERSION.search(data):
        raise UserError(f"{name} holds MaixPy but does not begin like a program", "download it again")
    if headed:
        # A valid header and digest is what the ROM asks for; programs without the SDK's start-up code boot too.
        return Image(path, "k210", len(data), digest, headed=True)
    return Image(path, "data", len(data), digest)


def require_firmware(image: Image) -> None:
    """Raise UserError unless `image` can boot at address 0 and fits below the models' region."""
    name = image.path.name
    if image.kind == "kmodel":
        raise UserError(
            f"{name} is a model, not firmware", f"give it an address beside a firmware: FIRMWARE {name}@0x300000"
        )
    if not image.bootable:
        raise _no_firmware(image)
    if image.size > FIRMWARE_LIMIT:
        raise UserError(
            f"{name} has {image.size:,} bytes, firmware ends at 0x{FIRMWARE_LIMIT:X}", "use a smaller build"
        )


def require_known(image: Image) -> None:
    """Raise UserError for bytes of which nothing is known: they are no program, package or model for the K210."""
    if image.kind == "data":
        raise _no_firmware(image)


def _no_firmware(image: Image) -> UserError:
    return UserError(f"{image.path.name} is no K210 firmware (its start is unknown)", _GET_MAIXPY)


def _without_header(data: bytes, name: str) -> tuple[bytes, bool]:
    """The payload, and whether a valid flash header was there. A header with wrong length or digest is refused."""
    if len(data) < _HEADER + _DIGEST or data[0] & ~3 or data[7:11] != _SDK_MARK:
        length = int.from_bytes(data[1:5], "little")
        if len(data) == _HEADER + length + _DIGEST and hashlib.sha256(data[:-_DIGEST]).digest() == data[-_DIGEST:]:
            return data[_HEADER:-_DIGEST], True
        return data, False
    length = int.from_bytes(data[1:5], "little")
    want = _HEADER + length + _DIGEST
    if len(data) < want:
        raise UserError(f"{name} is truncated: {len(data):,} of {want:,} bytes", "download it again")
    if hashlib.sha256(data[: _HEADER + length]).digest() != data[_HEADER + length : want]:
        raise UserError(f"{name} is damaged: its SHA-256 does not match", "download it again")
    return data[_HEADER : _HEADER + length], True


def _program(payload: bytes, path: Path, size: int, digest: str, headed: bool) -> Image:
    gp = _global_pointer(payload)
    # Sections are padded to 8 bytes at least; eight published MaixPy builds all end on a multiple of 64.
    if (gp is not None and gp - len(payload) > _GP_BEHIND_SDATA) or len(payload) % 8:
        raise UserError(f"{path.name} is truncated: its last section is missing or cut", "download it again")
    found = _VERSION.search(payload)
    if found is None:
        return Image(path, "k210", size, digest, headed=headed)
    version, date, machine = (group.decode("ascii") for group in found.groups())
    threads = b"start_new_thread" in payload
    # "openmv" has the vision functions, but none of the full build's other parts (MaixPy-v1, maixpy_k210_minimum,
    # config_defaults_openmv_kmodel_v4_with_ide_support.mk).
    build = "minimum"
    if b"find_blobs" in payload:
        build = "full" if threads or b"ulab" in payload else "openmv"
    if b"lv_disp.c" in payload or b"lvgl/src" in payload:
        build += " with LVGL"
    return Image(path, "maixpy", size, digest, headed, version, date, machine, build, threads)


def _global_pointer(payload: bytes) -> int | None:
    """Offset in the image that gp points to: `auipc gp, hi` followed by `addi gp, gp, lo` near the start."""
    for at in range(0, min(len(payload) - 8, 4096), 2):
        auipc = int.from_bytes(payload[at : at + 4], "little")
        addi = int.from_bytes(payload[at + 4 : at + 8], "little")
        if auipc & 0xFFF == 0x197 and addi & 0xFFFFF == 0x18193:
            high, low = auipc & 0xFFFFF000, addi >> 20
            return at + high - ((high & 0x80000000) << 1) + low - ((low & 0x800) << 1)
    return None


def _package(data: bytes, path: Path, digest: str) -> Image:
    if path.suffix != ".kfpkg":
        # kflash would write such a file as if it were firmware and report success (kflash 1.1.6).
        raise UserError(f"{path.name} is a zip archive", "unpack it, or rename it to .kfpkg if it is a flash package")
    try:
        parts = kfpkg.parse(data)
    except (zipfile.BadZipFile, kfpkg.PackageError) as error:
        raise UserError(f"{path.name} is no usable flash package: {error}", "download it again") from None
    return Image(path, "kfpkg", len(data), digest, parts=tuple(parts))


def _refuse_strangers(data: bytes, name: str) -> None:
    for start, what, remedy in _STRANGERS:
        if data.startswith(start):
            raise UserError(f"{name} {what}", remedy)
    if not data.strip(b"\xff") or not data.strip(b"\x00"):
        raise UserError(f"{name} is blank ({len(data):,} equal bytes)", "download it again")
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UserError(f"{name} is a web page, not the file behind it", "download the .bin itself")
    printable = sum(byte in b"\t\r\n" or 32 <= byte < 127 for byte in data[:512])
    if printable == len(data[:512]):
        raise UserError(f"{name} is a text file", _GET_MAIXPY)
