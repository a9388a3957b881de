"""The module's five links: buffers, +IPD frames, passive reading, sending, closing.

Frame bytes and their order: AT 1.7.6 binary (`at_ipCmd.o`, `at_port.o`), the same since 1.3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from virtualboard.clock import SECOND
from virtualboard.esp8285.stats import LINKS, Segment
from virtualboard.network import WINDOW, Datagrams, Peer

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem


GIVES_UP_NS = 8 * SECOND
"""From bytes that nobody acknowledges to the end of their link: three repetitions (AT 1.7.6 binary). A guess."""


class Link:
    """One of the five links while it is open."""

    def __init__(self, number: int, kind: str, ip: str, port: int, local_port: int, server: bool) -> None:
        self.number = number
        self.kind = kind
        self.ip = ip
        self.port = port
        self.local_port = local_port
        self.server = server
        self.peer: Peer | Datagrams | None = None
        self.up = False
        self.ending = False
        """The peer has closed; CLOSED follows when the buffer is empty."""
        self.broken = False
        """It did so with a reset, or was never heard of again."""
        self.segments: deque[bytes] = deque()
        """TCP payload as it came, not yet moved to the UART ring (at most `WINDOW` bytes together)."""
        self.booked = 0
        """Bytes that the next frame will tell: as many as waited when a segment last came in active mode."""
        self.abort_on_close = False
        self.send_pending = 0
        """Bytes of the running CIPSEND that the peer has not acknowledged."""
        self.send_mode = ""
        self.queued: deque[Segment] = deque()
        self.next_segment = 1
        self.acked_segment = 0
        self.remote_mode = 0
        """UDP: 0 fixed partner, 1 becomes the first that writes, 2 always the last that wrote."""
        self.moved_at = 0
        """Virtual time of the last payload in either direction."""

    @property
    def buffered(self) -> int:
        """Bytes in the TCP buffer."""
        return sum(map(len, self.segments))

    def take(self, count: int) -> bytes:
        """Remove the first `count` bytes of the buffer."""
        out = bytearray()
        while self.segments and len(out) < count:
            piece = self.segments.popleft()
            room = count - len(out)
            if len(piece) > room:
                self.segments.appendleft(piece[room:])
                piece = piece[:room]
            out += piece
        return bytes(out)


class LinkTable:
    """All links of one module."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self._links: list[Link | None] = [None] * LINKS
        self._side: list[bytes] = [b""] * LINKS
        self._turn = 0
        self.last_closed = False

    def __getitem__(self, number: int) -> Link | None:
        return self._links[number]

    def open_links(self) -> list[Link]:
        """Links that are connected."""
        return [link for link in self._links if link is not None and link.up]

    def any(self) -> bool:
        """True when some link is open or being opened."""
        return any(link is not None for link in self._links)

    def free_number(self) -> int | None:
        """Lowest free link number."""
        return next((i for i, link in enumerate(self._links) if link is None), None)

    def prefix(self, number: int) -> bytes:
        """`2,` with CIPMUX=1, nothing without."""
        return b"%d," % number if self._modem.settings.mux else b""

    # -- opening ------------------------------------------------------------------------------------------

    def add(self, link: Link) -> None:
        """Put a link into its slot; what an earlier one left unread there is gone."""
        self._forget_side(link.number)
        self._links[link.number] = link

    def attach(self, link: Link, peer: Peer) -> None:
        """Wire a TCP connection to its link."""
        link.peer = peer
        peer.on_data = lambda data: self._arrived(link, data)
        peer.on_close = lambda reset: self._peer_closed(link, reset)
        peer.on_acked = lambda count: self._modem.sender.acked(link, count)

    def attach_datagrams(self, link: Link, association: Datagrams) -> None:
        """Wire a UDP association to its link."""
        link.peer = association
        link.up = True
        association.on_data = lambda data, ip, port: self._datagram(link, data, ip, port)

    def remove(self, link: Link) -> None:
        """Forget a link that never came up."""
        if self._links[link.number] is link:
            self._links[link.number] = None

    # -- receiving ----------------------------------------------------------------------------------------

    def _arrived(self, link: Link, data: bytes) -> None:
        stats = self._modem.stats.links[link.number]
        stats.received += len(data)
        link.moved_at = self._modem.clock.now
        link.segments.append(data)
        if self._modem.settings.passive and not self._modem.transparent.active:
            self._modem.print(b"\r\n+IPD,%s%d\r\n" % (self.prefix(link.number), link.buffered))
        else:
            link.booked = link.buffered
            self.flush()

    def _datagram(self, link: Link, data: bytes, ip: str, port: int) -> None:
        """UDP is never kept: what the ring and the heap cannot take is lost without a word."""
        stats = self._modem.stats.links[link.number]
        stats.received += len(data)
        if link.remote_mode == 2:
            link.ip, link.port = ip, port
        elif link.remote_mode == 1:
            link.ip, link.port, link.remote_mode = ip, port, 0
        item = self._header(link, len(data), ip, port) + data
        if not self._modem.uart.room_for(len(item)) and not self._modem.heap_allows(len(item)):
            stats.dropped += len(data)
            return
        self._count_frame(link.number, len(data))
        self._modem.print(item)

    def _header(self, link: Link, size: int, ip: str, port: int) -> bytes:
        if self._modem.transparent.active:
            return b""
        if self._modem.settings.show_remote:
            return b"\r\n+IPD,%s%d,%s,%d:" % (self.prefix(link.number), size, ip.encode(), port)
        return b"\r\n+IPD,%s%d:" % (self.prefix(link.number), size)

    def _count_frame(self, number: int, size: int) -> None:
        """Book a frame with `size` bytes of payload that is about to be printed."""
        stats = self._modem.stats.links[number]
        begins, stats.last_ns = self._modem.uart.span(size)
        if not stats.frames:
            stats.first_ns = begins
        stats.printed += size
        stats.frames += 1
        stats.longest_frame = max(stats.longest_frame, size)

    def flush(self) -> None:
        """Move TCP payload into the UART ring where whole frames fit; the rest stays and closes the window.

        CIPRECVMODE is not looked at: what is booked comes, and what waited in passive mode is booked when more of it
        arrives (`read_data_from_espconn` and `at_tcpclient_recv`, NONOS SDK 3.0.4, AT 1.7.4).
        """
        moved = True
        while moved:
            moved = False
            for step in range(LINKS):
                link = self._links[(self._turn + step) % LINKS]
                if link is not None and link.booked and self._print_frame(link):
                    self._turn = link.number + 1
                    moved = True
                    break
        self._finish_ended()

    def _print_frame(self, link: Link) -> bool:
        limit = self._modem.frame_limit or self._modem.profile.frame_max
        if limit < WINDOW and not self._modem.frame_limit:
            size = len(link.segments[0])
        else:
            size = min(link.booked, limit)
        header = self._header(link, size, link.ip, link.port)
        if not self._modem.uart.room_for(len(header) + size):
            self._modem.uart.await_room(len(header) + size)
            return False
        data = link.take(size)
        link.booked -= size
        if not data:
            return True
        self._count_frame(link.number, len(data))
        # Where CIPRECVDATA has taken some of it meanwhile, what the heap holds makes up the length that was booked.
        self._modem.print(header + data + bytes(size - len(data)))
        if isinstance(link.peer, Peer):
            link.peer.grant(len(data))
        return True

    # -- passive reading ----------------------------------------------------------------------------------

    def waiting(self, number: int) -> int:
        """Bytes that CIPRECVDATA could give for a link number."""
        link = self._links[number]
        if link is not None and link.kind != "TCP":
            return 0
        return len(self._side[number]) + (link.buffered if link is not None else 0)

    def read(self, number: int, count: int) -> bytes | None:
        """Up to `count` bytes for CIPRECVDATA; None when the link is closed and empty, or not TCP."""
        link = self._links[number]
        if link is not None and link.kind != "TCP":
            return None
        side = self._side[number]
        if side:
            data, self._side[number] = side[:count], side[count:]
        elif link is None:
            return None
        else:
            data = link.take(count)
            if data and isinstance(link.peer, Peer):
                link.peer.grant(len(data))
        if data:
            self._count_frame(number, len(data))
        return data

    def _forget_side(self, number: int) -> None:
        self._modem.stats.links[number].dropped += len(self._side[number])
        self._side[number] = b""

    # -- closing ------------------------------------------------------------------------------------------

    def _peer_closed(self, link: Link, reset: bool) -> None:
        self._modem.log(f"link {link.number}: peer {'reset' if reset else 'closed'}")
        link.ending = True
        link.broken = reset
        link.peer = None
        if self._modem.settings.passive:
            self._side[link.number] += link.take(link.buffered)
            link.booked = 0
        else:
            self._drop_unbooked(link)
        self.flush()

    def _drop_unbooked(self, link: Link) -> None:
        """A close in active mode prints what is booked (`at_espconn_force_recv`); what waited in passive mode goes."""
        if link.buffered > link.booked:
            booked = link.take(link.booked)
            self._modem.stats.links[link.number].dropped += link.buffered
            link.segments = deque([booked] if booked else ())

    def break_off(self, link: Link, reset: bool) -> None:
        """Let a link end as if its peer had closed or reset it."""
        if link.peer is not None:
            link.peer.close(abort=reset)
            self._peer_closed(link, reset)

    def _finish_ended(self) -> None:
        for link in self._links:
            if link is not None and link.ending and not link.booked:
                # A server's link that broke is told by `at_tcpserver_recon_cb` (AT 1.7.6 binary).
                self._gone(link, b"CONNECT FAIL" if link.server and link.broken else b"CLOSED")

    def _gone(self, link: Link, text: bytes = b"CLOSED") -> None:
        """The link is over: say so, behind all of its data."""
        self._links[link.number] = None
        link.up = False
        self.last_closed = True
        if self._modem.transparent.lost(link):
            return
        self._modem.print(b"%s%s\r\n" % (self.prefix(link.number), text))
        self._modem.sender.lost(link)

    def close(self, link: Link, reset: bool = False, text: bytes = b"CLOSED") -> None:
        """Close from this side: unread data is lost, CLOSED (or `text`) is printed."""
        if link.peer is not None:
            link.peer.close(abort=reset or link.abort_on_close)
            link.peer = None
        self._modem.stats.links[link.number].dropped += link.buffered
        link.segments.clear()
        link.booked = 0
        if self._links[link.number] is link:
            self._gone(link, text)

    def discard(self, link: Link) -> Callable[[bytes], None]:
        """What takes the data of a link that is being closed."""
        stats = self._modem.stats.links[link.number]

        def drop(data: bytes) -> None:
            stats.received += len(data)
            stats.dropped += len(data)

        return drop

    def say_all_closed(self) -> None:
        """AT+RST: every open link is closed with its message."""
        for link in self.open_links():
            self.close(link, reset=True)

    def station_lost(self) -> None:
        """The station lost its address. In station mode the module disconnects every TCP link; with the own network on
        it disconnects none (AT 1.7.6 binary, `wifi_event_handler_cb`): those of the lost network are just dead."""
        for link in list(self._links):
            if link is None or not isinstance(link.peer, Peer) or link.peer.visitor:
                continue
            if not link.up:
                fail = link.peer.on_connect
                link.peer.close(abort=True)
                fail(False)
            elif self._modem.settings.mode == 1:
                self.close(link, reset=True)
            else:
                link.peer.cut(self._modem.about(GIVES_UP_NS))

    def reset(self) -> None:
        """The module restarts: nothing is said, everything is lost."""
        for number, link in enumerate(self._links):
            self._forget_side(number)
            if link is not None:
                self._modem.stats.links[number].dropped += link.buffered
                if link.peer is not None:
                    link.peer.close(abort=True)
        self._links = [None] * LINKS
        self._turn = 0
        self.last_closed = False
