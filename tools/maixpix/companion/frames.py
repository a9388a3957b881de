"""The slideshow behind `/frame`: which picture a board gets next."""

from __future__ import annotations

import random
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from maixpix.companion.pictures import Picture
from maixpix.companion.problems import Refused

ORDERS = ("name", "newest", "random")

_MAX_BOARDS = 256


@dataclass
class _Show:
    """What one board has been shown in the current round, and what it shows now."""

    shown: set[str] = field(default_factory=set)
    current: str | None = None


class Slideshow:
    """Remembers for each board (and order) what it has seen; the boards asked for longest ago are forgotten first."""

    def __init__(self, seed: int | None = None) -> None:
        self._shows: OrderedDict[tuple[str, str], _Show] = OrderedDict()
        self._random = random.Random(seed)

    def candidates(self, pictures: list[Picture], board: str, order: str, stay: bool = False) -> Iterator[Picture]:
        """Pictures in the order in which they are to be tried; the caller tells by `taken` which one it used.

        Every picture comes once before any comes again, also when files are added or removed meanwhile; with
        `newest`, a new arrival comes next. `stay` puts the current one first (a broken transfer is resumed).
        """
        show = self._show(board, order)
        by_name = {picture.name: picture for picture in pictures}
        if stay and show.current in by_name:
            yield by_name[show.current]
        ordered = list(pictures)
        if order == "newest":
            ordered.sort(key=lambda picture: -picture.modified)
        elif order == "random":
            self._random.shuffle(ordered)
        fresh = [picture for picture in ordered if picture.name not in show.shown]
        yield from fresh
        again = [picture for picture in ordered if picture.name in show.shown]
        # The one on the panel comes last, or two rounds could meet in the same picture.
        yield from sorted(again, key=lambda picture: picture.name == show.current)

    def taken(self, picture: Picture, board: str, order: str) -> None:
        """`picture` goes to the board now."""
        show = self._show(board, order)
        if picture.name in show.shown and picture.name != show.current:
            show.shown.clear()
        show.shown.add(picture.name)
        show.current = picture.name

    def _show(self, board: str, order: str) -> _Show:
        if order not in ORDERS:
            raise Refused(
                400, "bad-order", f"order={order[:40]!r} is not understood", "use one of " + ", ".join(ORDERS)
            )
        if not re.fullmatch(r"[A-Za-z0-9_.:-]{0,64}", board):
            raise Refused(400, "bad-board", "the board's name is not usable", "use up to 64 letters, digits and _.:-")
        show = self._shows.setdefault((board, order), _Show())
        self._shows.move_to_end((board, order))
        while len(self._shows) > _MAX_BOARDS:
            self._shows.popitem(last=False)
        return show
