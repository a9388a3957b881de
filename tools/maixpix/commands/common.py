"""Options that several commands share, and the way from options to a place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from maixpix import card, ports, ui
from maixpix.errors import UserError
from maixpix.link import Link
from maixpix.places import BoardPlace, Place

F = TypeVar("F", bound=Callable[..., Any])


def port_option(command: F) -> F:
    """--port, with the environment as its default."""
    return click.option(
        "--port",
        "-p",
        metavar="PORT",
        envvar=ports.PORT_VARIABLE,
        help="Serial port of the board (default: the only likely one; `maixpix ports` lists them).",
    )(command)


@contextmanager
def board(port: str | None) -> Iterator[Link]:
    """A raw REPL session with the board at `port`."""
    with Link(ports.choose(port), ui.say) as link:
        yield link


def place_on(link: Link, to: str = "auto") -> BoardPlace:
    """The card or the flash of the board, as `to` says (auto: the card when there is one)."""
    if to == "flash":
        return BoardPlace(link, "/flash")
    if link.wait_for_card():
        return BoardPlace(link, "/sd")
    if to == "sd":
        raise UserError("the board sees no card", "insert a FAT32 card and reset the board, or use --to flash")
    return BoardPlace(link, "/flash")


@contextmanager
def place(port: str | None, card_folder: Path | None, to: str = "auto") -> Iterator[Place]:
    """A mounted card when `card_folder` is given, else the board's, whose app is started again afterwards."""
    if card_folder is not None:
        folder, notes = card.open_card(card_folder)
        for note in notes:
            ui.say(f"note: {note}")
        yield folder
        return
    with board(port) as link:
        yield place_on(link, to)
        link.start_main()
