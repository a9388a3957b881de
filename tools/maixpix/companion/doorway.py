"""Accepting connections so that a flood of them from one address does not make another one wait.

asyncio makes a transport of every connection in the order in which they came, at half a millisecond each: behind 1,500
requests that were hung up at once, an honest one would wait for a second. Here connections are taken off the system's
queue first, those whose peers have left are dropped for next to nothing, and the others come in in fair turns. Where
the loop cannot watch a listening socket (Windows), asyncio's own server does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections import OrderedDict, deque
from collections.abc import Callable

log = logging.getLogger("maixpix.companion")

BACKLOG = 1024
"""Connections that wait in the system; beyond it a peer would try again after a whole second."""

_OFF_THE_QUEUE = 128  # taken from the system in one turn of the loop
_LET_IN = 8  # given a transport in one turn of the loop
_WAITING = 256  # taken and not let in yet; each is an open file
_PAUSE_S = 0.5  # when the system has no more files
_CLOSE_WAIT = 8  # Linux include/net/tcp_states.h: the peer has closed, we have not


class Doorway:
    """Gives every connection to the listening `sock` a protocol, until `close`."""

    def __init__(self, sock: socket.socket, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        self._sock = sock
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._waiting: OrderedDict[str, deque[socket.socket]] = OrderedDict()
        self._count = 0
        self._coming: set[asyncio.Task[None]] = set()
        self._is_letting_in = False
        self._server: asyncio.Server | None = None
        self.dropped = 0
        """Connections dropped since the start because their peers had left before they were let in."""

    async def open(self) -> None:
        """Begin to accept. Raises `OSError`."""
        if sys.platform == "win32":
            self._server = await self._loop.create_server(self._protocol, sock=self._sock)
            return
        self._sock.listen(BACKLOG)
        self._loop.add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Stop accepting; who is inside stays."""
        if self._server is not None:
            self._server.close()
            return
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for line in self._waiting.values():
            for peer in line:
                peer.close()
        self._waiting.clear()
        self._count = 0

    def _accept(self) -> None:
        for _ in range(_OFF_THE_QUEUE):
            if self._count >= _WAITING:
                break
            try:
                peer, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                log.warning("no connection can be accepted: %s", error.strerror)
                self._loop.remove_reader(self._sock)
                self._loop.call_later(_PAUSE_S, self._go_on)
                break
            peer.setblocking(False)
            self._waiting.setdefault(str(address[0]), deque()).append(peer)
            self._count += 1
        self._let_in()

    def _go_on(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock, self._accept)

    def _let_in(self) -> None:
        self._is_letting_in = False
        places = _LET_IN
        while self._waiting and places:
            address, line = next(iter(self._waiting.items()))
            self._waiting.move_to_end(address)
            peer = line.popleft()
            self._count -= 1
            if not line:
                del self._waiting[address]
            if _has_left(peer):
                self.dropped += 1
                peer.close()
                continue
            places -= 1
            task = self._loop.create_task(self._connect(peer))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)
        if self._waiting and not self._is_letting_in:
            self._is_letting_in = True
            self._loop.call_soon(self._let_in)

    async def _connect(self, peer: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, peer)
        except OSError:
            with contextlib.suppress(OSError):
                peer.close()


def _has_left(peer: socket.socket) -> bool:
    """Whether the other end has closed already, where the system tells (Linux)."""
    info = getattr(socket, "TCP_INFO", None)
    if info is None or sys.platform != "linux":
        return False
    try:
        return peer.getsockopt(socket.IPPROTO_TCP, info, 1)[0] == _CLOSE_WAIT
    except OSError:
        return True
