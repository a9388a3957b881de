"""Where the files that go onto a board are: in the source tree, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from maixpix.errors import UserError

_TREE = Path(__file__).resolve().parents[2]
_INSTALLED = Path(__file__).resolve().parent / "board_files"


def board_files() -> Path:
    """Folder with `firmware`, `apps` and `assets`."""
    return _INSTALLED if _INSTALLED.is_dir() else _TREE


def require_folder(path: Path, remedy: str) -> None:
    """Raise UserError with `remedy` unless `path` is a folder; a file is not said to be missing."""
    if path.is_dir():
        return
    raise UserError(f"{path} is a file, no folder" if path.exists() else f"there is no folder {path}", remedy)
