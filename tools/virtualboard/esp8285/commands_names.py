"""Names: the module's own, those it looks up and where, the one it announces.

Bytes, and what is checked first: AT 1.7.6 binary (`at_ipCmd.o`). CIPDNS from AT 1.4 (its table is in SDK 2.1.0's
library and not in 2.0.0's); MDNS in the oldest table that can be read, AT 1.3.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.esp8285.commands_ip import NAME_BYTES
from virtualboard.esp8285.parser import Arguments, BadArgument, ip_argument
from virtualboard.esp8285.verbs import Verb, since, stored_form, stores, with_suffixes

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

DEFAULT_SERVER = "208.67.222.222"
"""Both name servers of `CIPDNS=1` without any."""

MDNS_BYTES = 32


def _host_name(modem: Modem, _name: bytes, args: Arguments) -> None:
    host = args.string(32)
    args.end()
    modem.flash.hostname = host
    modem.ok()


def _host_name_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:%s\r\n" % (name, modem.flash.hostname))
    modem.ok()


def _servers(modem: Modem, name: bytes, args: Arguments) -> None:
    servers: tuple[str, ...] | None = None
    if args.number_in(0, 1):
        servers = (DEFAULT_SERVER,)
        if args.more():
            servers = (ip_argument(args, b"IP1 ERROR", b"IP1 invalid"),)
            if args.more():
                servers = (*servers, ip_argument(args, b"IP2 ERROR", b"IP2 invalid"))
                if servers[0] == servers[1]:
                    raise BadArgument
    args.end()
    modem.settings.name_servers = servers
    if stores(name):
        modem.flash.name_servers = servers
    modem.ok()


def _servers_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    kept = modem.flash.name_servers if stored_form(name) else modem.settings.name_servers
    for server in kept or modem.station.address[1:2]:
        modem.print(b"%s:%s\r\n" % (name, server.encode()))
    modem.ok()


def _resolve(modem: Modem, name: bytes, args: Arguments) -> None:
    host = args.string(NAME_BYTES)
    args.end()
    if not host:
        raise BadArgument
    if not modem.station.online:
        modem.error(b"DNS Fail")
        return

    def answered(address: str | None) -> None:
        if address is None or not modem.station.online:
            modem.error(b"DNS Fail")
        else:
            shown = b'"%s"' % address.encode() if modem.profile.rtos else address.encode()
            modem.print(b"%s:%s\r\n" % (name, shown))
            modem.ok()

    modem.resolve(host, answered)


def _announce(modem: Modem, _name: bytes, args: Arguments) -> None:
    if args.number_in(0, 1, b"para error when mdns"):
        if modem.settings.mode == 2:
            raise BadArgument(b"opmode mismatch when mdns")
        if not modem.station.online:
            raise BadArgument(b"ip invalid when mdns")
        if not args.more():
            raise BadArgument(b"get hostname fail when mdns")
        host = args.string(MDNS_BYTES, b"get hostname fail when mdns")
        args.comma(b"hostname error when mdns")
        service = args.string(MDNS_BYTES, b"get servername fail when mdns")
        args.comma(b"servername error when mdns")
        port = args.number_in(1, 65535)
        args.end(b"servername error when mdns")
        if not host or not service:
            raise BadArgument(b"get servername fail when mdns" if host else b"get hostname fail when mdns")
        modem.settings.announced = host, service, port
    else:
        args.end(b"para error when disable mdns")
        modem.settings.announced = None
    modem.ok()


VERBS: dict[bytes, Verb] = {
    b"+CWHOSTNAME": since((1, 4, 0), Verb(query=_host_name_query, setup=_host_name)),
    **with_suffixes(b"+CIPDNS", since((1, 4, 0), Verb(query=_servers_query, setup=_servers)), plain=False),
    b"+CIPDOMAIN": Verb(setup=_resolve),
    b"+MDNS": since((1, 3, 0), Verb(setup=_announce)),
}
