"""The radio around the module: access points that can be wrong, slow, or gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass
class AccessPoint:
    """One network as the module sees it. Times in virtual milliseconds, `rssi` in dBm; `channel` 36 and more is 5 GHz.

    An empty password is an open network. With `dhcp_ok` false no address is ever given.
    """

    ssid: str | bytes
    password: str = ""
    rssi: int = -50
    channel: int = 6
    bssid: str = "3c:84:6a:00:00:01"
    associate_ms: int = 1600
    dhcp_ms: int = 500
    dhcp_ok: bool = True
    ip: str = "192.168.4.50"
    gateway: str = "192.168.4.1"
    netmask: str = "255.255.255.0"
    reachable: bool = True
    tells_timeout: bool = False
    """A module that waits for an address here says DHCP TIMEOUT after a while, as some were seen to do."""
    refuses: bool = False
    """It turns every station away (CWJAP says 4)."""
    encryption: int | None = None
    """Number that CWLAP prints: 0 open, 2 WPA, 3 WPA2, 4 both; unless set by the password."""
    wps: bool = False
    """Somebody has just pushed its button."""
    scan_tail: tuple[bytes, ...] | None = None
    """What CWLAP prints behind the channel, when something else than usual."""

    def __post_init__(self) -> None:
        if self.encryption is None:
            self.encryption = 4 if self.password else 0

    @property
    def audible(self) -> bool:
        """True when a radio for 2.4 GHz, which is all that the module has, can hear it: channels 1 to 14."""
        return self.reachable and self.channel <= 14

    @property
    def ssid_bytes(self) -> bytes:
        """The network's name as bytes on the air."""
        return self.ssid if isinstance(self.ssid, bytes) else self.ssid.encode()


class Air:
    """The access points in reach. Stations that want to hear of losses add themselves to `listeners`."""

    def __init__(self, points: Iterable[AccessPoint] = ()) -> None:
        self.points = list(points)
        self.listeners: list[Callable[[AccessPoint], None]] = []

    def find(self, ssid: bytes, bssid: str | None = None) -> AccessPoint | None:
        """The strongest reachable access point of that name (and address), or None."""
        fits = [
            point
            for point in self.points
            if point.audible and point.ssid_bytes == ssid and (bssid is None or point.bssid == bssid.lower())
        ]
        return max(fits, key=lambda point: point.rssi, default=None)

    def lose(self, ssid: str | bytes) -> None:
        """The network goes off the air; stations joined to it are cut off at once."""
        for point in self._named(ssid):
            point.reachable = False
            for listener in list(self.listeners):
                listener(point)

    def back(self, ssid: str | bytes) -> None:
        """The network is on the air again."""
        for point in self._named(ssid):
            point.reachable = True

    def _named(self, ssid: str | bytes) -> list[AccessPoint]:
        wanted = ssid if isinstance(ssid, bytes) else ssid.encode()
        found = [point for point in self.points if point.ssid_bytes == wanted]
        if not found:
            raise ValueError(f"no access point called {ssid!r} here")
        return found
