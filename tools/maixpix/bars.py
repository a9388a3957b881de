"""What moves and has colours, on terminals: all of `rich`, which costs a command more than the rest of its imports."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column
from rich.text import Text

from maixpix.text import plain


class CleanConsole(Console):
    """A console that prints no foreign control characters, neither from text nor from what is built of it."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(_clean(one) for one in objects), **options)

    def line(self, *pieces: tuple[str, str]) -> None:
        """One line of (text, style), as long as it is."""
        self.print(Text.assemble(*pieces), soft_wrap=True)


def _clean(item: Any) -> Any:
    if isinstance(item, str):
        return plain(item)
    if isinstance(item, Text):
        item.plain = plain(item.plain)
    return item


def byte_bars(console: Console | None = None) -> Progress:
    """Bars that count bytes, with rate and time left, each on one line: the title gives way first, then the bar.

    On stderr unless told otherwise: results go to stdout, everything about their making goes there.
    """
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        BarColumn(bar_width=None, table_column=Column(min_width=8, ratio=1)),
        DownloadColumn(table_column=Column(no_wrap=True)),
        TransferSpeedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        console=console or CleanConsole(stderr=True, highlight=False, soft_wrap=True),
        expand=True,
    )
