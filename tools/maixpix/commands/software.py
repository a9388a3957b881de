"""What `deploy` and `card` have in common: the form of the software, the app in the settings, the last line."""

from __future__ import annotations

import secrets
from pathlib import Path

from maixpix import ui
from maixpix.board import bundle, install, own, settings, update_keys
from maixpix.board.places import Place
from maixpix.errors import UserError


def wants_mpy(choice: str | None) -> bool | None:
    """Whether byte code was asked for by --mpy or --source; None leaves it to what this machine can do."""
    return None if choice is None else choice == "mpy"


APP = "App to start: ours by its NAME, your own as a FILE.py or folder; kept in the settings."


def own_apps(app: str | None) -> list[own.OwnApp]:
    """The app of --app when it is a file or folder of this machine. Raises UserError when the board cannot run it."""
    return [own.read(Path(app))] if app is not None and own.is_path(app) else []


def check_app(app: str | None) -> None:
    """What can be said of --app before the board is asked: an app of no possible name is refused."""
    if app is not None and not own.is_path(app) and app not in bundle.app_names():
        own.check_name(app)


def set_app(place: Place, app: str | None) -> None:
    """Name the app to start in the settings at `place`; with None they stay as they are."""
    if app is None:
        return
    if own.is_path(app):
        name = own.read(Path(app)).name
    else:
        name = own.resolve(place, install.versions(place)[0].files, app)
    settings.write(place, settings.merge(settings.read(place), {"app": name}))


ASKS = "frame"
"""The app that asks for updates."""


def allow_updates(place: Place) -> list[str]:
    """Give the board at `place` a name and a secret for updates; lines about it. Raises UserError on the flash."""
    if place.flat:
        raise UserError("software on the flash cannot be updated through the air", "put a card into the board")
    kept = settings.read(place)
    name = kept.get("name") or f"board-{secrets.token_hex(3)}"
    settings.write(place, settings.merge(kept, {"name": name, "update_key": update_keys.make(name)}))
    lines = [f"board {name} takes software from `maixpix serve --update`; its secret is kept in {update_keys.path()}"]
    app = kept.get("app", "show")
    if app != ASKS:
        lines.append(f"only the app {ASKS} asks for updates, this board starts {app}: maixpix setup --app {ASKS}")
    return lines


def tell(place: Place, files: bundle.Bundle, result: install.Result) -> None:
    """One line of what an installation did."""
    kind = "byte code" if files.compiled else "source"
    if not result.changed and not result.loader_changed:
        ui.out(f"{place.name} is up to date: version {result.number}, {len(files.files)} files")
        return
    ui.out(
        f"version {result.number} is on {place.name}: {result.sent} files sent, {result.kept} kept "
        f"({files.size:,} bytes of {kind})"
    )
