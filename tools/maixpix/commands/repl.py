"""`maixpix repl`: the board's prompt in this terminal."""

from __future__ import annotations

import subprocess
import sys

import click

from maixpix import ports, ui
from maixpix.commands.common import port_option
from maixpix.errors import UserError


@click.command()
@port_option
def repl(port: str | None) -> None:
    """Talk to MaixPy's prompt (mpremote's terminal); Ctrl-] ends it, Ctrl-C stops what runs.

    \b
    Example:
      maixpix repl --port /dev/ttyUSB0
    """
    device = ports.choose(port)
    ui.say("Ctrl-C stops the app, Ctrl-D starts it again, Ctrl-] ends")
    done = subprocess.run([sys.executable, "-m", "mpremote", "connect", device, "resume", "repl"], check=False)
    if done.returncode:
        raise UserError("the terminal ended with an error", "is another program using the port? See `maixpix ports`")
