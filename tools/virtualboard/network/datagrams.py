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

    `on_data(data, ip, port)` gets every datagram. OSError from the constructor when `bind` is taken.
    """

    def __init__(
        self,
        quiet: Quiet,
        ip: str,
        port: int,
        bind: tuple[str, int] | None,
        rtt_ns: int,
        allows: Callable[[str], bool],
        on_over: Action,
    ) -> None:
        self.ip = ip
        self.port = port
        self.open = True
        self.on_data: Callable[[bytes, str, int], None] = ignore
        self._clock = quiet.clock
        self._rtt_ns = rtt_ns
        self._allows = allows
        self._on_over = on_over
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            # Loopback traffic stays on loopback; anything else must be able to leave by any interface.
            self._socket.bind(bind or ("127.0.0.1" if ip.startswith("127.") else "", 0))
        except OSError:
            self._socket.close()
            raise
        self._asked = False
        self._patience = Patience(
            quiet, lambda ready: self._clock.watch(self._socket.fileno(), ready), self._look, real=True
        )
        self._patience.look_at(self._clock.now + rtt_ns)

    def send(self, data: bytes, ip: str | None = None, port: int | None = None) -> bool:
        """Send one datagram; False when the stack cannot take it. One to a forbidden address just gets lost."""
        target = ip or self.ip, port or self.port
        if not self._allows(target[0]):
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
        if self.open:
            self.open = False
            self._patience.stop()
            self._socket.close()
            self._on_over()

    def _look(self) -> None:
        if not self.open:
            return
        try:
            data, (ip, port) = self._socket.recvfrom(65535)
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
