"""The lock file beside a plan: what was put where, from which address, with size and digest."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from maixpix.errors import UserError


@dataclass(frozen=True)
class Locked:
    """One file of the card. `source` names it in the plan; `made` tells how it was made from the source's bytes."""

    source: str
    source_sha256: str
    made: str
    path: str
    size: int
    sha256: str


def lock_path(plan: Path) -> Path:
    """Where the lock of a plan is."""
    return plan.with_name(plan.stem + ".lock")


def read_lock(path: Path) -> dict[str, Locked]:
    """By source; {} when there is no lock yet. Raises `UserError` for a damaged one."""
    try:
        return {entry["source"]: Locked(**entry) for entry in json.loads(path.read_text("utf-8"))["files"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged", "delete it; the card is then compared by its contents alone") from None


def write_lock(path: Path, entries: Iterable[Locked]) -> None:
    """Replace the lock in one step."""
    text = json.dumps({"files": [dataclasses.asdict(entry) for entry in entries]}, indent=1) + "\n"
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
