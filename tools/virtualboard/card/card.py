"""The SD card: a folder of the host seen by the board, with a card's limits, pauses and failures.

One card, two faces. `SdCard.files` is what MaixPy's `uos` makes of it (FatFs semantics, for the hosted engine);
`SdCard.spi` is the card in SPI mode (for an emulated chip whose firmware brings its own FatFs). Use one of them at
a time: a face that changes the folder behind the other's back is a card pulled out of a running machine.

The card never advances the clock. After an operation `busy_until` says until when the card keeps its user waiting;
the engine lets time pass.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from virtualboard.card.fat32 import SECTOR, Geometry
from virtualboard.clock import SECOND, US, Clock

if TYPE_CHECKING:
    from virtualboard.card.files import CardFiles
    from virtualboard.card.spi import CardSpi

DEFAULT_CAPACITY = 4 << 30
"""Bytes; the host folder takes only what its files take."""

EIO = 5


@dataclass(frozen=True)
class Timing:
    """How long the card takes, in ns.

    `bus_hz`: MaixPy clocks a card at 25 MHz on one data line, one block a command (MaixPy-v1 `sdcard.c`), so a
    block of 512 bytes with command, token and checksum is 170 us on the wire. `read_access_ns` (command to data
    token) and `program_ns` (busy after a block) are the card's own; the values stand for an ordinary class 10 card
    and are chosen, not measured: together about 1.7 MB/s for reading and 1.0 MB/s for writing, a little above the
    0.8 MB/s reported for the fastest loop on this chip (sipeed/MaixPy-v1 issue 166). `driver_ns` is the processor's
    time a block, which only the hosted engine has to add; an emulated chip spends it by itself.
    """

    bus_hz: int = 25_000_000
    read_access_ns: int = 100 * US
    program_ns: int = 250 * US
    driver_ns: int = 60 * US

    @property
    def byte_ns(self) -> int:
        """One byte on the bus."""
        return 8 * SECOND // self.bus_hz

    @property
    def block_ns(self) -> int:
        """One block with command (6), reply (2), token, checksum and gaps on the bus."""
        return (SECTOR + 6 + 2 + 1 + 2 + 8) * self.byte_ns


class SdCard:
    """A card that shows the host directory `folder`, or an empty slot when `folder` is None.

    `capacity` in bytes (64 MiB to 2 TiB, rounded down to 512 KiB) limits what fits, in whole clusters. `seed`
    decides how unfinished writes are torn. Raises ValueError for a capacity out of range, NotADirectoryError when
    `folder` is no directory.
    """

    def __init__(
        self,
        clock: Clock,
        folder: Path | None,
        capacity: int = DEFAULT_CAPACITY,
        seed: int = 0,
        timing: Timing | None = None,
    ) -> None:
        self.clock = clock
        self.geometry = Geometry.of(capacity)
        self.timing = timing if timing is not None else Timing()
        self.random = random.Random(seed)
        self.folder: Path | None = None
        self.present = False
        self.insertions = 0
        """How often a card was put in; a mounted file system is stale when this has changed."""
        self.busy_until = 0
        """Virtual ns until which the card keeps its user waiting."""
        self.leave_free: int | None = None
        """Clusters that `fill` left free at most; None when the card was not filled."""
        self.bytes_written = 0
        self.bytes_read = 0
        self._milestones: list[tuple[int, Callable[[], None]]] = []
        self._stall_ns = 0
        self._stall_every = (0, 0)
        self._failing_reads = 0
        self._failing_writes = 0
        self._locked = False
        if folder is not None:
            self.insert(folder)

    # -- the slot -----------------------------------------------------------------------------------------

    @property
    def capacity(self) -> int:
        """Bytes on the card, partition table and all."""
        return self.geometry.sectors * SECTOR

    def insert(self, folder: Path | None = None) -> None:
        """Put the card in (again). With `folder`, another card. Mounted file systems need a new mount."""
        if self.present:
            raise ValueError("there is a card in the slot already")
        if folder is not None:
            if not folder.is_dir():
                raise NotADirectoryError(f"{folder} is not a directory; a card needs one to keep its files in")
            self.folder = folder.resolve()
        if self.folder is None:
            raise ValueError("which folder is the card?")
        self.present = True
        self.insertions += 1

    def remove(self) -> None:
        """Pull the card out. What was not flushed is torn, as at a power loss."""
        if self.present:
            self.power_loss()
            self.present = False

    @cached_property
    def files(self) -> CardFiles:
        """The card as MaixPy's `uos` sees it."""
        from virtualboard.card.files import CardFiles

        return CardFiles(self)

    @cached_property
    def spi(self) -> CardSpi:
        """The card on the SPI bus."""
        from virtualboard.card.spi import CardSpi

        return CardSpi(self)

    def flush(self) -> None:
        """Write back to the folder what the SPI face was given. Call at power-off and before looking."""
        if "spi" in self.__dict__:
            self.spi.flush()

    def close(self) -> None:
        """The board is switched off: what was not flushed is lost, the folder is brought up to date."""
        if self.present:
            self.power_loss()

    # -- faults -------------------------------------------------------------------------------------------

    def stall(self, duration_ns: int) -> None:
        """Make the next block written take `duration_ns` longer (cards tidy up now and then)."""
        self._stall_ns += duration_ns

    def stall_every(self, every_bytes: int, duration_ns: int) -> None:
        """Stall for `duration_ns` whenever another `every_bytes` have been written; 0 bytes ends it."""
        self._stall_every = (every_bytes, duration_ns)

    def at_written(self, count: int, action: Callable[[], None]) -> None:
        """Run `action` when `count` bytes have been written to the card, as soon as time moves on."""
        self._milestones.append((count, action))

    def fail_reads(self, count: int) -> None:
        """Answer the next `count` block reads with an error."""
        self._failing_reads = count

    def fail_writes(self, count: int) -> None:
        """Refuse the next `count` block writes."""
        self._failing_writes = count

    def lock(self, on: bool = True) -> None:
        """Refuse every block write, as a card does whose controller has made it read-only, or (`on` False) no more."""
        self._locked = on

    def fill(self, leave_free: int) -> None:
        """Make the card nearly full: at most `leave_free` bytes (rounded down to clusters) stay free."""
        if leave_free < 0:
            raise ValueError("leave_free cannot be negative")
        self.leave_free = leave_free // self.geometry.cluster_bytes
        self.files.filled()
        if "spi" in self.__dict__:
            self.spi.filled()

    def power_loss(self) -> None:
        """The power goes: files that were not flushed end short or empty, by `seed`; a block in flight is torn."""
        self.files.power_loss()
        if "spi" in self.__dict__:
            self.spi.power_loss(self.random)
            self.spi.flush()
        self.busy_until = self.clock.now

    # -- for the faces ------------------------------------------------------------------------------------

    def take_read_fault(self) -> bool:
        """Whether the block now to be read fails."""
        if self._failing_reads > 0:
            self._failing_reads -= 1
            return True
        return False

    def take_write_fault(self) -> bool:
        """Whether the block now to be written fails."""
        if self._locked:
            return True
        if self._failing_writes > 0:
            self._failing_writes -= 1
            return True
        return False

    def program_time(self, size: int) -> int:
        """Busy time in ns after `size` bytes were written, stalls included."""
        blocks = -(-size // SECTOR)
        every, stall_ns = self._stall_every
        before = self.bytes_written
        self.bytes_written += blocks * SECTOR
        for milestone in [m for m in self._milestones if m[0] <= self.bytes_written]:
            self._milestones.remove(milestone)
            self.clock.after(0, milestone[1])
        duration = blocks * self.timing.program_ns + self._stall_ns
        self._stall_ns = 0
        if every > 0:
            duration += (self.bytes_written // every - before // every) * stall_ns
        return duration

    def spend(self, duration_ns: int) -> None:
        """Keep the user of the file face waiting for another `duration_ns`."""
        self.busy_until = max(self.busy_until, self.clock.now) + duration_ns

    def charge_reads(self, blocks: int) -> None:
        """Account for reading `blocks` through the file face; raises OSError(5) when the card fails."""
        if not self.present or (blocks > 0 and self.take_read_fault()):
            raise OSError(EIO)
        t = self.timing
        self.bytes_read += blocks * SECTOR
        self.spend(blocks * (t.block_ns + t.read_access_ns + t.driver_ns))

    def charge_writes(self, blocks: int) -> None:
        """Account for writing `blocks` through the file face; raises OSError(5) when the card fails."""
        if not self.present or (blocks > 0 and self.take_write_fault()):
            raise OSError(EIO)
        t = self.timing
        self.spend(blocks * (t.block_ns + t.driver_ns) + self.program_time(blocks * SECTOR))
