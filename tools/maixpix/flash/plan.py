"""What is to be written to the flash: files checked, put at their addresses, and refused where they would do harm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from maixpix.errors import UserError
from maixpix.flash import images, kfpkg

FILESYSTEM_AT = 0xD00000
FILESYSTEM_SIZE = 0x300000


@dataclass
class Job:
    """What to write: parts in the order given, or only an erase. Build it with `plan`."""

    parts: list[kfpkg.Part]
    erase_chip: bool = False
    titles: list[str] = field(default_factory=list)
    """A line for people for each part, in the order of `parts`."""
    version: str = ""

    @property
    def size(self) -> int:
        """Bytes to transfer."""
        return sum(len(part.data) for part in self.parts)


def plan(items: Iterable[tuple[Path, int | None]], erase_chip: bool = False, over_files: bool = False) -> Job:
    """Check files and their addresses, and put them together.

    `items` are (file, address or None); None is address 0 for firmware, and right for packages only otherwise.
    `over_files` allows parts to reach into MaixPy's file system at 0xD00000. Raises UserError when a file is not what
    its place needs, or parts overlap.
    """
    job = Job([], erase_chip)
    for path, address in items:
        image = images.identify(path)
        if image.kind == "kfpkg":
            if address is not None:
                raise UserError(f"{path.name} is a package and has its own addresses", "leave out the @address")
            job.parts.extend(image.parts)
            job.titles += [_title(p.address, f"{p.name} of {path.name}: {len(p.data):,} bytes") for p in image.parts]
            continue
        job.titles.append(_title(address or 0, f"{path.name}: {image.title}"))
        data = path.read_bytes()
        if address:
            job.parts.append(kfpkg.Part(address, path.name, data, image.bootable and not image.headed))
            continue
        images.require_firmware(image)
        # kflash adds the header itself; a second one would not boot.
        payload = data[5:-32] if image.headed else data
        job.parts.append(kfpkg.Part(0, path.name, payload, program=True))
        job.version = job.version or image.version
    _check(job, over_files)
    return job


def _title(address: int, text: str) -> str:
    return f"0x{address:06X}  {text}"


def _check(job: Job, over_files: bool) -> None:
    for part in job.parts:
        if part.address % kfpkg.SECTOR:
            raise UserError(
                f"{part.name}: the flash is erased in steps of 0x{kfpkg.SECTOR:X}, 0x{part.address:X} is none of them",
                f"choose 0x{part.address // kfpkg.SECTOR * kfpkg.SECTOR:X}, or another multiple",
            )
    try:
        kfpkg.check_layout(job.parts)
    except kfpkg.PackageError as error:
        raise UserError(str(error), "choose other addresses, models usually go to 0x300000") from None
    for part in job.parts:
        if part.end > FILESYSTEM_AT and not over_files:
            whole = part.address == FILESYSTEM_AT and len(part.data) == FILESYSTEM_SIZE
            if not whole:
                raise UserError(
                    f"{part.name} reaches into the board's files (0x{FILESYSTEM_AT:X} and up)",
                    "choose a lower address, or add --over-files to destroy them",
                )
