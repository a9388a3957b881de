"""Transparent mode: the serial line becomes the connection.

Rules: AT 1.7.6 binary; the packing time and the way out are those of Espressif's AT instruction set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.clock import MS, SECOND, Alarm
from virtualboard.esp8285.links import Link
from virtualboard.esp8285.uart import RING_BYTES, TRANSPARENT_RING_BYTES
from virtualboard.network import Datagrams

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

PACK_NS = 20 * MS
"""Silence after which what was typed is sent."""

PACK_BYTES = 2048
"""So many bytes are sent at once."""

RECONNECT_NS = SECOND
"""Pause between two attempts to bring a lost connection back."""


class Transparent:
    """What was typed and not sent yet, and the link it belongs to."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self.reset()

    def reset(self) -> None:
        """As after power-on."""
        self.active = False
        self._link: Link | None = None
        self._typed = bytearray()
        self._quiet_since = 0
        self._alarm: Alarm | None = None

    def enter(self, link: Link) -> None:
        """From the next byte on everything is data."""
        self.active = True
        self._link = link
        self._quiet_since = self._modem.clock.now
        self._modem.uart.ring_bytes = TRANSPARENT_RING_BYTES
        self._modem.receiver.transparent()

    def enter_stored(self, ip: str, port: int) -> None:
        """As after a boot with SAVETRANSLINK: inside the mode at once, and connected when there is a network."""
        link = Link(0, "TCP", ip, port, 0, server=False)
        self.enter(link)
        self._reconnect(link)

    def typed(self, data: bytes) -> None:
        """A batch of bytes from the board."""
        now = self._modem.clock.now
        alone = not self._typed and now - self._quiet_since >= PACK_NS
        self._quiet_since = now
        if data == b"+++" and alone:
            # It only counts when silence follows; until then it is data like any other.
            self._typed += data
            self._pack_later(leave=True)
            return
        self._typed += data
        while len(self._typed) >= PACK_BYTES:
            self._send(bytes(self._typed[:PACK_BYTES]))
            del self._typed[:PACK_BYTES]
        self._pack_later(leave=False)

    def _pack_later(self, leave: bool) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._modem.after(PACK_NS, self._leave if leave else self._pack)

    def _pack(self) -> None:
        if self._typed:
            self._send(bytes(self._typed))
            self._typed.clear()

    def _send(self, data: bytes) -> None:
        link = self._link
        if link is None or link.peer is None or not link.up:
            return
        stats = self._modem.stats.links[link.number]
        stats.sent += len(data)
        link.peer.send(data)
        if isinstance(link.peer, Datagrams):
            stats.acked += len(data)

    def _leave(self) -> None:
        self._typed.clear()
        self.active = False
        self._modem.uart.ring_bytes = RING_BYTES
        self._modem.idle()
        if self._modem.settings.sysmsg & 1:
            self._modem.print(b"+QUITT\r\n")
        self._modem.links.flush()

    def lost(self, link: Link) -> bool:
        """The link ended. Inside the mode nobody is told, and the module connects again for ever."""
        if not self.active or link is not self._link:
            return False
        self._modem.after(RECONNECT_NS, lambda: self._reconnect(link))
        return True

    def _reconnect(self, old: Link) -> None:
        modem = self._modem
        if not self.active:
            return
        if not modem.station.online:
            modem.after(RECONNECT_NS, lambda: self._reconnect(old))
            return
        link = Link(old.number, old.kind, old.ip, old.port, modem.local_port(), server=False)
        modem.links.add(link)
        peer = modem.network.connect(link.ip, link.port, modem.profile.syn_timeout_ns)
        modem.links.attach(link, peer)
        peer.on_connect = lambda ok: self._again(link, ok)

    def _again(self, link: Link, ok: bool) -> None:
        if ok:
            link.up = True
            if self.active:
                self._link = link
            return
        self._modem.links.remove(link)
        if self.active:
            self._modem.after(RECONNECT_NS, lambda: self._reconnect(link))
