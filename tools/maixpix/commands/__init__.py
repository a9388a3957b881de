"""The commands of `maixpix`, one a file. `TABLE` names them all, so that help texts need none of their modules."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Entry:
    """A command that is loaded when it is used: the module of this package, its attribute there, its first line."""

    module: str
    attribute: str
    line: str

    def load(self) -> click.Command:
        """Import the command with what it needs."""
        return getattr(importlib.import_module(f"{__name__}.{self.module}"), self.attribute)


TABLE = {
    "board": Entry("board", "board", "Run a virtual board until Ctrl-C."),
    "card": Entry("card", "card_command", "Put pix, the apps and main.py onto a mounted SD card."),
    "demo": Entry("demo", "demo", "Show a picture on a virtual board, then take one and send it back."),
    "deploy": Entry("deploy", "deploy", "Put pix, the apps and main.py onto the board over its serial port."),
    "doctor": Entry("doctor", "doctor_command", "Find out what is wrong: from the port to the server."),
    "fill": Entry("fill", "fill", "Fill a card with what a plan names: pictures, models, apps, settings."),
    "firmware": Entry("firmware", "firmware", "Recognise firmware files and download official MaixPy builds."),
    "flash": Entry("flash", "flash_command", "Write firmware and models into the board's flash."),
    "get": Entry("get", "get", "Download files, each of them complete and proven before it has its name."),
    "logs": Entry("logs", "logs", "Show the board's last errors, kept on its card over resets."),
    "modem-log": Entry("modem_log", "modem_log", "Replay the log of a Wi-Fi module against the virtual one."),
    "new": Entry("new", "new", "Write a first program of your own into NAME.py."),
    "ports": Entry("ports", "ports", "List serial ports and what they probably are."),
    "repl": Entry("repl", "repl", "Talk to MaixPy's prompt in this terminal; Ctrl-] ends it."),
    "reset": Entry("reset", "reset", "Restart the board; the app of the settings starts again."),
    "run": Entry("run", "run", "Run a Python FILE on the board and show what it prints."),
    "screenshot": Entry("screenshot", "screenshot", "Save what a virtual board's panel shows as PNG."),
    "serve": Entry("serve", "serve", "Give the pictures in FOLDER to boards, and receive theirs."),
    "setup": Entry("setup", "setup", "Write the board's settings (pix.json); asks when given no options."),
    "torture": Entry(
        "torture", "torture", "Play the board's apps while everything goes wrong, and hold laws against it."
    ),
}
"""Every command by its name on the command line, in the order of `maixpix --help`."""
