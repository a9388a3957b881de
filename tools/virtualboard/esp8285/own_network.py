"""The module's own network: access-point mode, the stations in it, and the addresses they get.

Words of the events: `wifi_event_handler_cb` in the AT 1.6.2 and 1.7.6 binaries; 1.3 and 1.5 have none. Addresses:
`dhcpserver.c` of NONOS SDK 3.0.6, which offers the module itself as router and as name server, and an MTU of 576.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtualboard.clock import Action
from virtualboard.esp8285.links import GIVES_UP_NS

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

LEASES = 100
"""Most addresses of the DHCP server (DHCPS_MAX_LEASE), whatever CWDHCPS says."""

NOT_THERE = "no such network"
WRONG_KEY = "wrong key"
FULL = "no room for another station"


@dataclass
class _Guest:
    """A station as the module knows it."""

    follows: bool
    on_gone: Action | None


class OwnNetwork:
    """Access-point mode of one module. `stations` are the addresses ("0.0.0.0" before a lease) by MAC, as CWLIF tells
    them."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self.stations: dict[str, str] = {}
        self._guests: dict[str, _Guest] = {}
        self._leased: dict[str, str] = {}

    @property
    def on(self) -> bool:
        """True while the network is on the air."""
        return self._modem.running and self._modem.settings.mode != 1

    @property
    def ssid(self) -> bytes:
        """Its name."""
        return self._modem.settings.own_network[0]

    @property
    def key(self) -> bytes:
        """What a station must know; empty for an open network."""
        _, key, _, encryption, _, _ = self._modem.settings.own_network
        return key if encryption else b""

    @property
    def channel(self) -> int:
        """There is one radio: a joined network's channel wins over the own setting (SDK guide, CWMODE 3)."""
        point = self._modem.station.point
        return self._modem.settings.own_network[2] if point is None else point.channel

    @property
    def address(self) -> str:
        """The module's address in it, which is also the name server that stations are told."""
        return self._modem.settings.ap_address[0]

    def seen(self, ssid: bytes | None) -> bool:
        """True when a station that looks for that name (None: for any that is told) finds the network."""
        hidden = self._modem.settings.own_network[5]
        return self.on and (not hidden if ssid is None else ssid == self.ssid)

    # -- stations -----------------------------------------------------------------------------------------

    def admit(
        self, mac: str, ssid: bytes | None, key: bytes, follows: bool = True, on_gone: Action | None = None
    ) -> str:
        """A station asks to be let in; returns why not, or "". `follows`: it goes along when the channel changes.
        `on_gone` is called when the module turns it out or leaves it behind."""
        if not self.seen(ssid):
            return NOT_THERE
        if key != self.key:
            return WRONG_KEY
        if len(self.stations) >= self._modem.settings.own_network[4] and mac not in self.stations:
            return FULL
        self.stations[mac] = "0.0.0.0"
        self._guests[mac] = _Guest(follows, on_gone)
        self._say(b'+STA_CONNECTED:"%s"\r\n' % mac.encode())
        return ""

    def lease(self, mac: str) -> str | None:
        """An address for a station that was admitted, the same as last time; None without a DHCP server or room."""
        if not self.on or mac not in self.stations or not self._modem.settings.dhcp & 1:
            return None
        ip = self._leased.get(mac) or next((ip for ip in self._pool() if ip not in self._leased.values()), None)
        if ip is not None:
            self.has_address(mac, ip)
        return ip

    def has_address(self, mac: str, ip: str) -> None:
        """The DHCP server gave `ip` to a station."""
        self.stations[mac] = self._leased[mac] = ip
        for _ in range(self._modem.profile.lease_prints):
            self._say(b'+DIST_STA_IP:"%s","%s"\r\n' % (mac.encode(), ip.encode()))

    def joined(self, mac: str, ip: str) -> None:
        """A station joins and gets `ip`, at once (`sta-174`)."""
        self.stations[mac] = "0.0.0.0"
        self._say(b'+STA_CONNECTED:"%s"\r\n' % mac.encode())
        self.has_address(mac, ip)

    def left(self, mac: str) -> None:
        """A station says goodbye. Its links are not told: they end when what was sent on them stays unacknowledged."""
        ip = self.stations.pop(mac, None)
        self._guests.pop(mac, None)
        if ip is not None:
            self._say(b'+STA_DISCONNECTED:"%s"\r\n' % mac.encode())
            self._modem.network.cut(ip, self._modem.about(GIVES_UP_NS))

    def turn_out(self) -> None:
        """The network is changed or switched off: every station is sent away."""
        for mac in list(self.stations):
            guest = self._guests.get(mac)
            self.left(mac)
            if guest is not None and guest.on_gone is not None:
                guest.on_gone()

    def moved(self) -> None:
        """The station's side went to another channel: who does not follow the announcement is left behind, unheard."""
        for mac, guest in list(self._guests.items()):
            if not guest.follows:
                del self._guests[mac]
                ip = self.stations.pop(mac)
                self._modem.network.cut(ip, self._modem.about(GIVES_UP_NS))
                if guest.on_gone is not None:
                    guest.on_gone()

    def reset(self) -> None:
        """The module restarts: nothing is said, everybody is out."""
        guests = list(self._guests.values())
        for ip in self.stations.values():
            self._modem.network.cut(ip, GIVES_UP_NS)
        self.stations.clear()
        self._guests.clear()
        self._leased.clear()
        for guest in guests:
            if guest.on_gone is not None:
                guest.on_gone()

    # -- addresses ----------------------------------------------------------------------------------------

    def range(self) -> tuple[str, str]:
        """First and last address that stations get."""
        set_by_hand = self._modem.settings.lease
        if set_by_hand is not None and self.range_allowed(*set_by_hand[1:]):
            return set_by_hand[1:]
        own = int(ipaddress.IPv4Address(self.address))
        low = own & 0xFF
        first = (own & ~0xFF) + (low - LEASES if low >= 0x80 else low + 1)
        return str(ipaddress.IPv4Address(first)), str(ipaddress.IPv4Address(first + LEASES - 1))

    def range_allowed(self, first: str, last: str) -> bool:
        """The range is in the module's /24, without its own address, and no longer than the server can keep."""
        own, low, high = (int(ipaddress.IPv4Address(ip)) for ip in (self.address, first, last))
        in_net = low >> 8 == own >> 8 == high >> 8
        return in_net and not low <= own <= high and 0 <= high - low <= LEASES

    def addresses_changed(self) -> None:
        """The DHCP server was started anew: it has forgotten who has what."""
        self._leased.clear()

    def _pool(self) -> list[str]:
        first, last = (int(ipaddress.IPv4Address(ip)) for ip in self.range())
        return [str(ipaddress.IPv4Address(ip)) for ip in range(first, last + 1)]

    def _say(self, text: bytes) -> None:
        if self._modem.profile.tells_stations:
            self._modem.say_wifi(text)
