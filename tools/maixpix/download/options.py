"""How a download is wanted, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AUTO = 0
"""`parts` that means: as many connections as pay, up to `AUTO_PARTS`."""

AUTO_PARTS = 4
MAX_PARTS = 32


@dataclass(frozen=True)
class Progress:
    """Bytes that are there and the total (None if not told), and (start, position, stop) of each connection."""

    done: int
    total: int | None
    parts: tuple[tuple[int, int, int | None], ...] = ()
    note: str = ""
    """What was just survived or is being waited for."""


@dataclass(frozen=True)
class Options:
    """Times in seconds, sizes in bytes; the defaults suit files from a few bytes to many gigabytes."""

    parts: int = AUTO
    """Connections for one file; 1 is a plain stream, `AUTO` adds them while they make it faster."""
    sha256: str = ""
    """Hexadecimal digest that the file must have."""
    overwrite: bool = False
    """Replace a file that has the name."""
    if_changed: bool = False
    """Fetch only if the server has something else than what the record says is there; replaces the file then."""
    headers: Mapping[str, str] = field(default_factory=dict)
    basic: tuple[str, str] | None = None
    """User and password; never sent to another host than the address's own."""
    bearer: str = ""
    """Token; never sent to another host either."""
    cookies: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int = 0
    """Bytes that a file may have at most, 0 for no limit."""
    limit: int = 0
    """Bytes a second at most, 0 for no limit."""
    retries: int = 5
    """Attempts in a row that may bring nothing new."""
    idle_s: float = 15.0
    """Silence after which a connection is given up; one that brings less than `min_rate` for so long is, too."""
    min_rate: int = 100
    """Bytes per second."""
    connect_s: float = 15.0
    total_s: float | None = None
    """Seconds for everything; None for no limit."""
    max_wait_s: float = 60.0
    """The longest `Retry-After` that is waited for."""
    per_host: int = 8
    """Connections to one host at a time."""
    at_once: int = 128
    """Files at a time in `download_many`: more than connections, since some are on their way to the disk."""


@dataclass(frozen=True)
class Result:
    """A file that is there and proven. `state` is fetched, resumed, or unchanged (nothing was transferred)."""

    url: str
    path: Path
    size: int
    sha256: str
    state: str
    proof: str
    """What it was proven by: sha256 (given or told by the server), or length."""
    received: int = 0
    """Bytes of content that came over the network."""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    """What the server did wrong and was survived."""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "url": self.url,
            "path": str(self.path),
            "size": self.size,
            "sha256": self.sha256,
            "state": self.state,
            "proof": self.proof,
            "received": self.received,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }


OnProgress = Callable[[Progress], None]
