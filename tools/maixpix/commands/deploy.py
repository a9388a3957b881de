"""`maixpix deploy`: the device code onto a board, over its serial port."""

from __future__ import annotations

import time
from pathlib import Path

import click

from maixpix import ports, ui
from maixpix.board import bundle, install, own
from maixpix.board.link import BoardError, Link
from maixpix.board.places import BoardPlace
from maixpix.commands.common import place_on, port_option
from maixpix.commands.software import APP, allow_updates, check_app, own_apps, set_app, tell, wants_mpy
from maixpix.errors import UserError

_WATCH_S = 0.5


@click.command()
@port_option
@click.option("--app", metavar="NAME|PATH", help=APP)
@click.option("--without", multiple=True, metavar="NAME", help="Remove an app of your own.")
@click.option("--to", type=click.Choice(["auto", "sd", "flash"]), default="auto", help="Card, flash, or card if any.")
@click.option("--mpy", "form", flag_value="mpy", help="Send byte code (default where mpy-cross 1.11 exists).")
@click.option("--source", "form", flag_value="source", help="Send source files.")
@click.option("--start/--no-start", default=True, help="Start the app afterwards (default) or stay at the REPL.")
@click.option("--update", is_flag=True, help="Let the board fetch new software itself: gives it a secret of its own.")
@click.option("--watch", is_flag=True, help="Stay, and deploy again whenever a file changes.")
def deploy(
    port: str | None,
    app: str | None,
    without: tuple[str, ...],
    to: str,
    form: str | None,
    start: bool,
    update: bool,
    watch: bool,
) -> None:
    """Put pix, the apps and main.py onto the board over its serial port.

    Only what differs is sent, compared by SHA-256 taken on the board. The new version is complete and checked before
    the board is switched to it; a cable pulled at any moment leaves the old one running. On a card the software lives
    in maixpix/; nothing else is touched. Without a card it goes to the flash, where pictures cannot be kept.

    --app ./mine.py, or a folder with a main.py, puts a program of your own beside ours and starts it. It stays there
    with all later deployments, until --without mine.

    With --update the board asks `maixpix serve --update` for new software from now on, and takes what is sealed with
    the secret that this command puts onto the board and into your own settings (docs/update.md).

    \b
    Examples:
      maixpix deploy --app show
      maixpix deploy --app ./mine.py --watch
      maixpix deploy --to flash --source
    """
    check_app(app)
    device = ports.choose(port)
    seen = _state(app)
    deploy_once(device, app, to, wants_mpy(form), start, without, update)
    while watch:
        time.sleep(_WATCH_S)
        now = _state(app)
        if now and now != seen:
            seen = now
            try:
                deploy_once(device, app, to, wants_mpy(form), start, without)
            except UserError as error:
                ui.say(error.told)


def deploy_once(
    device: str,
    app: str | None,
    to: str,
    mpy: bool | None,
    start: bool,
    without: tuple[str, ...] = (),
    update: bool = False,
) -> install.Result:
    """One deployment, told in a few lines. Whatever goes wrong, with `start` the board's app runs again afterwards."""
    mine = own_apps(app)

    def build(flat: bool, mpy: bool | None) -> bundle.Bundle:
        return own.add(bundle.build(flat=flat, mpy=mpy), mine, flat)

    files = build(to == "flash", mpy)  # a mistake in a file is told before the board is touched
    with Link(device, ui.say, restart=start) as link:
        place = place_on(link, to)
        if place.flat and to == "auto":
            ui.say("no card: installing on the flash; pictures need a card")
            files = build(True, mpy)
        if files.note:
            ui.note(files.note)
        try:
            result = _install(place, files, without)
        except BoardError as error:
            if not files.compiled or mpy or not error.last.startswith("ValueError"):
                raise
            ui.note(f"this firmware takes no byte code of mpy-cross 1.11 ({error.last}): the source is sent instead")
            files = build(place.flat, False)
            result = _install(place, files, without)
        notes = list(result.notes)
        if not place.flat:
            # With a slow card MaixPy runs the flash's main.py; the loader there waits for the card.
            notes += install.install_loader(BoardPlace(link, "/flash"), files.loader, replace_own=False)[1]
        set_app(place, app)
        if update:
            notes += allow_updates(place)
        ui.notes(notes)
        tell(place, files, result)
    return result


def _install(place: BoardPlace, files: bundle.Bundle, without: tuple[str, ...]) -> install.Result:
    with ui.meter("deploy") as meter:
        return install.install(
            place,
            files,
            lambda done, total, name: meter.update(done, total, name),
            trial=place.try_import,
            without=without,
        )


def _state(app: str | None) -> list[tuple[str, int, int]]:
    """Names, times and sizes of the files that are deployed; [] while an editor replaces one of them."""
    root = bundle.source_root()
    files = [*(root / "firmware").rglob("*.py"), *(root / "apps").glob("*.py")]
    if app is not None and own.is_path(app):
        mine = Path(app)
        files += [path for path in mine.rglob("*") if path.is_file()] if mine.is_dir() else [mine]
    try:
        return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    except OSError:
        return []
