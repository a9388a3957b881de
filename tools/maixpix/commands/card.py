"""`maixpix card`: the device code onto a mounted SD card."""

from __future__ import annotations

from pathlib import Path

import click

from maixpix import ui
from maixpix.board import bundle, card, own
from maixpix.commands.software import APP, allow_updates, check_app, own_apps, set_app, tell, wants_mpy


@click.command("card")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--app", metavar="NAME|PATH", help=APP)
@click.option("--without", multiple=True, metavar="NAME", help="Remove an app of your own.")
@click.option("--update", is_flag=True, help="Let the board fetch new software itself: gives it a secret of its own.")
@click.option("--mpy", "form", flag_value="mpy", help="Write byte code (default where mpy-cross 1.11 exists).")
@click.option("--source", "form", flag_value="source", help="Write source files.")
def card_command(folder: Path, app: str | None, without: tuple[str, ...], update: bool, form: str | None) -> None:
    """Put pix, the apps and main.py onto a mounted SD card.

    FOLDER is where the card is mounted. Files that are not maixpix's stay untouched; a main.py of your own is kept as
    main.old.

    \b
    Examples:
      maixpix card /media/SD --app frame
      maixpix card /media/SD --app ./mine.py
    """
    check_app(app)
    files = own.add(bundle.build(mpy=wants_mpy(form)), own_apps(app))
    if files.note:
        ui.note(files.note)
    result, notes = card.put(folder, files, without)
    place, _ = card.open_card(folder)
    set_app(place, app)
    if update:
        notes += allow_updates(place)
    ui.notes((*notes, *result.notes))
    tell(place, files, result)
