"""`maixpix logs`: what went wrong on the board lately."""

from __future__ import annotations

from pathlib import Path

import click
import serial

from maixpix import ports, ui
from maixpix.board import bundle, card, private
from maixpix.board.link import BAUD, open_error
from maixpix.board.places import Place
from maixpix.commands.common import board, place_on, port_option
from maixpix.text import Cleaner

_LOGS = ("pix.old", "pix.log")


@click.command()
@port_option
@click.option("--card", "card_folder", type=click.Path(path_type=Path), help="Read a mounted card instead.")
@click.option("--lines", "-n", type=click.IntRange(1), default=40, show_default=True, help="Lines to show.")
@click.option("--app", metavar="NAME", help="Only what an app of your own has met.")
@click.option("--follow", "-f", is_flag=True, help="Show what the board prints from now on; nothing is stopped.")
def logs(port: str | None, card_folder: Path | None, lines: int, app: str | None, follow: bool) -> None:
    """Show the board's last errors, kept on its card over resets.

    Reading them interrupts the app, which is started again afterwards. --follow only listens to the console.

    \b
    Examples:
      maixpix logs -n 10
      maixpix logs --app mine
      maixpix logs --follow
    """
    if follow:
        _follow(ports.choose(port))
        return
    if card_folder is not None:
        _print_log(card.open_card(card_folder)[0], lines, app)
        return
    with board(port) as link:
        _print_log(place_on(link), lines, app)


def _print_log(place: Place, count: int, app: str | None) -> None:
    text = b"".join(place.read(name) or b"" for name in _LOGS).decode("utf-8", "replace")
    # "<start number> <uptime> <kind> <app>: <text>", as firmware/pix/log.py writes it
    shown = [line for line in text.splitlines() if app is None or line.split(" ")[3:4] == [f"{app}:"]][-count:]
    texts = bundle.device_texts(bundle.source_root())
    ui.out("\n".join(private.spoken(line, texts) for line in shown) if shown else f"no errors are kept on {place.name}")


def _follow(device: str) -> None:
    cleaner = Cleaner()
    try:
        with serial.serial_for_url(device, BAUD, timeout=0.2, exclusive=True) as line:
            while True:
                data = line.read(max(1, line.in_waiting))
                if data:
                    ui.out(cleaner.feed(data), end="")
    except (OSError, serial.SerialException, ValueError) as error:
        raise open_error(device, error) from None
