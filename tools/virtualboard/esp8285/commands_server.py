"""The module's server: CIPSERVER and its limits. Bytes, and what is checked first: AT 1.7.6 binary (`at_ipCmd.o`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.esp8285.parser import Arguments, BadArgument
from virtualboard.esp8285.stats import LINKS
from virtualboard.esp8285.verbs import Verb, since

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

DEFAULT_SERVER_PORT = 333
LONGEST_SILENCE_S = 7200


def _server(modem: Modem, _name: bytes, args: Arguments) -> None:
    if not modem.settings.mux:
        raise BadArgument
    on = args.number_in(0, 1)
    port = DEFAULT_SERVER_PORT
    if on and args.more():
        port = args.number_in(1, 65535)
    args.end()
    if bool(on) == (modem.settings.server_port is not None):
        modem.print(b"no change\r\n")
    elif on:
        modem.server.open(port)
    else:
        modem.server.close()
    modem.ok()


def _clients(modem: Modem, _name: bytes, args: Arguments) -> None:
    value = args.number_in(1, LINKS)
    args.end()
    if modem.settings.server_port is not None:
        raise BadArgument
    modem.settings.server_max = value
    modem.ok()


def _clients_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:%d" % (name, modem.settings.server_max))
    modem.ok()


def _timeout(modem: Modem, _name: bytes, args: Arguments) -> None:
    if modem.settings.server_port is None:
        raise BadArgument
    value = args.number_in(0, LONGEST_SILENCE_S)
    args.end()
    modem.settings.server_timeout_s = value
    modem.ok()


def _timeout_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:%d\r\n" % (name, modem.settings.server_timeout_s))
    modem.ok()


VERBS: dict[bytes, Verb] = {
    b"+CIPSERVER": Verb(setup=_server),
    b"+CIPSERVERMAXCONN": since((1, 6, 0), Verb(query=_clients_query, setup=_clients)),
    b"+CIPSTO": Verb(query=_timeout_query, setup=_timeout),
}
