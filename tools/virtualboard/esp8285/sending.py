"""CIPSEND, CIPSENDEX and CIPSENDBUF: from the prompt to SEND OK.

Order and bytes of the messages: AT 1.7.6 binary (`at_ipCmd.o`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.esp8285.links import Link
from virtualboard.esp8285.stats import Segment
from virtualboard.network import Datagrams, Peer

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

LONGEST = 2048
"""Most payload bytes of one CIPSEND."""

CANCEL = b"+++"
"""A batch of just this ends the payload early."""


class Sender:
    """The payload that the module is collecting or waiting to see acknowledged."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self.fail_next = False
        self.late_ok = False
        self.empty_line = False
        """The next SEND FAIL that is asked for has an empty line in front, as some logs show it."""
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._link: Link | None = None
        self._want = 0
        self._data = bytearray()
        self._taken = 0
        self._kind = "SEND"
        self._escape = False
        self._target: tuple[str, int] | None = None
        self._waiting: Link | None = None
        self._broken = False

    @property
    def missing(self) -> int:
        """How many bytes to wait for: the missing ones, but no fewer than a bare `+++` has, which would be taken apart.
        What is less ends with silence (a batch is 100 bytes or what comes before a pause: AT 1.7.6 binary, `uart.o`).
        """
        return max(len(CANCEL), self._want - self._taken)

    def prompt(self, link: Link, count: int, kind: str, target: tuple[str, int] | None = None) -> None:
        """Ask for `count` bytes for `link`. `kind`: SEND, EX (escapes) or BUF (pipelined)."""
        self.reset()
        self._link, self._want, self._kind, self._target = link, count, kind, target
        self._modem.prompt(b">" if self._modem.profile.rtos else b"> ", count)

    def cancel(self) -> None:
        """The host sent a bare `+++`: the payload so far is thrown away."""
        self.reset()
        self._modem.print(b"\r\nSEND Canceled\r\n")
        self._modem.idle()

    def payload(self, data: bytes) -> bytes:
        """Take payload from `data`; returns what comes after it."""
        if self._kind == "EX":
            rest = self._escaped(data)
        else:
            piece = data[: self._want - self._taken]
            rest = data[len(piece) :]
            self._data += piece
            self._taken += len(piece)
        if self._taken >= self._want:
            self._complete()
        return rest

    def _escaped(self, data: bytes) -> bytes:
        """CIPSENDEX: `\\0` ends the payload early, a backslash makes the next byte literal."""
        for index, byte in enumerate(data):
            if self._escape:
                self._escape = False
                if byte == 0x30:
                    self._taken = self._want
                    return data[index + 1 :]
                self._data.append(byte)
            elif byte == 0x5C:
                self._escape = True
            else:
                self._data.append(byte)
            if len(self._data) >= self._want:
                self._taken = self._want
                return data[index + 1 :]
        self._taken = len(self._data)
        return b""

    def _complete(self) -> None:
        link, data = self._link, bytes(self._data)
        assert link is not None
        link.moved_at = self._modem.clock.now
        broken, kind, target = self._broken, self._kind, self._target
        self.reset()
        modem = self._modem
        modem.print(b"\r\nRecv %d bytes\r\n" % len(data))
        if kind == "BUF":
            modem.idle()
            if broken or not link.up:
                return
            modem.stats.links[link.number].sent += len(data)
            link.queued.append(Segment(link.next_segment, len(data)))
            link.next_segment += 1
            assert isinstance(link.peer, Peer)
            link.peer.send(data)
            return
        if self.fail_next or broken or not link.up or link.peer is None:
            self.fail_next = False
            modem.print(self._failure())
            modem.idle()
            return
        modem.stats.links[link.number].sent += len(data)
        if self.late_ok:
            self.late_ok = False
            link.peer.send(data)
            modem.print(self._failure())
            modem.idle()
            modem.after(modem.about(modem.network.rtt_ns), lambda: modem.print(b"\r\nSEND OK\r\n"))
            return
        modem.data_sent()
        if isinstance(link.peer, Datagrams):
            ip, port = target or (link.ip, link.port)
            ok = link.peer.send(data, ip, port)
            if ok:
                modem.stats.links[link.number].acked += len(data)
            modem.after_latency(lambda: self._finish(b"\r\nSEND OK\r\n" if ok else b"SEND FAIL\r\n"))
            return
        self._waiting = link
        link.send_pending = len(data)
        link.peer.send(data)

    def _failure(self) -> bytes:
        text = b"\r\nSEND FAIL\r\n" if self.empty_line else b"SEND FAIL\r\n"
        self.empty_line = False
        return text

    def _finish(self, text: bytes) -> None:
        self._modem.print(text)
        self._modem.idle()

    def acked(self, link: Link, count: int) -> None:
        """The peer acknowledged `count` bytes."""
        self._modem.stats.links[link.number].acked += count
        while count and link.queued:
            segment = link.queued[0]
            step = min(count, segment.left)
            segment.left -= step
            count -= step
            if not segment.left:
                link.queued.popleft()
                link.acked_segment = segment.number
                self._modem.print(b"\r\n%s%d,SEND OK\r\n" % (self._modem.links.prefix(link.number), segment.number))
        if link is self._waiting:
            link.send_pending -= count
            if link.send_pending <= 0:
                self._waiting = None
                self._finish(b"\r\nSEND OK\r\n")

    def lost(self, link: Link) -> None:
        """The link is gone (CLOSED was printed)."""
        for segment in link.queued:
            self._modem.print(b"\r\n%s%d,SEND FAIL\r\n" % (self._modem.links.prefix(link.number), segment.number))
        link.queued.clear()
        if link is self._waiting:
            self._waiting = None
            self._finish(b"SEND FAIL\r\n")
        elif link is self._link:
            self._broken = True
