"""What went through the module, and over which link number."""

from __future__ import annotations

from dataclasses import dataclass, field

LINKS = 5


@dataclass
class LinkStats:
    """Payload bytes of one link number over the life of the module."""

    received: int = 0
    """From the peer."""
    printed: int = 0
    """To the board, in +IPD or CIPRECVDATA."""
    dropped: int = 0
    """Thrown away by the module (closed with unread data, reset, UDP without room)."""
    sent: int = 0
    """Accepted from the board for the peer."""
    acked: int = 0
    """Acknowledged by the peer."""
    frames: int = 0
    longest_frame: int = 0
    first_ns: int = 0
    """Virtual time when the first frame with payload began to leave on the line."""
    last_ns: int = 0
    """Virtual time when the last byte of payload so far will have left."""


@dataclass
class Stats:
    """What went through the module."""

    links: list[LinkStats] = field(default_factory=lambda: [LinkStats() for _ in range(LINKS)])
    commands: int = 0
    busy: int = 0
    boots: int = 0


@dataclass
class Segment:
    """One CIPSENDBUF segment on its way."""

    number: int
    left: int
