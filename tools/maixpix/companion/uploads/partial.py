"""One upload on its way: its bytes and its facts on disk, so that it survives a restart of the companion."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Windows has no such call and needs none (NTFS journals names)."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a small file so that after a power cut either the old or the new content is there."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def part_path(partials: Path, upload_id: str) -> Path:
    """Where the bytes of an upload are until it is finished."""
    return partials / f"{upload_id}.part"


def facts_path(partials: Path, upload_id: str) -> Path:
    """Where the facts of an upload are, also after it is finished."""
    return partials / f"{upload_id}.json"


@dataclass
class Facts:
    """What is known of an upload beside its bytes; `length` in bytes, `created` in seconds since 1970.

    `file` and `sha256` are set once all bytes are durable: the upload then is, or is about to be, stored there.
    """

    id: str
    name: str = ""
    length: int | None = None
    board: str = ""
    sender: str = ""
    door: str = "tus"
    created: float = 0.0
    expected: str | None = None
    """Hexadecimal SHA-256 that the sender announced."""
    metadata: str = ""
    """The tus `Upload-Metadata` header, given back on HEAD."""
    file: str | None = None
    sha256: str | None = None
    duplicate: bool = False

    @property
    def is_done(self) -> bool:
        return self.file is not None

    def save(self, path: Path) -> None:
        write_durably(path, json.dumps(dataclasses.asdict(self)).encode())

    @classmethod
    def load(cls, path: Path) -> Facts | None:
        """The facts in `path`; None when there are none or they are damaged."""
        try:
            found = json.loads(path.read_bytes())
            return cls(**found)
        except (OSError, ValueError, TypeError):
            return None


class Partial:
    """The bytes of one unfinished upload. All methods block; one caller at a time."""

    def __init__(self, facts: Facts, path: Path) -> None:
        self.facts = facts
        self.path = path
        self.offset = 0
        """Bytes received so far."""
        self._file: BinaryIO | None = None
        self._sha = hashlib.sha256()

    def open(self) -> None:
        """Open for appending; what an earlier run received is hashed again and made durable."""
        # Unbuffered: after a crash of this program the file holds whatever was counted.
        self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "r+b", 0)
        size = self._file.seek(0, os.SEEK_END)
        if self.offset == size:
            return  # put to rest by this run: the hash so far is still known
        self._file.seek(0)
        self._sha = hashlib.sha256()
        self.offset = 0
        while piece := self._file.read(256 * 1024):
            self._sha.update(piece)
            self.offset += len(piece)
        os.fsync(self._file.fileno())

    def write(self, piece: bytes | memoryview) -> None:
        """Append `piece`; on an error the file is put back to the offset before."""
        if self._file is None:
            raise ValueError("the upload is not open")
        view = memoryview(piece)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            self._file.truncate(self.offset)
            self._file.seek(self.offset)
            raise
        self._sha.update(piece)
        self.offset += len(piece)

    def cut(self, offset: int) -> None:
        """Forget what came after `offset` (a piece that failed its checksum)."""
        if offset != self.offset:
            if self._file is None:
                raise ValueError("the upload is not open")
            self._file.truncate(offset)
            self.close()
            self.open()  # hashes anew, because the size differs from the offset known

    def sync(self) -> None:
        """Make all bytes durable: only then may the offset be told to the sender."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def is_open(self) -> bool:
        return self._file is not None

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the bytes so far."""
        return self._sha.hexdigest()

    def head(self, count: int) -> bytes:
        """The first `count` bytes."""
        with self.path.open("rb") as file:
            return file.read(count)
