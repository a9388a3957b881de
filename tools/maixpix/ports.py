"""Serial ports: what they probably are, which one reaches the K210, and why one cannot be opened."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
from serial.tools import list_ports

from maixpix.boards import Board
from maixpix.defaults import PORT_VARIABLE
from maixpix.errors import UserError, shorten

# (vendor, product or None for any): what it is. Sources: Krux's flashing script, Sipeed's MaixPy documentation.
_ADAPTERS: tuple[tuple[int, int | None, str], ...] = (
    (0x1A86, 0x7523, "CH340: Maix Dock, Maix Bit (old), Yahboom, WonderMV"),
    (0x1A86, 0x55D3, "CH343: TZT boards"),
    (0x1A86, None, "WCH adapter: Maix Bit and others"),
    (0x0403, 0x6010, "two-port FT2232 type: Maix Go, Bit (mic), Maixduino, Cube, Amigo, Nano"),
    (0x0403, 0x6001, "FT232 type: M5StickV"),
    (0x0403, None, "FTDI type: probably a K210 board"),
    (0xC251, None, "CMSIS-DAP: Maix Go with old adapter firmware"),
    (0x10C4, None, "CP210x adapter"),
    (0x067B, None, "PL2303 adapter"),
)


@dataclass(frozen=True)
class Port:
    """One serial port. `guess` is empty when its USB id is none a K210 board uses; `place` is its index of `count`."""

    device: str
    guess: str
    usb: str = ""
    serial_number: str = ""
    place: int = 0
    count: int = 1
    trouble: str = ""

    @property
    def likely(self) -> bool:
        """True when a K210 board may be behind it."""
        return bool(self.guess)


def scan() -> list[Port]:
    """All serial ports, likely ones first, none opened (opening can reset a board)."""
    found = list(list_ports.comports())
    ports = []
    for info in sorted(found, key=lambda item: (item.device is None, _natural(item.device))):
        family = sorted((item.device for item in found if _same_adapter(item, info)), key=_natural)
        ports.append(
            Port(
                info.device,
                _guess(info.vid, info.pid),
                f"{info.vid:04X}:{info.pid:04X}" if info.vid is not None and info.pid is not None else "",
                info.serial_number or "",
                family.index(info.device) if info.device in family else 0,
                max(1, len(family)),
                trouble(info.device),
            )
        )
    return sorted(ports, key=lambda port: not port.likely)


def choose(wanted: str | None, board: Board | None = None, found: Iterable[Port] | None = None) -> str:
    """The port to use: `wanted`, else the environment's, else the only likely one.

    Of a two-port adapter the one that `board` names is taken, else the one that was flashed last, else the first.
    Raises UserError when there is none, when several boards are plugged in, or when the port that was asked for does
    not exist.
    """
    wanted = wanted or os.environ.get(PORT_VARIABLE)
    if wanted:
        if os.name == "posix" and "://" not in wanted and not Path(wanted).exists():
            raise UserError(f"there is no port {wanted}", _what_is_there(found))
        return wanted
    ports = [port for port in (scan() if found is None else found) if port.likely]
    if not ports:
        raise UserError(
            "no serial port looks like a K210 board", "plug it in with a data cable, or name the port with --port"
        )
    adapters = {(port.usb, port.serial_number) for port in ports}
    if len(adapters) == 1 and len(ports) == ports[0].count:
        place = board.port_of_two if board is not None and board.kflash else _remembered(ports[0])
        return ports[min(place, len(ports) - 1)].device
    raise UserError("several ports may be the board: " + ", ".join(p.device for p in ports), "name one with --port")


def remember(device: str) -> None:
    """`device` reached the chip: of its adapter's two ports take this one from now on."""
    for port in scan():
        if port.device == device and port.likely and port.count > 1:
            memory = _memory()
            memory[_adapter(port)] = port.place
            file = _memory_file()
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_name(file.name + ".part")
            unfinished.write_text(json.dumps(memory, indent=2), "utf-8")
            unfinished.replace(file)


def _remembered(port: Port) -> int:
    """Which port of the adapter was flashed last; the first when none was, which is right for most boards."""
    place = _memory().get(_adapter(port), 0)
    return place if isinstance(place, int) and 0 <= place < port.count else 0


def _adapter(port: Port) -> str:
    return f"{port.usb} {port.serial_number}"


def _memory_file() -> Path:
    return Path(click.get_app_dir("maixpix")) / "ports.json"


def _memory() -> dict[str, object]:
    try:
        known = json.loads(_memory_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # none was written yet, or by something else: every adapter begins at its first port
    return known if isinstance(known, dict) else {}


def trouble(device: str) -> str:
    """Why `device` would not open, as far as can be told without opening it; empty when nothing is known."""
    if os.name != "posix" or not Path(device).exists():
        return ""
    if not os.access(device, os.R_OK | os.W_OK):
        return "no permission: " + _permission_remedy(device)
    user = _user_of(device)
    return f"in use by {user}" if user else ""


def open_error(device: str, error: BaseException) -> UserError:
    """The one-line error for a failed opening of `device`."""
    text = str(error)
    number = getattr(error, "errno", None)
    if number == errno.EACCES or "PermissionError" in text or "Permission denied" in text:
        if sys.platform == "win32":
            return UserError(f"{device} is in use or its driver is broken", "close other terminals, replug the board")
        return UserError(f"no permission to open {device}", _permission_remedy(device))
    if number == errno.ENOENT or "No such file" in text or "FileNotFoundError" in text:
        return UserError(f"there is no port {device}", _what_is_there(None))
    if number in (errno.EBUSY, errno.EAGAIN) or "lock port" in text or "in use" in text:
        user = _user_of(device) if os.name == "posix" else ""
        return UserError(f"{device} is in use{' by ' + user if user else ''}", "close that program and try again")
    if "://" in device:
        why = "nothing listens there" if "refused" in text.lower() else text
        return UserError(f"cannot open {device}: {why}", "start the board or server at that address, or correct it")
    return UserError(f"cannot open {device}: {text}", "replug the board, or choose another port (`maixpix ports`)")


_BROKEN = (
    ("returned no data", "it is gone, or another program reads it too"),
    ("Input/output error", "it is gone"),
    ("ClearCommError", "it is gone"),
    ("Bad file descriptor", "it is gone"),
    ("object has no", "it is gone"),
    ("NoneType", "it is gone"),
    ("timeout", "it takes no more bytes"),
)
"""A piece of what pyserial says of a port that breaks while it is used -> the same in few words."""


def why_broken(error: BaseException) -> str:
    """Why an open port broke, in a few whole words."""
    text = str(error)
    return next((words for piece, words in _BROKEN if piece in text), shorten(text or type(error).__name__, 80))


def _guess(vid: int | None, pid: int | None) -> str:
    for vendor, product, what in _ADAPTERS:
        if vid == vendor and product in (None, pid):
            return what
    return ""


def _same_adapter(one: object, other: object) -> bool:
    """Ports of one USB device share ids, serial number and location up to the interface number."""
    if getattr(one, "vid", None) is None or one.vid != other.vid or one.pid != other.pid:
        return one is other
    place = [(item.location or "").split(":")[0] for item in (one, other)]
    return one.serial_number == other.serial_number and place[0] == place[1]


def _natural(device: str) -> tuple[str, int]:
    """Sort ttyUSB2 before ttyUSB10, COM3 before COM12."""
    digits = len(device) - len(device.rstrip("0123456789"))
    return (device[: len(device) - digits], int(device[-digits:])) if digits else (device, -1)


def _permission_remedy(device: str) -> str:
    if sys.platform == "darwin":
        return "install the adapter's driver"
    try:
        group = Path(device).group()
    except (KeyError, OSError):
        group = "dialout"
    return f"run `sudo usermod -a -G {group} $USER` and log in again"


def _user_of(device: str) -> str:
    """Name of a process that holds `device` open, from Linux's /proc; empty when none can be seen."""
    try:
        target = str(Path(device).resolve())
        for folder in Path("/proc").glob("[0-9]*"):
            if int(folder.name) == os.getpid():
                continue
            try:
                if any(str(link.readlink()) == target for link in (folder / "fd").iterdir()):
                    return f"{(folder / 'comm').read_text('utf-8', 'replace').strip()} (process {folder.name})"
            except OSError:
                continue  # the process ended, or belongs to somebody else
    except OSError:
        return ""
    return ""


def _what_is_there(found: Iterable[Port] | None) -> str:
    devices = [port.device for port in (scan() if found is None else found)]
    return f"found: {', '.join(devices[:6])}" if devices else "no serial port was found, plug the board in"
