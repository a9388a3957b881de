"""`maixpix reset`: start the board anew."""

from __future__ import annotations

import time

import click
import serial

from maixpix import boards, ports, ui
from maixpix.board.link import BAUD, Link, open_error
from maixpix.commands.common import port_option


@click.command()
@port_option
@click.option("--soft", is_flag=True, help="Restart MaixPy only, the chip's peripherals keep their state.")
@click.option("--lines", is_flag=True, help="Use the port's DTR and RTS lines, for a board whose REPL is dead.")
@click.option("--board", "board_name", default="auto", help="Board, for the pattern of --lines.")
def reset(port: str | None, soft: bool, lines: bool, board_name: str) -> None:
    """Restart the board; the app of the settings starts again.

    \b
    Examples:
      maixpix reset
      maixpix reset --lines --board dock
    """
    board = boards.find(board_name)
    device = ports.choose(port, board)
    if lines:
        _pulse(device, board)
        return
    link = Link(device, ui.say)
    link.open(soft_reset=False)
    try:
        if soft:
            link.start_main()
        else:
            link.hard_reset()
    finally:
        link.close()


def _pulse(device: str, board: boards.Board) -> None:
    """Reset without the boot pin: dan-type boards reset by RTS, the others by DTR (kflash 1.1.6 reset_to_boot_*)."""
    by_rts = board.kflash in ("dan", "bit", "trainer")
    try:
        with serial.serial_for_url(device, BAUD) as line:
            for level in (False, True, False):
                line.rts = level and by_rts
                line.dtr = level and not by_rts
                time.sleep(0.1)
    except (OSError, serial.SerialException) as error:
        raise open_error(device, error) from None
