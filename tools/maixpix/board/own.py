"""Apps of the user's own: a file or a folder that goes onto the board beside ours, and is named in the settings.

Own apps are part of a version, each in a folder of its own: maixpix/a/own/NAME/NAME.py. So they are switched to
together with everything else or not at all, and what one app brings along hides nothing of another's. A deployment
that does not name them takes them over from the version that runs. They stay source: small, readable on the card, and
in tracebacks every line has its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from maixpix.board import bundle
from maixpix.board.places import Place
from maixpix.errors import UserError

FOLDER = "own"
"""Folder of a version that holds own apps; firmware/pix/start.py looks there first."""

MOST_BYTES = 4 << 20
"""Of one app: what goes over a serial line of 115200 baud takes a minute a MiB and a half."""

_TAKEN = frozenset(
    """
    array board boot builtins cmath errno fpioa_manager gc hashlib image io json kpu lcd machine maix math micropython
    modules network nes os pix random re select sensor socket struct sys time touchscreen ubinascii ucollections uctypes
    uerrno uhashlib uheapq uio ujson uos urandom ure uselect usocket ustruct utime uzlib video zlib
    """.split()  # noqa: SIM905 - a list of so many texts is no better to read
)
"""Names that `import` finds in the firmware, or as our package, before any file (MaixPy v0.6.2 `help('modules')`)."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,7}\Z")
_FILE = re.compile(r"[a-z0-9_]{1,8}(\.[a-z0-9]{1,3})?\Z")
_SKIPPED = ("__pycache__",)


@dataclass(frozen=True)
class OwnApp:
    """An app to put on a board: its name, where it is on this machine, and its files by their path in its folder."""

    name: str
    source: Path
    files: Mapping[str, bytes]


def is_path(text: str) -> bool:
    """Whether `text` names a file or folder of this machine and not an app on the board."""
    return text.endswith(".py") or "/" in text or "\\" in text or (Path(text).is_dir() and text not in _ours())


def read(path: Path) -> OwnApp:
    """The app in the file or folder `path`. Raises UserError for what the board could not run, naming file and line.

    A folder's program is its main.py, or the file that is called as the folder is.
    """
    if path.is_dir():
        name = path.resolve().name
        check_name(name, path)
        return OwnApp(name, path, _folder(path, name))
    if path.suffix != ".py":
        raise UserError(f"{path} is no Python file", "name a file that ends with .py, or a folder")
    if not path.is_file():
        raise UserError(f"there is no file {path}", f"write a first one: maixpix new {path.stem}")
    check_name(path.stem, path)
    return OwnApp(path.stem, path, {f"{path.stem}.py": _program(path)})


def check_name(name: str, path: Path | None = None) -> None:
    """Raise UserError unless an own app may be called `name`."""
    what = f"{path}: " if path is not None else ""
    if _NAME.match(name) is None:
        raise UserError(
            f"{what}an app's name has 1 to 8 small letters, digits and _, and begins with a letter", "rename it"
        )
    if name in _ours():
        raise UserError(f"{what}{name} is one of maixpix's own apps", "rename yours")
    if name in _TAKEN:
        raise UserError(f"{what}{name} is a module of the board's, which imports would find first", "rename it")


def add(files: bundle.Bundle, apps: Iterable[OwnApp], flat: bool = False) -> bundle.Bundle:
    """`files` with own apps in it; `flat` for MaixPy's flash."""
    found = dict(files.files)
    for app in apps:
        for path, data in app.files.items():
            name = f"{FOLDER}/{app.name}/{path}"
            if flat and path.endswith(".py"):
                data = bundle.flatten(data.decode("utf-8"), path, bundle.pix_modules()).encode("utf-8")
            found[name] = data
    return replace(files, files=found)


def owner(path: str) -> str:
    """The name of the own app that the file `path` of a version belongs to; "" for ours."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == FOLDER else ""


def names(paths: Iterable[str]) -> list[str]:
    """Names of the own apps among the files of a version."""
    return sorted({owner(path) for path in paths} - {""})


def resolve(place: Place, installed: Iterable[str], text: str) -> str:
    """What the setting "app" is for the app that people call `text`: ours, one of the `installed` own ones (files of
    the version at `place`), or a file there: NAME.py at its top or in apps/, or any other by its path.

    Raises UserError when there is none.
    """
    text = text.removeprefix("/sd/") if not place.flat else text.removeprefix("/flash/")
    name = text.removesuffix(".py")
    inner = PurePosixPath(name)
    if name in _ours() or name in names(installed):
        return name
    for folder in ("", "apps/"):
        if place.read(f"{folder}{name}.py") is not None or place.read(f"{folder}{name}.mpy") is not None:
            if len(inner.parts) > 1:
                return f"{'/flash' if place.flat else '/sd'}/{folder}{name}.py"
            return name
    known = ", ".join([*_ours(), *names(installed)])
    here = Path(text if text.endswith(".py") else f"{text}.py")
    if here.is_file():
        raise UserError(f"{name} is not on {place.name} yet", f"put it there: maixpix deploy --app ./{here}")
    raise UserError(f"there is no app {name}", f"apps are: {known}; your own: maixpix deploy --app ./{inner.name}.py")


def _folder(path: Path, name: str) -> dict[str, bytes]:
    """All files below `path`; main.py gets the app's name."""
    found: dict[str, bytes] = {}
    for file in sorted(path.rglob("*")):
        inner = file.relative_to(path)
        if not file.is_file() or any(part.startswith(".") or part in _SKIPPED for part in inner.parts):
            continue
        for part in inner.parts:
            if _FILE.match(part) is None:
                raise UserError(f"{file}: names on the card must be 8.3 lower case", "rename it")
        try:
            found[inner.as_posix()] = _program(file) if file.suffix == ".py" else file.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {file}: {error.strerror}", "close it elsewhere, then try again") from None
    entry = f"{name}.py"
    if entry not in found:
        if "main.py" not in found:
            raise UserError(f"{path} has no program", f"call it main.py or {entry}")
        found[entry] = found.pop("main.py")
    size = sum(len(data) for data in found.values())
    if size > MOST_BYTES:
        raise UserError(
            f"{path} has {size >> 20} MB, too much for a serial line",
            "put large files on the card itself: maixpix fill, or the app get",
        )
    return found


def _program(path: Path) -> bytes:
    """A Python file that the board's compiler takes, as bytes. Raises UserError with the line that it does not."""
    text = bundle.device_source(path, path.name)
    checker = bundle.compiler()
    if checker is not None:
        bundle.compile_text(checker, path.name, text)
    return text.encode("utf-8")


def _ours() -> list[str]:
    return bundle.app_names()
