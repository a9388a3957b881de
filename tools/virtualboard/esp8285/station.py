"""The Wi-Fi station inside the module: joining, addresses, losses, and the messages about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.clock import MS, SECOND, Action, Alarm
from virtualboard.esp8285.air import AccessPoint

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

IDLE = 0
CONNECTING = 1
WRONG_PASSWORD = 2
NO_AP_FOUND = 3
CONNECT_FAIL = 4
GOT_IP = 5
# The numbers of the SDK's wifi_station_get_connect_status (NONOS SDK user_interface.h); CWJAP prints them on failure.

SCAN_NS = 2000 * MS
"""One active scan of 13 channels at up to 120 ms each, with switching."""

REFUSED_NS = 2800 * MS
"""From the start of a join until a wrong password is known (the four-way handshake times out)."""

DHCP_TIMEOUT_NS = 10 * SECOND
"""From association to DHCP TIMEOUT, where that is said at all."""

AUTO_NS = (0, 500 * MS)
"""From `ready` to the WIFI DISCONNECT of an automatic join: right behind it (`bbs1821-rst`) or later
(`gl-gmr-autoconn`)."""

WPS_FIND_NS = 5 * SECOND
"""From the start of WPS to its success with a router whose button is pushed; a guess."""

WPS_GIVES_UP_NS = 120 * SECOND
"""Walk time of the push button method (Wi-Fi Simple Configuration)."""

RETRY_NS = 1 * SECOND
"""Pause between two attempts to come back to a lost network; the station tries for ever."""


class Station:
    """Station mode of one module."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self._clock = modem.clock
        self.status = IDLE
        self.point: AccessPoint | None = None
        """The access point it is associated with."""
        self.ssid = b""
        self.password = b""
        self.bssid: str | None = None
        self.fixed: tuple[str, str, str] | None = None
        self._alarm: Alarm | None = None
        self._blocked = False
        self._searching = False
        modem.air.listeners.append(self._point_lost)

    @property
    def address(self) -> tuple[str, str, str]:
        """Address, gateway and netmask; zeros without a network."""
        if self.status != GOT_IP or self.point is None:
            return "0.0.0.0", "0.0.0.0", "0.0.0.0"
        return self.fixed or (self.point.ip, self.point.gateway, self.point.netmask)

    @property
    def online(self) -> bool:
        """True with an address."""
        return self.status == GOT_IP

    def join(self, ssid: bytes, password: bytes, bssid: str | None = None) -> None:
        """Leave the present network and try this one, for ever."""
        self.leave()
        self.ssid, self.password, self.bssid = ssid, password, bssid
        self.status = CONNECTING
        self._attempt()

    def leave(self) -> None:
        """Stop trying; say WIFI DISCONNECT when associated."""
        self._stop()
        self.ssid = b""
        self._disassociate()
        self.status = IDLE

    def leave_later(self, delay_ns: int) -> None:
        """As `leave`, but the association ends and is told of `delay_ns` later, unless a join comes before."""
        self._stop()
        self.ssid = b""
        self.status = IDLE
        if self.point is not None:
            self._later(delay_ns, self._disassociate)

    def auto_join(self) -> None:
        """Join the stored network after a boot. Up to AT 1.2 WIFI DISCONNECT comes first."""
        modem = self._modem
        self.ssid, self.password, self.bssid = modem.flash.ssid, modem.flash.password, None
        self.status = CONNECTING
        if not modem.profile.auto_disconnects:
            self._attempt()
            return

        def begin() -> None:
            modem.say_wifi(b"WIFI DISCONNECT\r\n")
            self._attempt()

        self._later(modem.spread(*AUTO_NS), begin)

    def lose(self) -> None:
        """The radio link broke; come back when the network is there."""
        if self.point is not None:
            self._stop()
            self._disassociate()
            self.status = CONNECTING
            self._retry()

    def block(self, blocked: bool) -> None:
        """While blocked, no attempt finds any network (a fault)."""
        self._blocked = blocked

    def push_button(self) -> None:
        """WPS: look for a router whose button was pushed, get its name and key, and join."""
        self.leave()
        self._search(self._clock.now + WPS_GIVES_UP_NS)

    def stop_button(self) -> None:
        """End WPS; a network that was joined by it stays."""
        if self._searching:
            self._stop()

    def _search(self, until: int) -> None:
        self._later(WPS_FIND_NS, lambda: self._found(until))
        self._searching = True

    def _found(self, until: int) -> None:
        point = next((p for p in self._modem.air.points if p.audible and p.wps and not self._blocked), None)
        if point is not None:
            self._modem.say_wifi(b"wps success,connecting ap ...\r\n")
            key = point.password.encode()
            self._modem.flash.ssid, self._modem.flash.password = point.ssid_bytes, key
            self.join(point.ssid_bytes, key)
        elif self._clock.now < until:
            self._search(until)
        else:
            self._modem.say_wifi(b"wps fail\r\n")

    def reset(self) -> None:
        """The module restarts: all is forgotten, nothing is said."""
        self._stop()
        self.status = IDLE
        self.point = None
        self.ssid = b""
        self.fixed = None

    def _stop(self) -> None:
        self._searching = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _later(self, delay_ns: int, action: Action) -> None:
        self._stop()
        self._alarm = self._clock.after(delay_ns, action)

    def _attempt(self) -> None:
        found = None if self._blocked else self._modem.air.find(self.ssid, self.bssid)
        if found is None:
            self._later(SCAN_NS, self._not_found)
        elif found.refuses:
            self._later(REFUSED_NS, self._turned_away)
        elif found.password.encode("utf-8", "surrogateescape") != self.password:
            self._later(REFUSED_NS, self._refused)
        else:
            self._later(found.associate_ms * MS, lambda: self._associated(found))

    def _not_found(self) -> None:
        self.status = NO_AP_FOUND
        self._retry()

    def _turned_away(self) -> None:
        self.status = CONNECT_FAIL
        self._retry()

    def _refused(self) -> None:
        self.status = WRONG_PASSWORD
        self._retry()

    def _retry(self) -> None:
        self._later(RETRY_NS, self._attempt)

    def _associated(self, point: AccessPoint) -> None:
        if not point.audible or self._blocked:
            self._not_found()
            return
        self.point = point
        self.status = CONNECTING
        self._modem.say_wifi(b"WIFI CONNECTED\r\n")
        self._modem.own.moved()
        if self.fixed is not None:
            self._got_ip()
        elif point.dhcp_ok:
            self._later(point.dhcp_ms * MS, self._got_ip)
        elif point.tells_timeout:
            self._later(DHCP_TIMEOUT_NS, lambda: self._modem.say_wifi(b"DHCP TIMEOUT\r\n"))
        # Without an address it stays associated and, on most modules, says nothing more (`se16194-noip`).

    def _got_ip(self) -> None:
        self._stop()
        self.status = GOT_IP
        self._modem.say_wifi(b"WIFI GOT IP\r\n")

    def _disassociate(self) -> None:
        if self.point is not None:
            self.point = None
            self.status = IDLE
            self._modem.say_wifi(b"WIFI DISCONNECT\r\n")
            self._modem.links.station_lost()

    def _point_lost(self, point: AccessPoint) -> None:
        if self.point is point:
            self.lose()
