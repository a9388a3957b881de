"""The card of a run at its start: the software as `deploy` sends it, the settings, and what waits on it."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from maixpix.board import bundle
from maixpix.board.places import FolderPlace
from maixpix.torture import air, easel
from maixpix.torture.pictures import planted
from maixpix.torture.scenario import Scenario


def prepare(card: Path, scenario: Scenario, plant: Mapping[str, tuple[str, str]]) -> None:
    """Make the folder `card`. `plant` changes device files, path on the card -> (text, other text)."""
    _software(card, scenario)
    if scenario.server.get("older_loader"):
        (card / "main.py").write_bytes(older_loader())
    (card / "pix.json").write_text(json.dumps(scenario.settings))
    if scenario.app in _FOLDERS:
        _pictures(card / _FOLDERS[scenario.app], scenario.planted)
    elif scenario.app in ("snap", "show", "frame", "get") and scenario.planted:
        _outbox(card / "outbox", scenario.planted)
    for path, (text, other) in plant.items():
        before = bundle.device_text(bundle.source_root(), path.removeprefix("maixpix/a/")) or ""
        if text not in before:
            raise ValueError(f"{path} has no {text!r} to change")
        # As source, in the place of its byte code; all others stay: from source alone the heap is too small.
        (card / path).with_suffix(".mpy").unlink(missing_ok=True)
        (card / path).write_text(before.replace(text, other))


def older_loader() -> bytes:
    """A loader that works as well, and is to be replaced."""
    return easel.software(byte_code=True).loader.replace(b"range(9)", b"range(8)")


_FOLDERS = {"send": "dcim", "web": "pics"}
"""Where pictures lie that the app is to do something with."""


def _software(card: Path, scenario: Scenario) -> None:
    if scenario.app in ("update", "deploy") and scenario.planted:
        shutil.copytree(_of_two_versions(), card)
    else:
        easel.put_software(card, byte_code=True)


@cache
def _of_two_versions() -> Path:
    """A card on which an older version lies in the other folder."""
    folder = Path(tempfile.mkdtemp(prefix="maixpix-torture-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in (air.OLD, ""):
        air.put(FolderPlace(folder), name)
    return folder


def _pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    for number, data in enumerate(planted(count)):
        (folder / f"p{number}.jpg").write_bytes(data)


def _outbox(folder: Path, count: int) -> None:
    folder.mkdir()
    (folder / "number").write_bytes(b"%07d\n" % count)
    for number, data in enumerate(planted(count), 1):
        (folder / f"s{number:07}.jpg").write_bytes(data)
