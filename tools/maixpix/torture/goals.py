"""What each app is for: by this the last power cycle of a run has recovered, and ends."""

from __future__ import annotations

from collections.abc import Callable

from maixpix.torture import air, easel
from maixpix.torture.played import Played
from virtualboard.board import Board
from virtualboard.clock import MS

Goal = Callable[[Played, Board, str], bool]
"""(run so far, board, the console line that came, "" at other times) -> the app has reached what it is for."""


def rgb(board: Board) -> bytes:
    """What the panel shows, three bytes a pixel."""
    return board.panel.image().convert("RGB").tobytes()


def _shows(run: Played, board: Board, line: str) -> bool:
    return line.startswith("shown ")


def _shows_the_last(run: Played, board: Board, line: str) -> bool:
    wanted = run.world.shelf.pictures[-1]
    quiet = board.clock.now >= run.scenario.quiet_ms * MS
    return quiet and not line and rgb(board) == easel.picture(wanted)


def _done(run: Played, board: Board, line: str) -> bool:
    return line.startswith("done, ") and (not line.endswith(" not sent") or line == "done, 0 not sent")


def _has_it(run: Played, board: Board, line: str) -> bool:
    return line == "done 1 files"


def _runs_the_last(run: Played, board: Board, line: str) -> bool:
    """The last version has proven itself, and shows the last picture."""
    if not _shows_the_last(run, board, line):
        return False
    last = air.version(air.LAST).name
    before = run.cycles[-2].files if len(run.cycles) > 1 else run.given
    slot, state = air.chosen(before)
    had = state == b"ok" and before.get(slot + "/version") == last.encode()
    return had or f"{last} is confirmed" in run.last.told("version ")


def _told(run: Played, board: Board, line: str) -> bool:
    """The PC has told that it is done."""
    return run.world.desk is not None and run.world.desk.done


def _guests_have_it(run: Played, board: Board, line: str) -> bool:
    """The last picture is on the panel, and nobody is in the middle of anything."""
    guests = run.world.guests
    return guests is not None and _shows_the_last(run, board, line) and guests.gone_home()


GOALS: dict[str, Goal] = {
    "show": _shows,
    "frame": _shows_the_last,
    "get": _has_it,
    "snap": _done,
    "send": _done,
    "update": _runs_the_last,
    "web": _guests_have_it,
    "portal": _shows_the_last,
    "deploy": _told,
    "fill": _told,
}
"""What ends the last power cycle, for each app."""
