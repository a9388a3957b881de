"""The command table: which commands a version knows, and how a line finds its handler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.esp8285 import (
    commands_basic,
    commands_ip,
    commands_link,
    commands_names,
    commands_own,
    commands_server,
    commands_wifi,
)
from virtualboard.esp8285.parser import Arguments, BadArgument, split_command
from virtualboard.esp8285.verbs import Verb, suffixed

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

_VERBS: dict[bytes, Verb] = {
    **commands_basic.VERBS,
    **commands_wifi.VERBS,
    **commands_own.VERBS,
    **commands_ip.VERBS,
    **commands_names.VERBS,
    **commands_link.VERBS,
    **commands_server.VERBS,
}


def run_command(modem: Modem, line: bytes) -> None:
    """Run `line` (what followed `AT`, without the line feed). Ends in OK or ERROR, at once or later."""
    command = split_command(line)
    verb = _VERBS.get(command.name) if command is not None else None
    if command is not None and modem.profile.rtos and suffixed(command.name) and not command.name.startswith(b"+UART"):
        verb = None  # ESP-AT 2.x dropped the suffixes: SYSSTORE says whether a setting is stored
    if command is None or verb is None or command.name in modem.missing or not verb.known_to(modem.profile):
        modem.error()
        return
    handler = getattr(verb, command.kind)
    if handler is None:
        modem.error()
        return
    try:
        handler(modem, command.name, Arguments(command.arguments))
    except BadArgument as refusal:
        modem.error(refusal.reason)
