"""What a card is to hold, as a TOML file says it.

panel = "320x240"              # what pictures are made for
firmware = "minimum"           # or full, minimum-v4, or a MaixPy .bin: decides which models will load
app = "frame"                  # puts pix and the apps on the card and starts this one

[settings]                     # goes into pix.json; everything else there stays
server = "http://pc.lan:8000"

[[pictures]]                   # folders, files, addresses; made for the panel as the companion does
from = ["holiday", "https://example.org/cat.png"]
to = "pics"
fit = "fill"                   # also: format, quality, background, size

[[models]]
from = "https://example.org/face.kmodel"
to = "models"
sha256 = "..."                 # for one source

[[files]]                      # as they are
from = "notes.txt"
to = "docs"
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maixpix.companion.convert import Rendition
from maixpix.companion.problems import Refused
from maixpix.errors import UserError
from maixpix.fill.model import BUILDS
from maixpix.flash import images

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SHORT = re.compile(r"[a-z0-9_-]{1,8}(/[a-z0-9_-]{1,8}){0,3}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_TABLES = {
    "pictures": {"from", "to", "fit", "format", "quality", "background", "size"},
    "models": {"from", "to", "sha256"},
    "files": {"from", "to", "sha256"},
}
_TOP = {"panel", "firmware", "app", "settings", *_TABLES}


@dataclass(frozen=True)
class Group:
    """Sources that go to one folder `to` of the card. `kind` is pictures, models or files."""

    kind: str
    sources: tuple[str, ...]
    to: str
    rendition: Rendition | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Plan:
    """`build` is a key of `BUILDS` or ""; `app` and `settings` are empty when the plan leaves them alone."""

    path: Path
    groups: tuple[Group, ...]
    build: str = ""
    app: str = ""
    settings: Mapping[str, Any] | None = None


def read_plan(path: Path) -> Plan:
    """Raises `UserError` that names the place in the file."""
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check its name") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}", "correct it") from None
    _only(found, _TOP, f"{path.name}")
    panel = _rendition({"size": found.get("panel", "320x240")}, path.name)
    groups = []
    for kind, fields in _TABLES.items():
        tables = found.get(kind, [])
        if not isinstance(tables, list):
            raise UserError(f"{path.name}: {kind} is one table", f"write [[{kind}]]")
        for number, table in enumerate(tables, 1):
            groups.append(_group(kind, table, fields, panel, f"[[{kind}]] number {number}"))
    app, settings = found.get("app", ""), found.get("settings")
    if not isinstance(app, str) or not isinstance(settings, dict | None):
        raise UserError(f"{path.name}: app is a name and settings a table", "correct it")
    return Plan(path, tuple(groups), _build(found.get("firmware", ""), path), app, settings)


def _group(kind: str, table: Any, fields: set[str], panel: Rendition, where: str) -> Group:
    if not isinstance(table, dict):
        raise UserError(f"{where} is no table", "correct it")
    _only(table, fields, where)
    sources = table.get("from")
    sources = [sources] if isinstance(sources, str) else sources
    if not isinstance(sources, list) or not sources or not all(isinstance(one, str) and one for one in sources):
        raise UserError(f"{where} has no source", 'write from = "folder, file or address"')
    to = table.get("to", {"pictures": "pics", "models": "models", "files": "files"}[kind])
    if not isinstance(to, str) or not _SHORT.fullmatch(to):
        raise UserError(f"{where}: to = {to!r} is no folder of short lower-case names", 'write for example to = "pics"')
    sha256 = table.get("sha256", "")
    if sha256 and (not isinstance(sha256, str) or not _SHA256.fullmatch(sha256) or len(sources) != 1):
        raise UserError(f"{where}: sha256 is 64 hexadecimal digits, for one source", "correct it")
    rendition = None
    if kind == "pictures":
        query = {name: str(table[name]) for name in ("fit", "format", "quality", "background", "size") if name in table}
        rendition = _rendition({"size": f"{panel.width}x{panel.height}", **query}, where)
    return Group(kind, tuple(sources), to, rendition, sha256.lower())


def _rendition(query: Mapping[str, Any], where: str) -> Rendition:
    try:
        rendition = Rendition.parse({name: str(text) for name, text in query.items()}, None)
    except Refused as refused:
        raise UserError(f"{where}: {refused.cause}", refused.remedy) from None
    if rendition is None:
        raise UserError(f"{where}: no size", 'write panel = "320x240"')
    return rendition


def _build(firmware: Any, path: Path) -> str:
    if firmware in ("", *BUILDS):
        return str(firmware)
    if not isinstance(firmware, str) or not firmware.endswith(".bin"):
        raise UserError(f"{path.name}: firmware = {firmware!r}", f"write one of {', '.join(BUILDS)}, or a MaixPy .bin")
    image = images.identify(path.parent / firmware)
    if image.kind != "maixpy":
        raise UserError(f"{firmware} is no MaixPy build but: {image.title}", "name the .bin that the board runs")
    return "minimum" if image.build.startswith("minimum") else "full"


def _only(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise UserError(f"{where}: {unknown[0]} is not known", "known are: " + ", ".join(sorted(known)))
