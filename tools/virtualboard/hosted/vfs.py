"""Mounts, current directory and open files: what MicroPython's `extmod/vfs.c` does above FatFs and SPIFFS.

`/sd` is the board's card (`card.files`), `/flash` a `FlashFiles`. Everything costs the processor's time, and the
caller waits while the card is busy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from virtualboard.clock import SECOND
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.errors import DeviceOSError, device_errors
from virtualboard.hosted.flash_fs import FlashFiles

EPERM, ENOENT, EIO, ENODEV = 1, 2, 5, 19
DIR, FILE = 0x4000, 0x8000

ROOT = "/"


class Volumes:
    """The mount table. `cwd_volume` is "sd", "flash", "/" or None after a `chdir` to something not mounted."""

    def __init__(self, chip: Chip, flash: FlashFiles) -> None:
        self.chip = chip
        self.flash = flash
        self.card = chip.board.card
        self.mounted: list[str] = []
        self.cwd_volume: str | None = ROOT
        self._sd_cwd: list[str] = []
        self.opened = 0
        """Files opened so far."""

    # -- mounting -----------------------------------------------------------------------------------------

    def mount_flash(self) -> None:
        """Mount `/flash`; it becomes the current volume."""
        if "flash" not in self.mounted:
            self.mounted.append("flash")
        self.cwd_volume = "flash"

    def mount_card(self) -> bool:
        """What the background task does: mount the card when there is one; it becomes the current volume. One that
        cannot be read is none (MaixPy-v1 maixpy_main.c mount_sdcard)."""
        if not self.card.present:
            return False
        try:
            self.card.files.mount()
        except OSError:
            return False
        self.card.files.seconds_since_boot = lambda: self.chip.clock.now // SECOND
        if "sd" not in self.mounted:
            self.mounted.append("sd")
        self.cwd_volume = "sd"
        self._sd_cwd = []
        return True

    def unmount(self, point: str) -> None:
        """`uos.umount`."""
        name = point.strip("/")
        if name not in self.mounted:
            raise DeviceOSError(22)
        self.mounted.remove(name)
        if self.cwd_volume == name:
            self.cwd_volume = ROOT

    # -- paths --------------------------------------------------------------------------------------------

    def lookup(self, path: str) -> tuple[str, str]:
        """(volume, path inside it); volume "/" for the root itself. OSError(19) for what is not mounted."""
        if not isinstance(path, str):
            if isinstance(path, (bytes, bytearray)):
                path = bytes(path).decode()
            else:
                raise TypeError("can't convert to str implicitly")
        if path.startswith("/") or self.cwd_volume == ROOT:
            absolute = path.startswith("/")
            rest = path[1:] if absolute else path
            if not rest:
                return ROOT, path
            name, _, inside = rest.partition("/")
            if name in self.mounted:
                return name, "/" + inside
            raise DeviceOSError(ENODEV)
        if self.cwd_volume is None:
            raise DeviceOSError(ENODEV)
        if self.cwd_volume == "sd":
            return "sd", "/" + "/".join([*self._sd_cwd, path])
        return self.cwd_volume, path

    def getcwd(self) -> str:
        """The current directory as an absolute path."""
        if self.cwd_volume is None:
            raise DeviceOSError(ENODEV)
        if self.cwd_volume == ROOT:
            return "/"
        return "/" + "/".join([self.cwd_volume, *(self._sd_cwd if self.cwd_volume == "sd" else [])])

    def chdir(self, path: str) -> None:
        """Change directory. After a failure to find the volume no relative path works (`extmod/vfs.c`)."""
        try:
            volume, inside = self.lookup(path)
        except DeviceOSError:
            self.cwd_volume = None
            raise
        if volume == "sd":
            with self.card_call():
                if not self.card.files.is_dir(inside):
                    raise DeviceOSError(ENOENT)
            segments: list[str] = []
            for part in inside.split("/"):
                if part == "..":
                    del segments[-1:]
                elif part not in ("", "."):
                    segments.append(part)
            self._sd_cwd = segments
        self.cwd_volume = volume

    # -- what uos does ------------------------------------------------------------------------------------

    def ilistdir(self, path: str = "") -> Iterator[tuple[Any, ...]]:
        """Entries of a directory."""
        as_bytes = isinstance(path, bytes)
        volume, inside = self.lookup(path) if path else (self.cwd_volume, "")
        if volume is None:
            raise DeviceOSError(ENODEV)
        if volume == ROOT:
            entries: list[tuple[Any, ...]] = [(name, DIR, 0) for name in self.mounted]
        elif volume == "sd":
            with self.card_call():
                entries = list(self.card.files.ilistdir(inside or "/" + "/".join(self._sd_cwd)))
        else:
            self._flash_call(2_000_000)
            entries = [(name, FILE, 0, size) for name, size in self.flash.names()]
        for entry in entries:
            yield (entry[0].encode(), *entry[1:]) if as_bytes else entry

    def stat(self, path: str) -> tuple[int, ...]:
        """Ten numbers."""
        volume, inside = self.lookup(path)
        if volume == ROOT:
            return (DIR, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        if volume == "sd":
            with self.card_call():
                return self.card.files.stat(inside)
        self._flash_call(500_000)
        if inside in ("", "/") or inside.startswith("./"):
            return (DIR, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        size = self.flash.size(inside)
        if size is None:
            raise DeviceOSError(ENOENT)
        return (FILE, 0, 0, 0, 0, 0, size, 0, 0, 0)

    def statvfs(self, path: str) -> tuple[int, ...]:
        """Ten numbers."""
        volume, inside = self.lookup(path)
        if volume == ROOT:
            return (0, 0, 0, 0, 0, 0, 0, 0, 0, 255)
        if volume == "sd":
            with self.card_call():
                return self.card.files.statvfs(inside)
        self._flash_call(2_000_000)
        return self.flash.statvfs()

    def mkdir(self, path: str) -> None:
        """Make a directory."""
        volume, inside = self.lookup(path)
        if volume == ROOT:
            raise DeviceOSError(EPERM)
        if volume == "flash":
            raise NotImplementedError("SPIFFS not support")
        with self.card_call():
            self.card.files.mkdir(inside)

    def rmdir(self, path: str) -> None:
        """Remove a directory."""
        volume, inside = self.lookup(path)
        if volume == ROOT:
            raise DeviceOSError(EPERM)
        if volume == "flash":
            raise DeviceOSError(EIO)
        with self.card_call():
            self.card.files.rmdir(inside)

    def remove(self, path: str) -> None:
        """Remove a file."""
        volume, inside = self.lookup(path)
        if volume == ROOT:
            raise DeviceOSError(EPERM)
        if volume == "sd":
            with self.card_call():
                self.card.files.remove(inside)
            return
        self._flash_call(self.chip.costs.flash_write_byte * 256)
        if self.flash.size(_flash_name(inside)) is None:
            self.chip.console("[MaixPy]:SPIFFS Error Code -10002\r\n")
        with device_errors():
            self.flash.remove(_flash_name(inside))

    def rename(self, old: str, new: str) -> None:
        """Rename within one volume."""
        volume, source = self.lookup(old)
        other, target = self.lookup(new)
        if volume != other or volume == ROOT:
            raise DeviceOSError(EPERM)
        if volume == "sd":
            with self.card_call():
                self.card.files.rename(source, target)
            return
        self._flash_call(self.chip.costs.flash_write_byte * 512)
        with device_errors():
            self.flash.rename(_flash_name(source), _flash_name(target))

    def open(self, path: str, mode: str = "r") -> Any:
        """The raw handle of a file and whether it is on the card."""
        volume, inside = self.lookup(path)
        if volume == ROOT:
            raise DeviceOSError(EPERM)
        self.opened += 1
        if volume == "sd":
            with self.card_call():
                return self.card.files.open(inside, mode.replace("t", "").replace("b", "") + "b")
        self._flash_call(500_000)
        with device_errors():
            return self.flash.open(_flash_name(inside), mode)

    # -- for the importer ---------------------------------------------------------------------------------

    def import_stat(self, path: str) -> str | None:
        """ "dir", "file" or None, as the importer sees it. An absolute path on /flash never exists for it
        (`vfs_spiffs.c` leaves its name buffer empty)."""
        try:
            volume, inside = self.lookup(path)
            if volume == ROOT:
                return "dir"
            if volume == "flash":
                if path.startswith("/"):
                    return None
                self._flash_call(200_000)
                return "file" if self.flash.size(_flash_name(inside)) is not None else None
            mode = self.stat(path)[0]
        except DeviceOSError:
            return None
        return "dir" if mode & DIR else "file"

    def read_bytes(self, path: str) -> bytes:
        """A whole file, for import and execfile."""
        handle = self.open(path, "rb")
        try:
            with self.card_call():
                data = handle.read()
        finally:
            handle.close()
        self.chip.charge(len(data) * self.chip.costs.file_byte)
        return data

    # -- time ---------------------------------------------------------------------------------------------

    def card_call(self) -> _CardCall:
        """A context for one use of the card: costs, waiting and errors as on the device."""
        return _CardCall(self)

    def _flash_call(self, ns: int) -> None:
        self.chip.charge(self.chip.costs.file_call + ns)


class _CardCall:
    """Around every use of the card: pay for it, wait while it is busy, turn its errors into device errors."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    def __enter__(self) -> None:
        chip = self._volumes.chip
        chip.charge(chip.costs.file_call)
        chip.sync()
        chip.busy()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        chip = self._volumes.chip
        busy_until = self._volumes.card.busy_until
        if busy_until > chip.clock.now:
            chip.wait_until(busy_until)
        if isinstance(error, OSError) and not isinstance(error, DeviceOSError):
            raise DeviceOSError(error.args[0] if error.args else EIO) from None


def _flash_name(inside: str) -> str:
    return inside[1:] if inside.startswith("./") else inside
