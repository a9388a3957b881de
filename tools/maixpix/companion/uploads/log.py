"""`log.jsonl`: one JSON line for everything that was stored or deleted; the index of the uploads is rebuilt from it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stored:
    """One stored upload: `file` is its path below the uploads folder, `when` an ISO time with zone, `size` in bytes.

    `sender` is the address it came from, `board` the name the board gave itself, `door` how it came (tus, tcp).
    """

    file: str
    name: str
    size: int
    sha256: str
    when: str
    sender: str = ""
    board: str = ""
    door: str = ""

    def line(self) -> dict[str, Any]:
        """The line of the log."""
        line = dataclasses.asdict(self)
        line["from"] = line.pop("sender")
        return line

    @classmethod
    def read(cls, line: dict[str, Any]) -> Stored | None:
        """The entry of a log line, or None when the line tells something else."""
        try:
            return cls(
                file=str(line["file"]),
                name=str(line["name"]),
                size=int(line["size"]),
                sha256=str(line["sha256"]),
                when=str(line["when"]),
                sender=str(line.get("from", "")),
                board=str(line.get("board", "")),
                door=str(line.get("door", "")),
            )
        except (KeyError, TypeError, ValueError):
            return None


class UploadLog:
    """Appends lines durably; a line torn by a crash is closed off and skipped when reading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def repair(self) -> None:
        """End a torn last line, so that the next one stands alone."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        with self.path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")

    def append(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self.path.open("ab", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for raw in file:
                try:
                    line = json.loads(raw)
                except ValueError:
                    continue
                if isinstance(line, dict):
                    yield line
