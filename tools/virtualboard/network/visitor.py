"""A station of the module's own network, such as a telephone: joins, gets an address, asks and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from virtualboard.clock import MS, SECOND, Action, Alarm
from virtualboard.network.network import Network
from virtualboard.network.script import Script
from virtualboard.network.tcp import End

ASSOCIATE_NS = 300 * MS
DHCP_NS = 400 * MS
ASK_AGAIN_NS = SECOND
"""A resolver asks a second and a third time when no answer comes (RFC 1123 6.1.3.3 leaves the times open)."""

HEADERS = 40
"""Bytes of IP and TCP headers in a packet of the network's MTU."""

TRIES = 3
DNS_PORT = 53


class AccessPoint(Protocol):
    """What a visitor sees of the module's own network."""

    address: str

    def admit(self, mac: str, ssid: bytes | None, key: bytes, follows: bool, on_gone: Action | None) -> str:
        """Let a station in; the reason when not."""

    def lease(self, mac: str) -> str | None:
        """An address for it."""

    def left(self, mac: str) -> None:
        """It says goodbye."""


class Visitor:
    """One station. `mtu` is what it makes of the DHCP server's 576 (1500: it does not care); with `follows` it goes
    along when the access point changes its channel. `ip` is None until it has an address, `trouble` says why it has
    not got in."""

    def __init__(
        self,
        network: Network,
        point: AccessPoint,
        mac: str = "02:00:00:00:00:09",
        mtu: int = 576,
        follows: bool = True,
    ) -> None:
        self.mac = mac
        self.ip: str | None = None
        self.trouble = ""
        self.mss = mtu - HEADERS
        self.on_gone: Action | None = None
        """Called when the access point turns it out, or is no more."""
        self._network = network
        self._clock = network.clock
        self._point = point
        self._follows = follows
        self._alarm: Alarm | None = None
        self._answers: dict[int, Callable[[bytes], None]] = {}
        self._next_port = 49_152

    def join(self, key: bytes = b"", ssid: bytes | None = None, done: Action | None = None) -> None:
        """Get in with that key, into the network of that name (None: the one it sees); `done` when it is settled."""
        self._forget()

        def associated() -> None:
            self.trouble = self._point.admit(self.mac, ssid, key, self._follows, self._gone)
            if not self.trouble:
                self._later(DHCP_NS, addressed)
            elif done is not None:
                done()

        def addressed() -> None:
            self.ip = self._point.lease(self.mac)
            if self.ip is None:
                self.trouble = "no address"
            else:
                self._network.visitors[self.ip] = self._hears
            if done is not None:
                done()

        self._later(ASSOCIATE_NS, associated)

    def leave(self) -> None:
        """Say goodbye."""
        self._forget()
        self._point.left(self.mac)

    def call(self, script: Script, port: int = 80) -> bool:
        """Let `script` connect to the module's `port`; False when nobody is there or the station is not in."""
        return self.ip is not None and self._network.call(port, script, self.ip, self.mss)

    def admit(self, end: End, from_port: int, port: int = 80) -> bool:
        """The same for any far end of a connection."""
        return self.ip is not None and self._network.admit(port, end, self.ip, from_port, self.mss)

    def ask(self, port: int, data: bytes, on_answer: Callable[[bytes], None]) -> int | None:
        """Send one datagram to the module's `port`; returns the port it was sent from, None when not in."""
        if self.ip is None:
            return None
        ours, self._next_port, ip = self._next_port, self._next_port + 1, self.ip
        self._answers[ours] = on_answer
        self._clock.after(self._network.rtt_ns // 2, lambda: self._network.deliver(port, data, ip, ours))
        return ours

    def resolve(self, question: bytes, on_answer: Callable[[bytes | None], None]) -> None:
        """Ask the name server that DHCP named, the access point itself, up to three times; None when it is silent."""
        self._ask_name(question, on_answer, TRIES)

    def _ask_name(self, question: bytes, on_answer: Callable[[bytes | None], None], tries: int) -> None:
        if not tries:
            on_answer(None)
            return

        def answered(data: bytes) -> None:
            if ours is not None:
                del self._answers[ours]
            again.cancel()
            on_answer(data)

        again = self._clock.after(ASK_AGAIN_NS, lambda: self._ask_name(question, on_answer, tries - 1))
        ours = self.ask(DNS_PORT, question, answered)

    def _hears(self, port: int, from_port: int, data: bytes) -> None:
        del from_port
        answer = self._answers.get(port)
        if answer is not None:
            answer(data)

    def _gone(self) -> None:
        self._forget()
        if self.on_gone is not None:
            self.on_gone()

    def _forget(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self.ip is not None:
            self._network.visitors.pop(self.ip, None)
            self.ip = None
        self._answers.clear()

    def _later(self, delay_ns: int, action: Action) -> None:
        self._alarm = self._clock.after(delay_ns, action)
