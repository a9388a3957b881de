"""What the companion is told at start: one frozen dataclass, checked before any port is opened."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from maixpix.amounts import bytes_text
from maixpix.errors import UserError
from maixpix.paths import require_folder

MIB = 1024 * 1024
GIB = 1024 * MIB

MAX_SIDE = 2048
"""Longest side in pixels that a conversion may ask for; the biggest panel of a K210 board has 800."""


@dataclass(frozen=True)
class PictureLimits:
    """Bounds on what is read and kept while pictures are converted."""

    max_pixels: int = 89_000_000
    """A source declaring more pixels is refused before any of them is decoded (Pillow itself warns from here on)."""
    max_foreign_pixels: int = 25_000_000
    """The same for what anybody could have brought here: uploads, and pictures from the web."""
    max_source_bytes: int = 256 * MIB
    also_read: tuple[str, ...] = ()
    """Formats read beyond the usual ones: names of `maixpix.companion.sniff.MORE_FORMATS`."""
    max_pictures: int = 20_000
    """Entries listed from the folder; further ones are not shown."""
    cache_memory_bytes: int = 32 * MIB
    cache_disk_bytes: int = 256 * MIB
    workers: int = 2
    """Conversions that run at the same time, each in a process that may hold one decoded source."""
    memory_bytes: int = 768 * MIB
    """Memory of one conversion, beyond what its process takes anyway (about 30 MB)."""
    foreign_memory_bytes: int = 160 * MIB
    cpu_s: int = 20
    """Processor time of one conversion; a photograph of 50 megapixels takes less than 3 s of it."""
    foreign_cpu_s: int = 5
    job_s: float = 120.0
    """Time that passes until a conversion is given up, on a machine that has no processor for it."""
    max_waiting: int = 128
    """Conversions that wait for their turn; further ones are told to ask again."""
    max_waiting_each: int = 64
    """The same for one address."""


@dataclass(frozen=True)
class UploadLimits:
    """Bounds on what senders may leave here."""

    max_file_bytes: int = 64 * MIB
    max_files: int = 100_000
    quota_bytes: int = 10 * GIB
    """Bytes of finished and unfinished uploads together."""
    reserve_bytes: int = 256 * MIB
    """Free space of the disk that uploads never use up."""
    max_unfinished: int = 1_000
    expire_s: int = 7 * 24 * 3600
    """Seconds after its last byte for which an unfinished upload can be resumed."""
    idle_s: float = 60.0
    """Seconds after which a sender that delivers less than `min_rate` is dropped."""
    min_rate: int = 100
    """Bytes per second, averaged over `idle_s`; a 9600 baud line still gives 960."""
    max_connections: int = 256
    """Raw TCP senders at a time."""
    max_per_address: int = 64
    """The same of one address; a further one ends a connection that has sent nothing yet."""


@dataclass(frozen=True)
class HttpLimits:
    """Bounds on HTTP peers themselves."""

    head_s: float = 20.0
    """Seconds for a new connection to deliver its first complete request head."""
    keepalive_s: float = 75.0
    """Seconds between an answer and the next complete head."""
    form_s: float = 20.0
    """Seconds for the body of a form (uploads have a least rate instead)."""
    write_s: float = 120.0
    """Seconds for a reader to take one 64 KiB piece (a 9600 baud board needs 68)."""
    max_connections: int = 512
    max_per_address: int = 128
    """Connections of one address; a further one ends the quietest of them."""
    max_subscribers: int = 64
    """Open live views of the gallery."""


@dataclass(frozen=True)
class FetchLimits:
    """Bounds on what `/fetch` brings in from the web."""

    max_bytes: int = 32 * MIB
    total_s: float = 30.0
    max_redirects: int = 5
    at_once: int = 4
    each: int = 2
    """Fetches of one address at a time."""
    most: int = 16
    """Fetches under way and waiting."""


@dataclass(frozen=True)
class ServeSettings:
    """All that `maixpix serve` can be told.

    `folder` holds the pictures to give out; `uploads` receives what boards send (None: uploads are off).
    Port 0 takes any free port; `tcp_port` None keeps the raw TCP door shut.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    panel: tuple[int, int] = (320, 240)
    """Width and height in pixels that pages preview and `/frame` gives when the request names no size."""
    order: str = "name"
    """Order of the playlist that boards get: one of `maixpix.companion.frames.ORDERS`."""
    interval_s: int = 0
    """Seconds that each of its pictures stays; 0 leaves it to the board."""
    update: bool = False
    """Give this installation's software to boards that were deployed with a secret."""
    update_apps: tuple[Path, ...] = ()
    """Apps of one's own that go with it."""
    cache_dir: Path | None = None
    """Folder for converted pictures; None uses a temporary one that goes away at the end."""
    uploads: Path | None = None
    tcp_port: int | None = None
    token: str | None = field(default=None, repr=False)
    """Shared secret that uploads must show; None asks for none."""
    allow_fetch: bool = False
    fetch_private: bool = False
    """Let `/fetch` reach private and loopback addresses (for tests and home servers)."""
    allow_delete: bool = True
    names: tuple[str, ...] = ()
    """Further host names under which browsers and boards may address this server."""
    pictures: PictureLimits = PictureLimits()
    upload_limits: UploadLimits = UploadLimits()
    http: HttpLimits = HttpLimits()
    fetch: FetchLimits = FetchLimits()

    def check(self) -> None:
        """Raise `UserError` for a setting that cannot work."""
        require_folder(self.folder, "name an existing folder with pictures")
        for name, port in (("port", self.port), ("TCP port", self.tcp_port or 0)):
            if not 0 <= port <= 65535:
                raise UserError(f"the {name} {port} is out of range", "use a number from 1 to 65535")
        if self.tcp_port is not None and self.uploads is None:
            raise UserError("raw TCP uploads have no folder to go to", "add --uploads FOLDER")
        if self.token is not None and not re.fullmatch(r"[\x21-\x7e]{8,256}", self.token):
            raise UserError("the upload token is unusable", "use 8 to 256 visible ASCII characters without spaces")
        if not all(1 <= side <= MAX_SIDE for side in self.panel):
            raise UserError(
                f"the panel size {self.panel[0]}x{self.panel[1]} is out of range", "use for example 320x240"
            )
        limits = self.upload_limits
        if not 0 < limits.max_file_bytes <= limits.quota_bytes:
            raise UserError(
                f"one upload of {bytes_text(limits.max_file_bytes)} does not fit into {bytes_text(limits.quota_bytes)}",
                "give --max-file at least one byte and --max-total more than it",
            )
        if self.uploads is not None and self.uploads.exists() and not self.uploads.is_dir():
            raise UserError(f"{self.uploads} is not a folder", "name another folder for uploads")

    @property
    def is_guarded(self) -> bool:
        """True when others can connect and a token says who may: see `maixpix.companion.access`."""
        return self.token is not None and not self.is_local

    @property
    def may_delete(self) -> bool:
        """False when it was switched off, and when anybody could do it."""
        return self.allow_delete and (self.is_local or self.token is not None)

    @property
    def is_local(self) -> bool:
        """True when only programs on this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
