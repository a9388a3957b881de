"""Addresses, names, modes of the IP layer. Bytes: AT 1.7.6 binary (`at_wifiCmd.o`, `at_ipCmd.o`)."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from virtualboard.clock import MS
from virtualboard.esp8285.parser import Arguments, BadArgument, ip_argument, mac_argument
from virtualboard.esp8285.verbs import Verb, since, stored_form, stores, with_suffixes

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

NAME_BYTES = 63
"""A name of 64 bytes is refused (NONOS SDK change log)."""

TIME_SERVERS = (b"cn.ntp.org.cn", b"ntp.sjtu.edu.cn", b"us.pool.ntp.org")

TIME_NS = (200 * MS, 1500 * MS)
"""From CIPSNTPCFG until a server's answer is in; a guess, the record only shows that the first query is too early."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _station_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    ip, gateway, netmask = modem.station.address
    modem.print(b'%s:ip:"%s"\r\n' % (name, ip.encode()))
    modem.print(b'%s:gateway:"%s"\r\n' % (name, gateway.encode()))
    modem.print(b'%s:netmask:"%s"\r\n' % (name, netmask.encode()))
    modem.ok()


def _station(modem: Modem, name: bytes, args: Arguments) -> None:
    ip = ip_argument(args)
    gateway, netmask = ip.rsplit(".", 1)[0] + ".1", "255.255.255.0"
    if args.more():
        gateway = ip_argument(args)
        if args.more():
            netmask = ip_argument(args)
            args.end()
    modem.station.fixed = (ip, gateway, netmask)
    if stores(name):
        modem.flash.fixed = modem.station.fixed
    modem.ok()


def _addresses(modem: Modem, _name: bytes, _args: Arguments) -> None:
    if modem.settings.mode != 1:
        modem.print(b'+CIFSR:APIP,"%s"\r\n' % modem.settings.ap_address[0].encode())
        modem.print(b'+CIFSR:APMAC,"%s"\r\n' % modem.settings.ap_mac.encode())
    if modem.settings.mode != 2:
        modem.print(b'+CIFSR:STAIP,"%s"\r\n' % modem.station.address[0].encode())
        modem.print(b'+CIFSR:STAMAC,"%s"\r\n' % modem.settings.mac.encode())
    modem.ok()


def _mac_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    mac = (modem.flash.mac or modem.mac) if stored_form(name) else modem.settings.mac
    modem.print(b'%s:"%s"\r\n' % (name, mac.encode()))
    modem.ok()


def _mac(modem: Modem, name: bytes, args: Arguments) -> None:
    mac = mac_argument(args)
    if mac == modem.settings.ap_mac or modem.settings.mode == 2:
        raise BadArgument
    modem.settings.mac = mac
    if stores(name):
        modem.flash.mac = mac
    modem.ok()


def _dhcp(modem: Modem, name: bytes, args: Arguments) -> None:
    mode = args.number_in(0, 2)
    args.comma()
    on = args.number_in(0, 1)
    args.end()
    bits = (1, 2, 3)[mode]
    value = modem.settings.dhcp | bits if on else modem.settings.dhcp & ~bits
    modem.settings.dhcp = value
    if stores(name):
        modem.flash.dhcp = value
    if on and bits & 2:
        modem.station.fixed = None
        if stores(name):
            modem.flash.fixed = None
    modem.ok()


def _dhcp_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:%d" % (name, modem.flash.dhcp if stored_form(name) else modem.settings.dhcp))
    modem.ok()


def _ping(modem: Modem, _name: bytes, args: Arguments) -> None:
    host = args.string(128)
    args.end()

    def resolved(address: str | None) -> None:
        if address is None or not modem.station.online:
            modem.error(b"+timeout")
        elif modem.network.answers_ping(address):
            trip = modem.network.rtt_ns
            modem.after(trip, lambda: _pong(modem, trip))
        else:
            modem.after(1000 * MS, lambda: modem.error(b"+timeout"))

    modem.resolve(host, resolved)


def _pong(modem: Modem, trip_ns: int) -> None:
    modem.print(b"+%d\r\n" % (trip_ns // MS))
    modem.ok()


def _clock(modem: Modem, _name: bytes, args: Arguments) -> None:
    on = args.number_in(0, 1)
    if not on:
        args.end()
        modem.settings.time_servers = None
        modem.ok()
        return
    args.comma()
    zone = args.signed_in(-11, 13)
    servers = []
    while args.more():
        servers.append(args.string(NAME_BYTES))
        if len(servers) > len(TIME_SERVERS):
            raise BadArgument
    modem.settings.time_servers = (zone, tuple(servers) or TIME_SERVERS)
    modem.settings.time_heard_at = modem.clock.now + modem.spread(*TIME_NS)
    modem.ok()


def _clock_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    if modem.settings.time_servers is None:
        modem.print(b"%s:0\r\n" % name)
    else:
        zone, servers = modem.settings.time_servers
        quoted = b"".join(b',"%s"' % server for server in servers)
        modem.print(b"%s:1,%d%s\r\n" % (name, zone, quoted))
    modem.ok()


def _time_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    """ctime text; 1970 until the servers have been heard (`wea8-sntp`), with the zone added (`sntp-zone`)."""
    seconds = 0
    if modem.settings.time_servers is not None:
        seconds = modem.settings.time_servers[0] * 3600
        if modem.station.online and modem.clock.now >= modem.settings.time_heard_at:
            seconds += modem.network.unix_time()
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    text = f"{_DAYS[moment.weekday()]} {_MONTHS[moment.month - 1]} {moment:%d %H:%M:%S %Y}"
    modem.print(b"%s:%s%s" % (name, text.encode(), modem.profile.time_end))
    modem.ok()


def _mux_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:%d\r\n" % (name, modem.settings.mux))
    modem.ok()


def _mux(modem: Modem, _name: bytes, args: Arguments) -> None:
    value = args.number_in(0, 1)
    args.end()
    if modem.settings.transparent_mode:
        raise BadArgument(b"IPMODE must be 0")
    if modem.settings.server_port is not None:
        raise BadArgument(b"CIPSERVER must be 0")
    if modem.links.any():
        raise BadArgument(b"link is builded")
    modem.settings.mux = bool(value)
    modem.ok()


def _mode_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:%d\r\n" % (name, modem.settings.transparent_mode))
    modem.ok()


def _mode(modem: Modem, _name: bytes, args: Arguments) -> None:
    value = args.number_in(0, 1)
    args.end()
    if modem.settings.mux or modem.settings.server_port is not None:
        raise BadArgument(b"CIPMUX and CIPSERVER must be 0")
    modem.settings.transparent_mode = bool(value)
    modem.ok()


def _status(modem: Modem, name: bytes, _args: Arguments) -> None:
    links = modem.links.open_links()
    if not modem.station.online:
        number = 5  # also of an access point with clients: the station's status is asked first (AT 1.7.6 binary)
    elif links:
        number = 3
    else:
        number = 4 if modem.links.last_closed else 2
    modem.print(b"STATUS:%d\r\n" % number)
    for link in links:
        fields = (link.number, link.kind.encode(), link.ip.encode(), link.port, link.local_port, link.server)
        modem.print(b'%s:%d,"%s","%s",%d,%d,%d\r\n' % (name, *fields))
    modem.ok()


def _remote(modem: Modem, _name: bytes, args: Arguments) -> None:
    value = args.number_in(0, 1)
    args.end()
    modem.settings.show_remote = bool(value)
    modem.ok()


def _remote_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:%s" % (name, b"TRUE" if modem.settings.show_remote else b"FALSE"))
    modem.ok()


def _passive(modem: Modem, _name: bytes, args: Arguments) -> None:
    """A flag and no more, links open or not: nothing moves by it (`at_setupCmdCipRecvMode`, NONOS SDK 3.0.4)."""
    value = args.number_in(0, 1)
    args.end()
    modem.settings.passive = bool(value)
    modem.ok()


def _passive_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:%d\r\n" % (name, modem.settings.passive))
    modem.ok()


VERBS: dict[bytes, Verb] = {
    **with_suffixes(b"+CIPSTA", Verb(query=_station_query, setup=_station)),
    b"+CIFSR": Verb(execute=_addresses),
    **with_suffixes(b"+CIPSTAMAC", Verb(query=_mac_query, setup=_mac)),
    **with_suffixes(b"+CWDHCP", Verb(query=_dhcp_query, setup=_dhcp)),
    b"+CIPSNTPCFG": since((1, 4, 0), Verb(query=_clock_query, setup=_clock)),
    b"+CIPSNTPTIME": since((1, 4, 0), Verb(query=_time_query)),
    b"+PING": Verb(setup=_ping),
    b"+CIPMUX": Verb(query=_mux_query, setup=_mux),
    b"+CIPMODE": Verb(query=_mode_query, setup=_mode),
    b"+CIPSTATUS": Verb(execute=_status),
    b"+CIPDINFO": Verb(query=_remote_query, setup=_remote),
    b"+CIPRECVMODE": since((1, 7, 0), Verb(query=_passive_query, setup=_passive)),
}
