"""A program for a virtual board: its text, its name, and where the board itself has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Program:
    """What to run instead of `boot.py` and `main.py`.

    `source` is its text, `filename` its name in tracebacks. `path`, when given, is where the board itself has it, e.g.
    "/sd/apps/show.py": an engine that has to type programs types a line that starts this file.
    """

    source: str
    filename: str = "main.py"
    path: str | None = None

    @classmethod
    def of(cls, script: Path | str) -> Program:
        """Of a file of the host (Path) or of source text (str)."""
        return cls(script.read_text(encoding="utf-8"), script.name) if isinstance(script, Path) else cls(script)
