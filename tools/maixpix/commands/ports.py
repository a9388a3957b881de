"""`maixpix ports`: the serial ports, and what they probably are."""

from __future__ import annotations

import json

import click

from maixpix import ports as port_list
from maixpix import ui
from maixpix.errors import UserError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def ports(as_json: bool) -> None:
    """List serial ports and what they probably are.

    Nothing is opened, so no board is reset. A port that is in use or not permitted is marked with the remedy.
    Commands take the only likely port by themselves; --port or MAIXPIX_PORT names another.

    \b
    Example:
      maixpix ports --json
    """
    found = port_list.scan()
    if as_json:
        ui.out(json.dumps([vars(port) for port in found], indent=2))
        return
    if not found:
        raise UserError("no serial port was found", "plug the board in with a data cable")
    for port in found:
        pair = f", port {port.place + 1} of {port.count}" if port.count > 1 else ""
        ui.out(f"{port.device}  {port.usb or '-':9}  {port.guess or 'no K210 board known'}{pair}")
        if port.trouble:
            ui.out(f"    {port.trouble}")
    if any(port.count > 1 and port.likely for port in found):
        ui.out("two-port boards: go and amigo flash through the second port, the others through the first")
