"""The module's TCP server (CIPSERVER): its clients, how many, and for how long.

Limits: `at_tcpserver_listen` in the AT 1.7.6 binary and `espconn_tcp_accept` of NONOS SDK 3.0.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.clock import MS, SECOND
from virtualboard.esp8285.links import Link
from virtualboard.esp8285.stats import LINKS
from virtualboard.network import Peer

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem


class Server:
    """One port on which the module takes clients, while `Settings.server_port` says so."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem

    def open(self, port: int) -> None:
        """Listen on `port`; the network decides where that appears on this machine."""
        modem = self._modem
        there = modem.network.listen(port, self._client)
        modem.settings.server_port = port
        modem.log(f"serving port {port} at port {there} of this machine")

    def close(self) -> None:
        """Stop listening; the clients are closed one round trip later, behind the command's OK."""
        self.stop()
        clients = self._clients()

        def close() -> None:
            for link in clients:
                if self._modem.links[link.number] is link:
                    self._modem.links.close(link)

        self._modem.after(self._modem.network.rtt_ns, close)

    def stop(self) -> None:
        """Stop listening."""
        port = self._modem.settings.server_port
        if port is not None:
            self._modem.network.unlisten(port)
            self._modem.settings.server_port = None

    def lose_clients(self) -> None:
        """The stations behind the links vanish without a word: each link ends in CONNECT FAIL."""
        for link in self._clients():
            self._modem.links.close(link, reset=True, text=b"CONNECT FAIL")

    def _clients(self) -> list[Link]:
        return [link for link in self._modem.links.open_links() if link.server]

    def _client(self, peer: Peer) -> None:
        modem = self._modem
        number = modem.links.free_number()
        clients = len(self._clients())
        if number is None or clients >= modem.settings.server_max or modem.settings.server_port is None:
            # The stack itself knows five clients and resets the next one; AT sends a FIN to those it has no place for.
            peer.on_connect = lambda ok: peer.close(abort=clients >= LINKS)
            return
        link = Link(number, "TCP", peer.ip, peer.port, modem.settings.server_port, server=True)
        modem.links.add(link)
        modem.links.attach(link, peer)
        link.up = True
        link.moved_at = modem.clock.now
        modem.links.last_closed = False
        modem.say_connected(link)
        self._watch(link)

    def _watch(self, link: Link) -> None:
        """Close a client that has been silent for CIPSTO seconds (0: never)."""
        modem = self._modem
        if modem.links[link.number] is not link:
            return
        limit = modem.settings.server_timeout_s * SECOND
        if limit and modem.clock.now - link.moved_at >= limit:
            modem.links.close(link)
            return
        due = link.moved_at + limit if limit else modem.clock.now + SECOND
        modem.after(max(due - modem.clock.now, MS), lambda: self._watch(link))
