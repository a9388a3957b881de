"""`maixpix modem-log`: somebody's log of a Wi-Fi module against the virtual one."""

from __future__ import annotations

from pathlib import Path

import click

from maixpix.errors import UserError
from maixpix.output import out
from virtualboard.esp8285.profiles import PROFILES
from virtualboard.esp8285.records.replay import Outcome, replay
from virtualboard.esp8285.records.session import escape, load

_SHOWN = 48  # bytes of each side behind the first difference


@click.command("modem-log")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--at", type=click.Choice(list(PROFILES)), help="AT firmware; without it, what the log names.")
@click.option("--id", "wanted", metavar="ID", help="Only this session of the file.")
@click.option("--show", is_flag=True, help="Both dialogues, side by side.")
def modem_log(file: Path, at: str | None, wanted: str | None, show: bool) -> None:
    """Replay the log of a Wi-Fi module and show where the virtual module first says something else.

    FILE is a dialogue (lines "> AT+GMR" were typed, "< \\r\\nOK\\r\\n" came) or one JSON object a line; docs/modem.md
    describes both. The exit status is 1 when any session differs.

    \b
    Example:
      maixpix modem-log mine.txt --show
    """
    try:
        sessions = load(file)
    except (ValueError, OSError) as error:
        raise UserError(f"{file}: {error}", "docs/modem.md shows what such a file looks like") from None
    sessions = [session for session in sessions if wanted in (None, session.id)]
    if not sessions:
        raise UserError(f"{file} has no session called {wanted}", "its lines with # id: name them")
    outcomes = [replay(session, PROFILES[at] if at else None) for session in sessions]
    for outcome in outcomes:
        for line in _told(outcome, show):
            out(line)
    if not all(outcome.same for outcome in outcomes):
        raise click.exceptions.Exit(1)


def _told(outcome: Outcome, show: bool) -> list[str]:
    session = outcome.session
    lines = [f"{escape(session.id.encode())}: AT {outcome.profile}, "]
    if outcome.same:
        lines[0] += f"same {len(session.printed)} bytes"
    else:
        lines[0] += f"differs at byte {outcome.agreed} of {len(session.printed)}"
    if outcome.notes:
        lines[0] += f" ({', '.join(outcome.notes)})"
    if show:
        lines += [f"  {line}" for line in outcome.side_by_side()]
    elif not outcome.same:
        at = outcome.agreed
        lines.append(f"  log     {escape(session.printed[at : at + _SHOWN])}")
        lines.append(f"  virtual {escape(outcome.printed[at : at + _SHOWN]) or '(nothing more)'}")
    return lines
