"""Where the files that go onto a board are: in the source tree, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

_TREE = Path(__file__).resolve().parents[2]
_INSTALLED = Path(__file__).resolve().parent / "board_files"


def board_files() -> Path:
    """Folder with `firmware`, `apps` and `assets`."""
    return _INSTALLED if _INSTALLED.is_dir() else _TREE
