"""The module's own network: its name and key, who is in it, its addresses, leases and MAC.

Order of the checks, limits and bytes: AT 1.7.6 binary (`at_wifiCmd.o`) and `dhcpserver.c` of NONOS SDK 3.0.6. CWSAP,
CWLIF, CIPAP, CIPAPMAC and CWDHCPS are in the oldest table that can be read, AT 1.3.0 (SDK 2.0.0); of CWDHCPS no older
record exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.esp8285.parser import Arguments, BadArgument, ip_argument, mac_argument
from virtualboard.esp8285.verbs import Verb, since, stored_form, stores, with_suffixes

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

SSID_BYTES = 32
PASSWORD_BYTES = 64
SHORTEST_KEY = 8
LONGEST_LEASE_MIN = 2880
DEFAULT_LEASE_MIN = 120


def _network(modem: Modem, name: bytes, args: Arguments) -> None:
    if modem.settings.mode == 1:
        raise BadArgument
    ssid = args.string(SSID_BYTES)
    if not ssid:
        raise BadArgument
    args.comma()
    key = args.string(PASSWORD_BYTES)
    args.comma()
    channel = args.number_in(1, 13)
    args.comma()
    encryption = args.number_in(0, 4)
    if encryption == 1 or (encryption and len(key) < SHORTEST_KEY):
        raise BadArgument  # WEP is none of an access point's
    most, hidden = modem.settings.own_network[4:]
    if args.more():
        most = args.number_in(1, 8)
        if args.more():
            hidden = args.number_in(0, 1)
            args.end()
    modem.own.turn_out()
    modem.settings.own_network = (ssid, key, channel, encryption, most, hidden)
    if stores(name):
        modem.flash.own_network = modem.settings.own_network
    modem.ok()


def _network_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    if modem.settings.mode == 1:
        raise BadArgument
    kept = modem.flash.own_network if stored_form(name) else modem.settings.own_network
    modem.print(b'%s:"%s","%s",%d,%d,%d,%d\r\n' % (name, *kept))
    modem.ok()


def _stations(modem: Modem, _name: bytes, _args: Arguments) -> None:
    if modem.settings.mode == 1:
        raise BadArgument
    for mac, ip in modem.own.stations.items():
        modem.print(b"%s,%s\r\n" % (ip.encode(), mac.encode()))
    modem.ok()


def _address(modem: Modem, name: bytes, args: Arguments) -> None:
    ip = ip_argument(args)
    gateway, netmask = ip, "255.255.255.0"
    if args.more():
        gateway = ip_argument(args)
        if args.more():
            netmask = ip_argument(args)
            args.end()
    modem.settings.ap_address = ip, gateway, netmask
    modem.own.addresses_changed()
    modem.settings.dhcp |= 1  # the command stops the DHCP server and starts it again, whether it ran or not
    if stores(name):
        modem.flash.ap_address = modem.settings.ap_address
        modem.flash.dhcp = modem.settings.dhcp
    modem.ok()


def _address_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    kept = modem.flash.ap_address if stored_form(name) else modem.settings.ap_address
    for label, address in zip((b"ip", b"gateway", b"netmask"), kept, strict=True):
        modem.print(b'%s:%s:"%s"\r\n' % (name, label, address.encode()))
    modem.ok()


def _leases(modem: Modem, name: bytes, args: Arguments) -> None:
    lease = None
    if args.number_in(0, 1):
        args.comma()
        minutes = args.number_in(1, LONGEST_LEASE_MIN)
        args.comma()
        first = ip_argument(args)
        args.comma()
        last = ip_argument(args)
        lease = minutes, first, last
    args.end()
    if modem.settings.mode == 1 or (lease is not None and not modem.own.range_allowed(*lease[1:])):
        raise BadArgument
    modem.settings.lease = lease
    if stores(name):
        modem.flash.lease = lease
    modem.own.addresses_changed()
    modem.own.turn_out()
    modem.ok()


def _leases_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    kept = modem.flash.lease if stored_form(name) else modem.settings.lease
    if kept is None:
        if modem.settings.mode == 1 or not modem.settings.dhcp & 1:
            raise BadArgument
        kept = DEFAULT_LEASE_MIN, *modem.own.range()
    modem.print(b"%s:%d,%s,%s" % (name, kept[0], kept[1].encode(), kept[2].encode()))
    modem.ok()


def _mac(modem: Modem, name: bytes, args: Arguments) -> None:
    mac = mac_argument(args)
    if mac == modem.settings.mac:
        raise BadArgument
    modem.settings.ap_mac = mac
    if stores(name):
        modem.flash.ap_mac = mac
    modem.ok()


def _mac_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    mac = (modem.flash.ap_mac or modem.ap_mac) if stored_form(name) else modem.settings.ap_mac
    modem.print(b'%s:"%s"\r\n' % (name, mac.encode()))
    modem.ok()


VERBS: dict[bytes, Verb] = {
    **with_suffixes(b"+CWSAP", Verb(query=_network_query, setup=_network)),
    b"+CWLIF": Verb(execute=_stations),
    **with_suffixes(b"+CIPAP", Verb(query=_address_query, setup=_address)),
    **with_suffixes(b"+CIPAPMAC", Verb(query=_mac_query, setup=_mac)),
    **with_suffixes(b"+CWDHCPS", since((1, 3, 0), Verb(query=_leases_query, setup=_leases)), plain=False),
}
