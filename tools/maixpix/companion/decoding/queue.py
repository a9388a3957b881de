"""Who is served next: bounded in all and for each address, fair between addresses, without those who have gone."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from aiohttp import web

from maixpix.companion.problems import Refused

RETRY_AFTER_S = 2

Work = TypeVar("Work")


@dataclass(frozen=True)
class Caller:
    """Somebody who waits for a piece of work: the address, and whether there is still anybody to tell."""

    address: str
    has_gone: Callable[[], bool] = lambda: False

    @classmethod
    def of(cls, request: web.BaseRequest) -> Caller:
        transport = request.transport
        return cls(request.remote or "", lambda: transport is None or transport.is_closing())


@dataclass(frozen=True)
class _Waiting(Generic[Work]):
    work: Work
    has_gone: Callable[[], bool]
    is_foreign: bool


class FairQueue(Generic[Work]):
    """Takes turns between addresses. `on_drop` is told of work whose callers have all gone before it began."""

    def __init__(self, most: int, most_each: int, on_drop: Callable[[Work], None]) -> None:
        self._most = most
        self._most_each = most_each
        self._on_drop = on_drop
        self._lines: OrderedDict[str, deque[_Waiting[Work]]] = OrderedDict()
        self.dropped = 0
        """Pieces of work dropped since the start because nobody waited for them any more."""

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def put(self, caller: Caller, work: Work, is_foreign: bool) -> None:
        """Line up behind one's own. Raises `Refused` (503, with Retry-After) when there is no place."""
        line = self._lines.get(caller.address, deque())
        if len(self) >= self._most or len(line) >= self._most_each:
            self._drop_gone()
            line = self._lines.get(caller.address, deque())
        if len(self) >= self._most or len(line) >= self._most_each:
            raise Refused(
                503, "busy", "too many pictures are wanted at once", f"ask again in {RETRY_AFTER_S} s",
                {"Retry-After": str(RETRY_AFTER_S)},
            )  # fmt: skip
        line.append(_Waiting(work, caller.has_gone, is_foreign))
        self._lines[caller.address] = line

    def take(self, foreign_too: bool) -> Work | None:
        """The next piece of work, None when there is none; without `foreign_too` those of the house only."""
        for address in list(self._lines):
            line = self._lines[address]
            for waiting in list(line):
                if waiting.has_gone():
                    line.remove(waiting)
                    self._drop(waiting)
                elif foreign_too or not waiting.is_foreign:
                    line.remove(waiting)
                    self._lines.move_to_end(address)
                    self._tidy()
                    return waiting.work
        self._tidy()
        return None

    def counts(self) -> Counter[str]:
        """How many wait for each address."""
        return Counter({address: len(line) for address, line in self._lines.items()})

    def _drop_gone(self) -> None:
        for line in self._lines.values():
            for waiting in [one for one in line if one.has_gone()]:
                line.remove(waiting)
                self._drop(waiting)
        self._tidy()

    def _drop(self, waiting: _Waiting[Work]) -> None:
        self.dropped += 1
        self._on_drop(waiting.work)

    def _tidy(self) -> None:
        for address in [address for address, line in self._lines.items() if not line]:
            del self._lines[address]
