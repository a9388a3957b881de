"""Browsers on this machine as a station of the module's own network: `board --ap-web PORT`."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable

from virtualboard.clock import MS, Alarm, Watch
from virtualboard.network.network import Network
from virtualboard.network.sockets import SocketEnd
from virtualboard.network.visitor import Visitor

MOST_WAITING = 8
"""Connections that wait until the station is in; a browser opens no more at once."""

RETURN_NS = 500 * MS
"""From being turned out to the next attempt, while somebody waits."""


class Bridge:
    """What connects to `port` of loopback comes to port 80 of the module, from the address of one station. That station
    joins when somebody connects, with the right key: whoever uses it has read the panel. While the network is off the
    air connections are reset, as they are when the module does not listen.

    `port` 0 takes any; OSError when it is taken.
    """

    def __init__(
        self, network: Network, visitor: Visitor, port: int, on: Callable[[], bool], key: Callable[[], bytes]
    ) -> None:
        self._network = network
        self._clock = network.clock
        self._visitor = visitor
        self._on = on
        self._key = key
        self._joining = False
        self._again: Alarm | None = None
        self._waiting: deque[tuple[socket.socket, int]] = deque()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        self._socket.listen(MOST_WAITING)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        visitor.on_gone = self._turned_out
        self._watch: Watch = self._clock.listen(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Give the port back and reset who waits."""
        self._watch.cancel()
        if self._again is not None:
            self._again.cancel()
        self._drop_waiting()
        self._socket.close()

    def _accept(self) -> None:
        try:
            accepted, (_, port) = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if not self._on() or len(self._waiting) >= MOST_WAITING:
            self._refuse(accepted)
            return
        self._waiting.append((accepted, port))
        if self._visitor.ip is not None:
            self._serve()
        elif not self._joining:
            self._join()

    def _join(self) -> None:
        self._again = None
        if not self._on():
            self._drop_waiting()
            return
        self._joining = True
        self._visitor.join(self._key(), done=self._settled)

    def _settled(self) -> None:
        self._joining = False
        if self._visitor.ip is None:
            self._drop_waiting()
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            accepted, port = self._waiting.popleft()
            end = SocketEnd(self._clock, None, accepted)
            if not self._visitor.admit(end, port):
                end.close(abort=True)

    def _turned_out(self) -> None:
        self._joining = False
        if self._waiting:
            self._again = self._clock.after(RETURN_NS, self._join)

    def _drop_waiting(self) -> None:
        while self._waiting:
            self._refuse(self._waiting.popleft()[0])

    def _refuse(self, accepted: socket.socket) -> None:
        SocketEnd(self._clock, None, accepted).close(abort=True)
