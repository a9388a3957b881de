"""What the commands share: one console for people, progress bars only on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column
from rich.text import Text

from maixpix.errors import shorten
from maixpix.output import err as err
from maixpix.output import out as out
from maixpix.text import plain

LINE_EVERY_S = 5.0
_COLUMNS = 80  # of a line that goes to no terminal


def stderr() -> Console:
    """A console on stderr: results go to stdout, everything about their making goes here."""
    return CleanConsole(stderr=True, highlight=False, soft_wrap=True)


class CleanConsole(Console):
    """A console that prints no foreign control characters, neither from text nor from what is built of it."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(_clean(one) for one in objects), **options)


def _clean(item: Any) -> Any:
    if isinstance(item, str):
        return plain(item)
    if isinstance(item, Text):
        item.plain = plain(item.plain)
    return item


def say(text: str) -> None:
    """One line about what is going on."""
    stderr().print(text, markup=False)


def byte_bars(console: Console | None = None) -> Progress:
    """Bars that count bytes, with rate and time left, each on one line: the title gives way first, then the bar."""
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        BarColumn(bar_width=None, table_column=Column(min_width=8, ratio=1)),
        DownloadColumn(table_column=Column(no_wrap=True)),
        TransferSpeedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        console=console or stderr(),
        expand=True,
    )


def note(text: str) -> None:
    """One line that people should know of, though nothing has failed."""
    say(f"note: {text}")


def notes(lines: Iterable[str]) -> None:
    """A line for each of `lines`, as `note`."""
    for line in lines:
        note(line)


class Meter:
    """Counts bytes of one job: a bar on a terminal, else a line at the start, every few seconds and at the end."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title = title
        self.console = console or stderr()
        self._bar: Progress | None = None
        self._task = None
        self._last = 0.0

    def __enter__(self) -> Meter:
        if self.console.is_terminal:
            self._bar = byte_bars(self.console)
            self._bar.start()
            self._task = self._bar.add_task(plain(self.title), total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int = 0, title: str | None = None) -> None:
        """`done` of `total` bytes; total 0 means unknown."""
        if title is not None:
            self.title = title
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total or None, description=plain(self.title))
            return
        now = time.monotonic()
        if done == total or now - self._last >= LINE_EVERY_S:
            self._last = now
            of = f" of {total:,}" if total else ""
            amount = f": {done:,}{of} bytes"
            self.console.print(shorten(self.title, _COLUMNS - len(amount)) + amount, markup=False)


@contextmanager
def meter(title: str) -> Iterator[Meter]:
    """A `Meter` as a context."""
    with Meter(title) as one:
        yield one
