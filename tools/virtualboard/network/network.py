"""Everything a module can reach: names, addresses, servers, and clients of its own servers."""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Mapping

from virtualboard.clock import MS, SECOND, Clock
from virtualboard.network.datagrams import Datagrams
from virtualboard.network.patience import Patience, Quiet
from virtualboard.network.script import Script, ScriptEnd, SilentEnd
from virtualboard.network.sockets import SocketEnd
from virtualboard.network.tcp import MSS, End, Peer

CLIENT_IP = "192.168.4.2"
"""Address that scripted clients of the module's server have."""


class Network:
    """Where the module's links lead.

    `names` stands in for DNS. Links go to real sockets only inside `allow` (loopback by default); a connection to any
    other address is a SYN that nobody answers. `dns=True` asks the system's resolver for names not in `names`.
    `rtt_ns` is the round trip to every peer. `ack_delay_ns` is how long a peer keeps the acknowledgement of a single
    full segment that does not end a write (Linux 40 ms, Windows 200 ms); since the module's stack keeps the rest of a
    write longer than 1460 bytes back until then, such a write pays it once. `dns_fail_ns` is how long a name without
    an answer takes to fail (12 s recorded on AT 1.7, `wea23-dns`).
    Ports on which the module listens appear at `listen_on` (None: nowhere, only scripts can `call` them), at
    `listen_port` or else the same number; see `listening`.
    """

    def __init__(
        self,
        clock: Clock,
        names: Mapping[str, str] | None = None,
        rtt_ns: int = 4 * MS,
        ack_delay_ns: int = 40 * MS,
        allow: Iterable[str] = ("127.0.0.0/8",),
        dns: bool = False,
        dns_fail_ns: int = 12 * SECOND,
        listen_on: str | None = "127.0.0.1",
        listen_port: int | None = None,
    ) -> None:
        self.clock = clock
        self.names = {"localhost": "127.0.0.1"}
        self.names.update({name.lower(): str(ipaddress.IPv4Address(ip)) for name, ip in (names or {}).items()})
        self.rtt_ns = rtt_ns
        self.ack_delay_ns = ack_delay_ns
        self.dns = dns
        self.dns_fail_ns = dns_fail_ns
        self.listen_on = listen_on
        self.listen_port = listen_port
        self.on_listen: Callable[[int, int], None] | None = None
        """Called with the module's port and this machine's when a server opens."""
        self.listening: dict[int, int] = {}
        """Port of the module -> port on this machine, of servers that are open now."""
        self.started_at = 1_767_225_600
        """Seconds since 1970 (UTC) at power-on, for time servers; the same in every run unless set."""
        self.quiet = Quiet(clock)
        self.visitors: dict[str, Callable[[int, int, bytes], None]] = {}
        """Stations of the module's own network by address: called with the port that a datagram is for, the module's
        port that it comes from, and its bytes."""
        self.station_online: Callable[[], bool] = lambda: True
        """Set by the modem: it has an address in a network that it has joined."""
        self._allow = [ipaddress.ip_network(entry) for entry in allow]
        self._scripts: dict[tuple[str, int], Callable[[], Script | None] | None] = {}
        self._peers: dict[int, Peer | Datagrams] = {}
        self._serial = 0
        self._servers: dict[int, _Server] = {}

    @property
    def open_links(self) -> int:
        """Connections and associations that are open, being opened or lingering."""
        return len(self._peers)

    def allows(self, ip: str) -> bool:
        """True when links may go to real sockets at `ip`."""
        address = ipaddress.ip_address(ip)
        return any(address in net for net in self._allow)

    def answers_ping(self, ip: str) -> bool:
        """True for addresses where something lives."""
        return self.allows(ip) or any(address == ip for address, _ in self._scripts)

    def unix_time(self) -> int:
        """What a time server would say now: seconds since 1970, UTC."""
        return self.started_at + self.clock.now // SECOND

    def attach(self, ip: str, port: int, factory: Callable[[], Script | None] | None) -> None:
        """Answer connections to `ip`:`port` with a new `Script` each; None refuses them, or that one connection."""
        self._scripts[ip, port] = factory

    def resolve(self, name: str, done: Callable[[str | None], None]) -> None:
        """Look `name` up; `done(address or None)` is called when the answer (or the time-out) is there."""
        try:
            done(str(ipaddress.IPv4Address(name)))
            return
        except ValueError:
            address = self.names.get(name.lower())
        if address is not None:
            self.clock.after(self.rtt_ns, lambda: done(address))
        elif self.dns:
            _ask_resolver(self.clock, name, done)
        else:
            self.clock.after(self.dns_fail_ns, lambda: done(None))

    def connect(self, ip: str, port: int, timeout_ns: int = 7 * SECOND, reachable: bool = True) -> Peer:
        """Begin a TCP connection; set the callbacks of the returned `Peer` before time moves on. `reachable`: the
        module has joined a network by which the address can be reached at all."""
        end: End
        if not reachable:
            end = SilentEnd()
        elif (ip, port) in self._scripts:
            factory = self._scripts[ip, port]
            end = ScriptEnd(self.clock, factory() if factory else None, self.rtt_ns)
        elif self.allows(ip):
            end = SocketEnd(self.clock, (ip, port))
        else:
            end = SilentEnd()
        peer = self._peer(end, ip, port)
        peer.start(timeout_ns)
        return peer

    def datagrams(self, ip: str, port: int, local_port: int | None = None) -> Datagrams:
        """Open a UDP association; with `local_port` others can write to it first. OSError when another association has
        that port; one that is taken on this machine becomes another one there, as with `listen`."""
        others = [peer.local_port for peer in self._peers.values() if isinstance(peer, Datagrams)]
        if local_port and local_port in others:
            raise OSError(errno.EADDRINUSE, f"port {local_port} is this module's already")
        self._serial += 1
        serial = self._serial
        bind = None if local_port is None or self.listen_on is None else (self.listen_on, local_port)
        association = Datagrams(
            self.quiet,
            ip,
            port,
            local_port or 0,
            bind,
            bind is not None or self.allows(ip),
            self.rtt_ns,
            self.allows,
            self._visit,
            lambda: self._forget(serial),
        )
        self._peers[serial] = association
        return association

    def _peer(self, end: End, ip: str, port: int, mss: int = MSS) -> Peer:
        self._serial += 1
        serial = self._serial
        over = lambda: self._forget(serial)  # noqa: E731
        peer = Peer(self.quiet, end, ip, port, self.rtt_ns, self.ack_delay_ns, over, mss, visitor=ip in self.visitors)
        self._peers[serial] = peer
        return peer

    def _forget(self, serial: int) -> None:
        self._peers.pop(serial, None)

    # -- stations of the module's own network -------------------------------------------------------------

    def deliver(self, local_port: int, data: bytes, ip: str, port: int) -> bool:
        """A visitor's datagram from `ip`:`port` for the module's `local_port`; False when nothing listens there."""
        for association in list(self._peers.values()):
            if isinstance(association, Datagrams) and association.local_port == local_port:
                association.on_data(data, ip, port)
                return True
        return False

    def _visit(self, ip: str, port: int, local_port: int, data: bytes) -> bool:
        hears = self.visitors.get(ip)
        if hears is None:
            return False
        self.clock.after(self.rtt_ns // 2, lambda: hears(port, local_port, data))
        return True

    def cut(self, ip: str, gives_up_ns: int) -> None:
        """The station at `ip` is gone: its connections carry nothing any more (see `Peer.cut`)."""
        for peer in list(self._peers.values()):
            if isinstance(peer, Peer) and peer.ip == ip and peer.visitor:
                peer.cut(gives_up_ns)

    # -- servers of the module ----------------------------------------------------------------------------

    def listen(self, port: int, on_client: Callable[[Peer], None]) -> int:
        """Accept clients on `port`; returns the port on this machine (another one when that cannot be had)."""
        self.unlisten(port)
        there = port if self.listen_port is None else self.listen_port
        server = (
            _Server(on_client, port)
            if self.listen_on is None
            else _SocketServer(self, self.listen_on, port, there, on_client)
        )
        self._servers[port] = server
        self.listening[port] = server.host_port
        if self.on_listen is not None:
            self.on_listen(port, server.host_port)
        return server.host_port

    def unlisten(self, port: int) -> None:
        """Stop accepting clients on `port`."""
        server = self._servers.pop(port, None)
        if server is not None:
            server.close()
            del self.listening[port]

    def call(self, port: int, script: Script, ip: str = CLIENT_IP, mss: int = MSS) -> bool:
        """Let a scripted client connect to the module's server on `port`; False when none listens."""
        end = ScriptEnd(self.clock, script, self.rtt_ns)
        if not self.admit(port, end, ip, 50_000 + self._serial % 10_000, mss):
            return False
        end.open(lambda ok: None)
        return True

    def admit(self, port: int, end: End, ip: str, from_port: int, mss: int = MSS) -> bool:
        """A client connects from `ip`:`from_port` to the module's server on `port`; False when none listens."""
        server = self._servers.get(port)
        if server is None:
            return False
        peer = self._peer(end, ip, from_port, mss)
        server.on_client(peer)
        peer.adopt()
        return True

    def close(self) -> None:
        """Reset every link and close every server."""
        for port in list(self._servers):
            self.unlisten(port)
        for peer in list(self._peers.values()):
            peer.close(abort=True)


class _Server:
    """A port of the module's that only scripts can call."""

    def __init__(self, on_client: Callable[[Peer], None], port: int) -> None:
        self.on_client = on_client
        self.port = port
        self.host_port = port

    def close(self) -> None:
        """Stop listening."""


class _SocketServer(_Server):
    """One listening socket on this machine."""

    def __init__(
        self, network: Network, address: str, port: int, there: int, on_client: Callable[[Peer], None]
    ) -> None:
        super().__init__(on_client, port)
        self._network = network
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((address, there))
        except OSError:
            self._socket.bind((address, 0))
        self._socket.listen(5)
        self._socket.setblocking(False)
        self.host_port = self._socket.getsockname()[1]
        self._patience = Patience(
            network.quiet, lambda ready: network.clock.watch(self._socket.fileno(), ready), self._accept
        )
        self._patience.wait(eager=False)

    def _accept(self) -> None:
        try:
            accepted, (ip, port) = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            self._patience.wait(eager=False)
            return
        end = SocketEnd(self._network.clock, None, accepted)
        if not self._network.station_online() or not self._network.admit(self.port, end, ip, port):
            end.close(abort=True)  # nobody is on the network in which the module's address would be
        self._patience.look_at(self._network.clock.now + self._network.rtt_ns)

    def close(self) -> None:
        """Give the port back."""
        self._patience.stop()
        self._socket.close()


def _ask_resolver(clock: Clock, name: str, done: Callable[[str | None], None]) -> None:
    """Ask the system's resolver on a thread (it cannot be interrupted); virtual time waits for the answer."""
    ours, theirs = socket.socketpair()
    answer: list[str] = []

    def ask() -> None:
        try:
            answer.append(str(socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0]))
        except (OSError, UnicodeError):
            answer.clear()
        finally:
            theirs.close()

    def ready() -> None:
        watch.cancel()
        ours.close()
        done(answer[0] if answer else None)

    watch = clock.watch(ours.fileno(), ready)
    threading.Thread(target=ask, daemon=True, name="resolver").start()
