"""`maixpix doctor`: one screen that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import click

from maixpix import boards, output, ports, ui
from maixpix.board.link import Link
from maixpix.commands.common import BOARD, port_option
from maixpix.doctor.examine import examine
from maixpix.doctor.findings import Finding, healthy, to_json
from maixpix.errors import UserError

_MARKS = {
    "ok": ("ok   ", "green"),
    "note": ("note ", "yellow"),
    "wrong": ("WRONG", "bold red"),
    "skip": ("-    ", "dim"),
}


@click.command("doctor")
@port_option
@click.option("--board", type=BOARD, metavar="NAME", help="The board, when the settings do not name it.")
@click.option("--no-network", is_flag=True, help="Leave modem and network alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor_command(ctx: click.Context, port: str | None, board: str | None, no_network: bool, as_json: bool) -> None:
    """Find out what is wrong: port, firmware, memory, card, panel, camera, modem, network, server.

    The app is stopped, and started again at the end. Each line says ok, note or WRONG with the remedy. Exit code 1 when
    something is wrong. The keys of networks stay on the board.

    \b
    Examples:
      maixpix doctor
      maixpix doctor --no-network --json
    """
    device = ports.choose(port, boards.find(board) if board else None)
    findings = []
    show = _coloured() if output.out_is_terminal() else _plainly
    try:
        with Link(device, ui.say, restart=True) as link:
            for finding in examine(link, device, board, not no_network):
                findings.append(finding)
                if not as_json:
                    show(finding)
    except UserError as error:
        findings.append(Finding("connection", "wrong", error.message, error.remedy))
        if not as_json:
            show(findings[-1])
    if as_json:
        ui.out(to_json(findings))
    ctx.exit(0 if healthy(findings) else 1)


def _text(finding: Finding) -> str:
    return f" {finding.name:<9} {finding.text}" + (f"; {finding.remedy}" if finding.remedy else "")


def _plainly(finding: Finding) -> None:
    ui.out(_MARKS[finding.state][0] + _text(finding))


def _coloured() -> Callable[[Finding], None]:
    from maixpix.bars import CleanConsole

    console = CleanConsole(highlight=False)
    return lambda finding: console.line(_MARKS[finding.state], (_text(finding), "default"))
