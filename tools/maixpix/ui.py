"""What the commands share: lines for people, progress bars only on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from maixpix.errors import shorten
from maixpix.output import err as err
from maixpix.output import err_is_terminal
from maixpix.output import out as out
from maixpix.text import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

LINE_EVERY_S = 5.0
_COLUMNS = 80  # of a line that goes to no terminal


def say(text: str) -> None:
    """One line about what is going on, on stderr: results go to stdout."""
    err(text)


def note(text: str) -> None:
    """One line that people should know of, though nothing has failed."""
    say(f"note: {text}")


def notes(lines: Iterable[str]) -> None:
    """A line for each of `lines`, as `note`."""
    for line in lines:
        note(line)


class Meter:
    """Counts bytes of one job: a bar on a terminal, else a line at the start, every few seconds and at the end.

    `console` is where the bar goes, stderr unless told otherwise.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title = title
        self._console = console
        self._bar: Progress | None = None
        self._task = None
        self._last = 0.0

    def __enter__(self) -> Meter:
        if err_is_terminal() if self._console is None else self._console.is_terminal:
            from maixpix.bars import byte_bars

            self._bar = byte_bars(self._console)
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
            say(shorten(self.title, _COLUMNS - len(amount)) + amount)


@contextmanager
def meter(title: str) -> Iterator[Meter]:
    """A `Meter` as a context."""
    with Meter(title) as one:
        yield one
