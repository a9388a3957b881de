"""The folder of a demo: what an earlier demo left goes away, what somebody else put there never does."""

from __future__ import annotations

import shutil
from pathlib import Path

from maixpix.board import bundle
from maixpix.companion.convert import Rendition, convert
from maixpix.companion.problems import Refused
from maixpix.companion.settings import PictureLimits
from maixpix.companion.sniff import HEAD_BYTES, MORE_FORMATS, name_of, recognise
from maixpix.errors import UserError
from maixpix.paths import board_files

MARKER = "maixdemo.txt"
"""Stands in every folder that a demo made, and in none that it did not; an 8.3 name, since one of them is a card."""

_MARKER_TEXT = "Made by maixpix demo, whose next run with the same --out deletes everything in this folder.\n"
_OUT_TEXT = "Results of maixpix demo, whose next run with the same --out deletes the ones it made.\n"

RESULTS = ("panel.png", "snap-panel.png", "received.jpg", "demo.png", "report.json", "board.flash")
FOLDERS = ("card", "uploads", "picture")


def claim(out: Path) -> None:
    """Make `out` ready for a run: no result of an earlier one is left, `FOLDERS` are there and empty.

    Raises UserError, and deletes nothing, when `out` cannot be had or holds something by the name of a result that no
    demo made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{out} is no folder", "name another folder with --out") from None
    except OSError as error:
        raise UserError(f"cannot make the folder {out}: {error.strerror}", "name another one with --out") from None
    marked = (out / MARKER).exists()
    foreign = [out / name for name in RESULTS if not marked and _there(out / name)]
    foreign += [out / name for name in FOLDERS if not _is_ours(out / name)]
    if foreign:
        names = ", ".join(map(str, foreign))
        raise UserError(f"{names}: not made by a demo, so not deleted", "name another folder with --out, or move it")
    try:
        (out / MARKER).write_text(_OUT_TEXT, encoding="utf-8")
        for name in RESULTS:
            (out / name).unlink(missing_ok=True)
        for name in FOLDERS:
            if (out / name).exists():
                shutil.rmtree(out / name)
            (out / name).mkdir()
            (out / name / MARKER).write_text(_MARKER_TEXT, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write to {error.filename or out}: {error.strerror}", "name another folder with --out"
        ) from None


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _is_ours(folder: Path) -> bool:
    """True when `folder` may be emptied: absent, empty, or made by a demo. A link to a folder is somebody's."""
    if not _there(folder):
        return True
    if folder.is_symlink() or not folder.is_dir():
        return False
    return (folder / MARKER).exists() or not any(folder.iterdir())


def fill_card(card: Path, byte_code: bool = False) -> None:
    """Put `pix` and the apps onto a card folder, where they can be run and read without the loader.

    With `byte_code` `pix` is what `maixpix deploy` sends: compiled on the board, it would leave no room for a picture.
    """
    files = board_files()
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(files / "apps", card / "apps", ignore=ignore)
    if not byte_code:
        shutil.copytree(files / "firmware" / "pix", card / "pix", ignore=ignore)
        return
    (card / "pix").mkdir()
    for name, data in bundle.pix_files().items():
        (card / name).write_bytes(data)


OWN_PICTURE = PictureLimits(also_read=tuple(MORE_FORMATS))
"""What is read of the picture that the user names: all there is, as nobody else can have brought it here."""


def picture_suffix(path: Path, size: tuple[int, int]) -> str:
    """The suffix under which the companion serves the picture `path`, whatever it is called now.

    Raises UserError when there is no such file, or none that the companion can convert to `size`.
    """
    remedy = "name a picture file with --picture"
    if not path.is_file():
        raise UserError(f"there is no picture {path}", remedy)
    try:
        with path.open("rb") as file:
            convert(file, Rendition(*size), OWN_PICTURE)
            file.seek(0)
            head = file.read(HEAD_BYTES)
    except Refused as error:
        raise UserError(f"{path} cannot be shown: {error.cause}", remedy) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", remedy) from None
    kind = recognise(head)
    return kind.suffix if kind is not None else "." + name_of(head)
