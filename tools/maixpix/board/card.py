"""A mounted SD card: is it one that MaixPy reads, and putting everything onto it without a cable.

MaixPy mounts the first FAT12/16/32 file system of an MBR partition table; exFAT is not built in (MaixPy-v1
vfs_fat, maixpy_main.c). Cards above 32 GB are sold with exFAT.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path

from maixpix.board import install
from maixpix.board.bundle import Bundle
from maixpix.board.places import FolderPlace
from maixpix.errors import UserError
from maixpix.paths import require_folder

_GOOD = ("vfat", "msdos", "fat", "fat32", "fuseblk-fat")
_BAD = {
    "exfat": "exFAT",
    "ntfs": "NTFS",
    "ntfs3": "NTFS",
    "ext4": "ext4",
    "ext3": "ext3",
    "ext2": "ext2",
    "btrfs": "Btrfs",
    "hfsplus": "HFS+",
    "apfs": "APFS",
}


def open_card(folder: Path) -> tuple[FolderPlace, list[str]]:
    """The card mounted at `folder`, and warnings. Raises UserError when it is no folder or cannot be written."""
    require_folder(folder, "name the place where the card is mounted")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder} cannot be written", "is the card's lock switch set, or mounted read-only?")
    return FolderPlace(folder), warnings(folder)


def put(folder: Path, bundle: Bundle, without: Collection[str] = ()) -> tuple[install.Result, list[str]]:
    """Install `bundle` on the card, the own apps in `without` removed; nothing else there is touched."""
    place, notes = open_card(folder)
    return install.install(place, bundle, without=without), notes


def warnings(folder: Path, mounts: str | None = None, sysfs: Path = Path("/sys/class/block")) -> list[str]:
    """What about the card at `folder` MaixPy will not like; `mounts` is /proc/mounts for tests."""
    found = []
    if sys.platform.startswith("linux") or mounts is not None:
        device, kind = _mount_of(folder, mounts)
        if kind in _BAD:
            found.append(f"the card is formatted {_BAD[kind]}, MaixPy reads FAT32 only: format it FAT32 (MBR)")
        elif kind is None:
            found.append(f"{folder} is no mounted card: copy it to the top of a FAT32 card")
        elif kind not in _GOOD:
            found.append(f"the file system here is {kind}: MaixPy needs FAT32")
        if device and (sysfs / Path(device).name).is_dir() and not (sysfs / Path(device).name / "partition").exists():
            found.append("the card has no partition table: MaixPy needs an MBR partition with FAT32")
    names = [path for path in sorted(folder.iterdir()) if path.name != "pix.json"]  # ours, found in the directory first
    long = [path.name for path in names if len(path.stem) > 8 or len(path.suffix) > 4]
    pictures = [name for name in long if not name.startswith(".")]
    if pictures:
        more = f" and {len(pictures) - 2} more" if len(pictures) > 2 else ""
        found.append(f"long names are slow to open on the board: {', '.join(pictures[:2])}{more}")
    if (folder / "cover.main.py").exists() or (folder / "cover.boot.py").exists():
        found.append("cover.main.py or cover.boot.py on the card: MaixPy copies it over the board's own at every start")
    return found


def _mount_of(folder: Path, mounts: str | None) -> tuple[str, str | None]:
    """Device and file system type of the mount point that `folder` itself is; ("", None) when it is none."""
    text = Path("/proc/mounts").read_text("utf-8") if mounts is None else mounts
    place = str(folder.resolve())
    device, kind = "", None
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1].encode().decode("unicode_escape") == place:
            device, kind = words[0], words[2].lower()
    return device, kind
