"""Options that several commands share, and the way from options to a place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from maixpix import ports, ui
from maixpix.board import card, settings
from maixpix.board.link import Link
from maixpix.board.places import BoardPlace, Place
from maixpix.errors import UserError

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


class OneOf(click.ParamType):
    """One of the names that `names()` gives when it is needed; a wrong one is told with all of them."""

    def __init__(self, name: str, names: Callable[[], list[str]]) -> None:
        self.name = name
        self._names = names

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself."""
        if value not in self._names():
            self.fail(f"{value!r} is none of {', '.join(self._names())}", param, ctx)
        return value


BOARD = OneOf("board", settings.board_names)
"""A board as the device code knows it (firmware/pix/board.py)."""


def board(port: str | None) -> Link:
    """A raw REPL session with the board at `port`, whose app is started again afterwards, whatever happens."""
    return Link(ports.choose(port), ui.say, restart=True)


def place_on(link: Link, to: str = "auto") -> BoardPlace:
    """The card or the flash of the board, as `to` says (auto: the card when there is one)."""
    on_card = to != "flash" and link.wait_for_card()
    if to == "sd" and not on_card:
        raise UserError("the board sees no card", "insert a FAT32 card and reset the board, or use --to flash")
    return BoardPlace(link, "/sd" if on_card else "/flash")


@contextmanager
def place(port: str | None, card_folder: Path | None, to: str = "auto") -> Iterator[Place]:
    """A mounted card when `card_folder` is given, else the board's, whose app is started again afterwards."""
    if card_folder is not None:
        folder, notes = card.open_card(card_folder)
        ui.notes(notes)
        yield folder
        return
    with board(port) as link:
        yield place_on(link, to)
