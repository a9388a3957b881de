"""The layout of a FAT32 card: one partition behind an MBR, as cards are sold and as MaixPy wants them.

Field offsets: Microsoft "FAT32 File System Specification" 1.03. MaixPy mounts the first partition that FatFs
accepts and cannot use a card without a partition table (MaixPy-v1 `maixpy_main.c`).
"""

from __future__ import annotations

import calendar
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from virtualboard.card.names import name_problem

ReadSector = Callable[[int], bytes]

SECTOR = 512
"""Bytes in a sector, and in a block of an SDHC card."""

MIN_CAPACITY = 64 << 20
"""Bytes. Below this a volume would have too few clusters to count as FAT32."""

FREE, BAD, END = 0, 0x0FFF_FFF7, 0x0FFF_FFFF
"""Values of an allocation table entry: free cluster, unusable cluster, last of a chain."""

ENTRY = 32
"""Bytes of a directory entry."""

PER_SECTOR = SECTOR // 4
"""Entries in a sector of the allocation table."""

_READ_ONLY, _HIDDEN, _SYSTEM, _LABEL, _DIRECTORY, _ARCHIVE, _LONG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x0F
_LOWER_BODY, _LOWER_EXTENSION = 0x08, 0x10

_MIN_CLUSTERS = 65_600  # below 65,525 it is FAT16; some distance, as the specification advises
_RESERVED = 32
_CAPACITY_UNIT = 512 << 10  # a version 2 CSD counts in 512 KiB


@dataclass(frozen=True)
class Geometry:
    """Where things are on a card. All positions and counts are in sectors, counted from the card's start."""

    sectors: int
    start: int
    cluster_sectors: int
    fat_sectors: int
    clusters: int

    @classmethod
    def of(cls, capacity: int) -> Geometry:
        """The layout of a card of `capacity` bytes; raises ValueError below 64 MiB."""
        capacity -= capacity % _CAPACITY_UNIT
        if capacity < MIN_CAPACITY:
            raise ValueError(f"a FAT32 card needs at least {MIN_CAPACITY >> 20} MiB; use fill() to make it small")
        sectors = capacity // SECTOR
        if sectors > 0xFFFF_FFFF:
            raise ValueError("a FAT32 card holds at most 2 TiB")
        start = 8192 if capacity >= 1 << 30 else 2048
        usable = sectors - start - _RESERVED
        # The SD Association's formatter gives cards from 4 GB up clusters of 32 KiB; small cards need small clusters
        # to have enough of them for FAT32.
        cluster_sectors = 64 if capacity >= 4 << 30 else 8
        while True:
            # Each cluster costs its sectors and 4 bytes in each of two tables of 512-byte sectors.
            clusters = usable * SECTOR // (cluster_sectors * SECTOR + 8)
            fat_sectors = -(-(clusters + 2) * 4 // SECTOR)
            clusters = (usable - 2 * fat_sectors) // cluster_sectors
            if clusters >= _MIN_CLUSTERS or cluster_sectors == 1:
                break
            cluster_sectors //= 2
        return cls(sectors, start, cluster_sectors, fat_sectors, clusters)

    @property
    def cluster_bytes(self) -> int:
        """Bytes in a cluster, the unit in which space is given out."""
        return self.cluster_sectors * SECTOR

    @property
    def fat_start(self) -> int:
        """First sector of the first allocation table."""
        return self.start + _RESERVED

    @property
    def data_start(self) -> int:
        """First sector of cluster 2."""
        return self.fat_start + 2 * self.fat_sectors

    def clusters_for(self, size: int) -> int:
        """Clusters that `size` bytes take."""
        return -(-size // self.cluster_bytes)

    def sector_of(self, cluster: int) -> int:
        """First sector of `cluster`."""
        return self.data_start + (cluster - 2) * self.cluster_sectors

    def mbr(self) -> bytes:
        """The master boot record: one active partition of type 0x0C (FAT32, LBA)."""
        chs = b"\xfe\xff\xff"  # beyond what cylinder, head and sector can say
        entry = struct.pack("<B3sB3sII", 0x00, chs, 0x0C, chs, self.start, self.sectors - self.start)
        return bytes(446) + entry + bytes(48) + b"\x55\xaa"

    def boot_sector(self, serial: int) -> bytes:
        """The volume's boot sector (and its copy in sector 6)."""
        head = struct.pack(
            "<3s8sHBHBHHBHHHII",
            *(b"\xeb\x58\x90", b"MAIXPIX ", SECTOR, self.cluster_sectors, _RESERVED, 2, 0, 0, 0xF8, 0),
            *(63, 255, self.start, self.sectors - self.start),
        )
        tail = struct.pack(
            "<IHHIHH12xBBBI11s8s", self.fat_sectors, 0, 0, 2, 1, 6, 0x80, 0, 0x29, serial, LABEL, b"FAT32   "
        )
        return (head + tail).ljust(510, b"\0") + b"\x55\xaa"

    def info_sector(self, free: int, next_free: int) -> bytes:
        """The FSINFO sector: how many clusters are free and where to look for one."""
        return struct.pack("<I480xIII12xI", 0x4161_5252, 0x6141_7272, free, next_free, 0xAA55_0000)


LABEL = b"MAIXPIX    "


# -- directory entries --------------------------------------------------------------------------------------


@dataclass
class Node:
    """A file or directory as found on a volume.

    `chain` has its clusters in order; `whole` is False when the chain broke off before `size` was covered.
    `stamp` is the time of last change in Unix seconds (0: none).
    """

    is_dir: bool
    size: int
    chain: list[int]
    stamp: int = 0
    whole: bool = True


@dataclass
class Tree:
    """What a volume holds, by path (a tuple of names; the root is the empty tuple).

    `problems` has (path, what is wrong). Directories in `unreadable` may have held more than was found.
    """

    nodes: dict[tuple[str, ...], Node] = field(default_factory=dict)
    problems: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    unreadable: set[tuple[str, ...]] = field(default_factory=set)


def directory_entries(name: str, alias: str, is_dir: bool, cluster: int, size: int, mtime: float) -> bytes:
    """The entries of one file or directory: its long name where needed, then the 8.3 entry."""
    body, _, extension = alias.partition(".")
    short = _short_bytes(body, 8) + _short_bytes(extension, 3)
    out = b"" if name == alias else _long_entries(name, short)
    return out + _short_entry(short, _DIRECTORY if is_dir else _ARCHIVE, cluster, size, mtime)


def dot_entries(cluster: int, parent: int, mtime: float) -> bytes:
    """The first two entries of every directory but the root (`parent` is 0 when that is the root)."""
    here = _short_entry(b".          ", _DIRECTORY, cluster, 0, mtime)
    return here + _short_entry(b"..         ", _DIRECTORY, parent, 0, mtime)


def label_entry(mtime: float) -> bytes:
    """The entry that gives the volume its name."""
    return _short_entry(LABEL, _LABEL, 0, 0, mtime)


def _short_bytes(text: str, width: int) -> bytes:
    return text.encode("ascii").ljust(width)


def _short_entry(short: bytes, attributes: int, cluster: int, size: int, mtime: float) -> bytes:
    date, clock = dos_time(mtime)
    return struct.pack(
        "<11sBBBHHHHHHHI",
        *(short, attributes, 0, 0, clock, date, date, cluster >> 16, clock, date, cluster & 0xFFFF, size),
    )


def _long_entries(name: str, short: bytes) -> bytes:
    units = name.encode("utf-16-le")
    padded = units
    if len(units) % 26:
        padded = (units + b"\0\0").ljust(-(-len(units) // 26) * 26, b"\xff")
    count = len(padded) // 26
    check = _checksum(short)
    out = b""
    for index in range(count, 0, -1):
        piece = padded[26 * index - 26 : 26 * index]
        order = index | (0x40 if index == count else 0)
        out += struct.pack("<B10sBBB12sH4s", order, piece[:10], _LONG, 0, check, piece[10:22], 0, piece[22:])
    return out


def _checksum(short: bytes) -> int:
    total = 0
    for c in short:
        total = ((total & 1) << 7 | total >> 1) + c & 0xFF
    return total


def dos_time(stamp: float) -> tuple[int, int]:
    """(date, time) words of a FAT entry for Unix seconds, UTC; times before 1980 or after 2107 are cut off."""
    t = time.gmtime(min(max(stamp, 315_532_800), 4_354_819_198))
    return (t.tm_year - 1980) << 9 | t.tm_mon << 5 | t.tm_mday, t.tm_hour << 11 | t.tm_min << 5 | t.tm_sec // 2


def unix_time(date: int, clock: int) -> int:
    """Unix seconds (UTC) of the (date, time) words of a FAT entry; 0 when they are not a date."""
    month, day = date >> 5 & 15, date & 31
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return 0
    return calendar.timegm((1980 + (date >> 9), month, day, clock >> 11, clock >> 5 & 63, 2 * (clock & 31), 0, 0, 0))


# -- reading a volume ---------------------------------------------------------------------------------------


def read_tree(read: ReadSector, geometry: Geometry) -> Tree:
    """Everything reachable on the volume, whoever wrote it and in whatever state it was left.

    Trusts nothing: broken chains, clusters claimed twice, loops and impossible names become problems, and what
    they concern is marked, so that a caller can leave alone what it cannot know.
    """
    tree = Tree()
    claimed: dict[int, tuple[str, ...]] = {}
    tables: dict[int, tuple[int, ...]] = {}

    def follow(first: int) -> int:
        sector = geometry.fat_start + first // PER_SECTOR
        if sector not in tables:
            tables[sector] = struct.unpack(f"<{PER_SECTOR}I", read(sector))
        return tables[sector][first % PER_SECTOR] & 0x0FFF_FFFF

    def chain_of(path: tuple[str, ...], first: int) -> tuple[list[int], bool, tuple[str, ...] | None]:
        """(clusters, whether the chain has a proper end, who has claimed a cluster of it before)."""
        chain: list[int] = []
        cluster = first
        while 2 <= cluster < geometry.clusters + 2:
            if cluster in claimed:
                return chain, False, claimed[cluster]
            claimed[cluster] = path
            chain.append(cluster)
            cluster = follow(cluster)
        return chain, cluster >= 0x0FFF_FFF8 and bool(chain), None

    root, whole, _ = chain_of((), 2)
    tree.nodes[()] = Node(True, 0, root, whole=whole)
    if not whole:
        tree.problems.append(((), "the root directory is cut short"))
        tree.unreadable.add(())
    pending: list[tuple[str, ...]] = [()]
    while pending:
        folder = pending.pop()
        content = b"".join(
            read(geometry.sector_of(cluster) + i)
            for cluster in tree.nodes[folder].chain
            for i in range(geometry.cluster_sectors)
        )
        for name, entry in _parse_directory(content):
            path = (*folder, name)
            attributes, first = entry[11], entry[20] << 16 | entry[21] << 24 | entry[26] | entry[27] << 8
            size = int.from_bytes(entry[28:32], "little")
            is_dir = bool(attributes & _DIRECTORY)
            problem = name_problem(name)
            if problem is not None or path in tree.nodes:
                tree.problems.append((path, f"its name {problem or 'is there twice'}"))
                continue
            chain, ended, other = chain_of(path, first) if first else ([], not is_dir, None)
            stamp = unix_time(int.from_bytes(entry[24:26], "little"), int.from_bytes(entry[22:24], "little"))
            whole = ended if is_dir else len(chain) >= geometry.clusters_for(size) and other is None
            tree.nodes[path] = Node(is_dir, 0 if is_dir else size, chain, stamp, whole)
            if other is not None:
                tree.problems.append((path, f"shares clusters with /{'/'.join(other)}"))
                if other in tree.nodes:
                    tree.nodes[other].whole = False
            elif not whole:
                tree.problems.append((path, "is cut short"))
            if is_dir:
                if whole:
                    pending.append(path)
                else:
                    tree.unreadable.add(path)
    return tree


def _parse_directory(content: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, 8.3 entry) of each file and directory; a long name counts only when it belongs to the entry."""
    pieces: dict[int, bytes] = {}
    check = -1
    for at in range(0, len(content), ENTRY):
        entry = content[at : at + ENTRY]
        if entry[0] == 0x00:
            return
        if entry[0] == 0xE5:
            pieces.clear()
            continue
        if entry[11] & 0x3F == _LONG:
            if entry[0] & 0x40:
                pieces.clear()
                check = entry[13]
            pieces[entry[0] & 0x3F] = entry[1:11] + entry[14:26] + entry[28:32]
            continue
        long, found = dict(pieces), check
        pieces.clear()
        if entry[11] & _LABEL or entry[:11] in (b".          ", b"..         "):
            continue
        name = ""
        if long and found == _checksum(entry[:11]) and sorted(long) == list(range(1, len(long) + 1)):
            units = b"".join(long[i] for i in sorted(long))
            name = units.decode("utf-16-le", "replace").split("\0")[0]
        yield name or _short_name(entry), entry


def _short_name(entry: bytes) -> str:
    """The 8.3 name as shown: each part in lower case where the entry's case bits say so."""
    raw = (b"\xe5" if entry[0] == 0x05 else entry[0:1]) + entry[1:11]
    body, extension = raw[:8].decode("cp437").rstrip(), raw[8:].decode("cp437").rstrip()
    if entry[12] & _LOWER_BODY:
        body = body.lower()
    if entry[12] & _LOWER_EXTENSION:
        extension = extension.lower()
    return f"{body}.{extension}" if extension else body
