"""UDP associations of the module, on real datagram sockets."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from virtualboard.clock import Action
from virtualboard.network.patience import Patience, Quiet
from virtualboard.network.tcp import SEGMENT_GAP_NS, ignore


class Datagrams:
    """Datagrams to and from `ip`:`port`; nothing is promised. `bind` is where others can write to first.

    `on_data(data, ip, port)` gets every datagram. `visit(ip, port, local_port, data)` is asked first with each that is
    sent, and says whether it was for a visitor of the module's own network. `real` says whether there is a socket at
    all: without one only visitors hear and are heard. A `bind` that cannot be had on this machine (ports below 1024,
    those of other programs and boards) becomes any other port of that address.
    """

    def __init__(
        self,
        quiet: Quiet,
        ip: str,
        port: int,
        local_port: int,
        bind: tuple[str, int] | None,
        real: bool,
        rtt_ns: int,
        allows: Callable[[str], bool],
        visit: Callable[[str, int, int, bytes], bool],
        on_over: Action,
    ) -> None:
        self.ip = ip
        self.port = port
        self.local_port = local_port
        self.open = True
        self.on_data: Callable[[bytes, str, int], None] = ignore
        self._clock = quiet.clock
        self._rtt_ns = rtt_ns
        self._allows = allows
        self._visit = visit
        self._on_over = on_over
        self._asked = False
        self._socket: socket.socket | None = None
        self._patience: Patience | None = None
        if real:
            self._open_socket(quiet, bind)

    def _open_socket(self, quiet: Quiet, bind: tuple[str, int] | None) -> None:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        try:
            try:
                # Loopback traffic stays on loopback; anything else must be able to leave by any interface.
                opened.bind(bind or ("127.0.0.1" if self.ip.startswith("127.") else "", 0))
            except OSError:
                opened.bind((bind[0] if bind else "", 0))
        except OSError:
            opened.close()
            raise
        self._socket = opened
        self._patience = Patience(
            quiet, lambda ready: self._clock.watch(opened.fileno(), ready), lambda: self._look(opened), real=True
        )
        self._patience.look_at(self._clock.now + self._rtt_ns)

    def send(self, data: bytes, ip: str | None = None, port: int | None = None) -> bool:
        """Send one datagram; False when the stack cannot take it. One to a forbidden address just gets lost."""
        target = ip or self.ip, port or self.port
        if self._visit(*target, self.local_port, data):
            return True
        if self._socket is None or self._patience is None or not self._allows(target[0]):
            return True
        try:
            self._socket.sendto(data, target)
        except OSError as error:
            return error.errno == errno.ECONNREFUSED  # the complaint is about an earlier datagram
        self._asked = True
        self._patience.look_at(self._clock.now + self._rtt_ns)
        return True

    def close(self, abort: bool = False) -> None:
        """Forget the association."""
        del abort
        if not self.open:
            return
        self.open = False
        if self._socket is not None and self._patience is not None:
            self._patience.stop()
            self._socket.close()
        self._on_over()

    def _look(self, opened: socket.socket) -> None:
        if not self.open or self._patience is None:
            return
        try:
            data, (ip, port) = opened.recvfrom(65535)
        except BlockingIOError:
            eager, self._asked = self._asked, False
            self._patience.wait(eager)
            return
        except ConnectionError:
            # A port nobody listens on answers with ICMP, which the module's stack ignores.
            self._patience.look_at(self._clock.now + SEGMENT_GAP_NS)
            return
        self.on_data(data, ip, port)
        if self.open:
            self._patience.look_at(self._clock.now + SEGMENT_GAP_NS)
