"""The journal of an unfinished download: what is safe on the disk, so that the next run goes on from there.

One JSON object a line. The first names the file, its address and version. A line with `written` follows every write:
a killed program's bytes are still with the system, and come to the disk. A line with `safe` was written after the bytes
that it names had been made durable, which a power failure leaves, too. Either is only believed as far as its digests
are those of the file. A line torn by a crash is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from maixpix.download.partfile import Block, PartFile, Snapshot, disk_error, open_private
from maixpix.download.version import Version

FORMAT = 1
INTERVAL_BYTES = 4 * 1024 * 1024
INTERVAL_S = 0.25
"""After so many bytes or seconds, whatever comes first, the journal is brought up to date."""

KEPT_FROM = 256 * 1024
"""Bytes from which on a download has a journal: smaller ones are fetched again as quickly."""

LAG_BYTES = 32 * 1024 * 1024
"""A download waits for its disk rather than have more than this not durable: what a power failure costs at most."""


@dataclass
class Left:
    """What an earlier run left: `blocks`, and `points`: the SHA-256 that so many bytes from the start had.

    Without any there is still the version, which the next run is held to.
    """

    name: str
    url: str
    version: Version
    blocks: list[Block] = field(default_factory=list)
    points: list[tuple[int, str]] = field(default_factory=list)


class Journal:
    """The journal beside the part file of what comes from `url` and will be called `name`."""

    def __init__(self, path: Path, name: str, url: str) -> None:
        self.path = path
        self._name = name
        self._url = url
        self._file: BinaryIO | None = None

    def begin(self, version: Version) -> None:
        """Start anew: nothing is safe. Durable with the first `save`. Blocks."""
        head = {"format": FORMAT, "name": self._name, "url": self._url, "version": version.to_json()}
        new = self.path.with_name(self.path.name + ".new")
        try:
            with open_private(new, "wb") as file:
                file.write(json.dumps(head).encode() + b"\n")
            new.replace(self.path)
            self.close()
            self._file = open_private(self.path, "ab")
        except OSError as error:
            raise disk_error(error, self.path) from None

    def go_on(self) -> None:
        """Append to what `read_journal` found; a line torn by a crash is ended first. Blocks."""
        self._file = open_private(self.path, "ab")
        self._file.write(b"\n")

    def note(self, snapshot: Snapshot) -> None:
        """Write down what is in the part file and not yet durable. Blocks."""
        self._append("written", snapshot)

    def save(self, file: PartFile) -> None:
        """Make the part file durable and write down what it holds, durable too. Blocks."""
        self._append("safe", file.sync())
        if self._file is not None:
            try:
                getattr(os, "fdatasync", os.fsync)(self._file.fileno())
            except OSError as error:
                raise disk_error(error, self.path) from None

    def _append(self, state: str, snapshot: Snapshot) -> None:
        if self._file is None or not snapshot.blocks:
            return
        line = json.dumps(_line(state, snapshot), separators=(",", ":")).encode() + b"\n"
        try:
            self._file.write(line)
        except OSError as error:
            raise disk_error(error, self.path) from None

    def remove(self) -> None:
        """The download is finished, or nothing of it can be used."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the journal, which stays as it is."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_journal(path: Path) -> Left | None:
    """What the journal in `path` says; None when there is none, or none that can be read."""
    try:
        lines = path.read_bytes().split(b"\n")
        head = json.loads(lines[0])
        if head["format"] != FORMAT:
            return None
        left = Left(str(head["name"]), str(head["url"]), Version.from_json(head["version"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    for line in lines[1:]:
        try:
            found = json.loads(line)
            told = found["safe"] if "safe" in found else found["written"]
            blocks = [Block(int(a), int(b), None if crc is None else int(crc)) for a, b, crc in told]
            point = int(found["hashed"]), str(found["sha256"])
        except (ValueError, KeyError, TypeError):
            continue
        left.blocks += blocks
        left.points.append(point)
    return left


def _line(state: str, snapshot: Snapshot) -> Mapping[str, Any]:
    blocks = [[block.start, block.stop, block.crc] for block in snapshot.blocks]
    return {state: blocks, "hashed": snapshot.hashed, "sha256": snapshot.sha256}
