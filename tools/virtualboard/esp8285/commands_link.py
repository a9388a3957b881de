"""Connections: open, send, read, close. Bytes: AT 1.7.6 binary (`at_ipCmd.o`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.esp8285.commands_ip import NAME_BYTES
from virtualboard.esp8285.links import Link
from virtualboard.esp8285.parser import Arguments, BadArgument, ip_argument
from virtualboard.esp8285.sending import LONGEST
from virtualboard.esp8285.stats import LINKS
from virtualboard.esp8285.verbs import Verb, since
from virtualboard.network import WINDOW, Datagrams, Peer

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

LONGEST_KEEPALIVE_S = 7200


def _link_number(modem: Modem, args: Arguments) -> int:
    """The link number that CIPMUX=1 asks for; 0 without."""
    if not modem.settings.mux:
        return 0
    number = args.number()
    args.comma()
    if number >= LINKS:
        raise BadArgument(b"ID ERROR")
    return number


def _start(modem: Modem, _name: bytes, args: Arguments) -> None:
    if modem.settings.mode == 1 and not modem.station.online:
        raise BadArgument(b"no ip")  # asked before the arguments are looked at (AT 1.7.6 binary)
    number = _link_number(modem, args)
    kind = args.string(8, b"Link type ERROR")
    if kind not in (b"TCP", b"UDP", b"SSL"):
        raise BadArgument(b"Link type ERROR")
    args.comma()
    host = args.string(NAME_BYTES, b"IP ERROR")
    if not host:
        raise BadArgument(b"IP ERROR")
    args.comma(b"ENTRY ERROR")
    port = args.number_in(0, 65535)
    local_port, remote_mode = None, 0
    if kind == b"UDP":
        if args.more(b"Miss param"):
            local_port = args.number_in(1, 65535)
            if args.more():
                remote_mode = args.number_in(0, 2)
                args.end()
        port = port or modem.local_port()  # 0 stands for any
    elif args.more():
        args.number_in(0, LONGEST_KEEPALIVE_S)
        args.end()
    if modem.links[number] is not None:
        raise BadArgument(b"ALREADY CONNECTED")
    link = Link(number, kind.decode(), "", port, local_port or modem.local_port(), server=False)
    link.remote_mode = remote_mode
    modem.links.add(link)

    def resolved(address: str | None) -> None:
        if address is None:
            modem.links.remove(link)
            modem.error(b"DNS Fail")
            return
        if modem.settings.mode == 1 and not modem.station.online:
            modem.links.remove(link)
            modem.error(b"no ip")
            return
        link.ip = address
        if link.kind == "UDP":
            _start_datagrams(modem, link, local_port)
        else:
            _start_stream(modem, link)

    modem.resolve(host, resolved)


def _start_datagrams(modem: Modem, link: Link, local_port: int | None) -> None:
    try:
        association = modem.network.datagrams(link.ip, link.port, local_port)
    except OSError as error:
        modem.log(f"link {link.number}: {error}")
        modem.links.remove(link)
        modem.print(b"%sCONNECT FAIL\r\n" % modem.links.prefix(link.number))
        modem.error()
        return
    modem.links.attach_datagrams(link, association)
    _connected(modem, link)


def _start_stream(modem: Modem, link: Link) -> None:
    peer = modem.network.connect(
        link.ip, link.port, modem.about(modem.profile.syn_timeout_ns), reachable=modem.station.online
    )
    modem.links.attach(link, peer)

    def outcome(ok: bool) -> None:
        if modem.links[link.number] is not link:
            return
        if ok and link.kind == "TCP":
            _connected(modem, link)
            return
        # The module's TLS speaks no ECDHE, no GCM and no TLS 1.3: servers of today refuse it.
        link.peer = None
        peer.close(abort=True)
        modem.links.remove(link)
        if modem.settings.sysmsg & 2:
            modem.say_connected(link, failed=True)
            modem.error()
            return
        modem.error()
        modem.print(b"%sCLOSED\r\n" % modem.links.prefix(link.number))

    peer.on_connect = outcome


def _connected(modem: Modem, link: Link) -> None:
    link.up = True
    modem.links.last_closed = False
    modem.log(f"link {link.number}: connected to {link.ip}:{link.port}")
    modem.say_connected(link)
    modem.ok()


def _send_link(modem: Modem, args: Arguments) -> Link:
    number = 0
    if modem.settings.mux:
        number = args.number_in(0, LINKS - 1, b"ID ERROR")
        args.comma()
    link = modem.links[number]
    if link is None or not link.up or link.ending:
        raise BadArgument(b"link is not valid")
    return link


def _send_setup(kind: str, modem: Modem, args: Arguments) -> None:
    if modem.settings.transparent_mode:
        raise BadArgument(b"IPMODE=1")
    link = _send_link(modem, args)
    count = args.number()
    if count > LONGEST:
        raise BadArgument(b"too long")
    if count < 1:
        raise BadArgument
    target = None
    if link.kind == "UDP" and kind == "SEND":
        if args.more(b"no tail"):
            ip = ip_argument(args, b"ip error")
            args.comma(b"no port")
            target = ip, args.number_in(1, 65535, b"port range error")
            args.end(b"no tail")
    else:
        args.end(b"no tail")
    if link.kind == "TCP":
        if link.send_mode and (link.send_mode == "BUF") != (kind == "BUF"):
            raise BadArgument(b"send mode error")
        link.send_mode = kind
    if kind == "BUF":
        peer = link.peer
        if not isinstance(peer, Peer):
            raise BadArgument
        if peer.unacked + count > WINDOW:
            raise BadArgument(b"BUFFER FULL")
        modem.print(b"%d,%d\r\n" % (link.next_segment, link.acked_segment))
    modem.sender.prompt(link, count, kind, target)


def _send(modem: Modem, _name: bytes, args: Arguments) -> None:
    _send_setup("SEND", modem, args)


def _send_escaped(modem: Modem, _name: bytes, args: Arguments) -> None:
    _send_setup("EX", modem, args)


def _send_buffered(modem: Modem, _name: bytes, args: Arguments) -> None:
    _send_setup("BUF", modem, args)


def _send_transparent(modem: Modem, _name: bytes, _args: Arguments) -> None:
    link = modem.links[0]
    if not modem.settings.transparent_mode:
        raise BadArgument
    if link is None or not link.up or link.peer is None:
        raise BadArgument(b"link is not valid")
    modem.print(b"\r\nOK\r\n")
    modem.print(b"\r\n>")
    modem.transparent.enter(link)


def _close_single(modem: Modem, _name: bytes, _args: Arguments) -> None:
    if modem.settings.mux:
        raise BadArgument(b"MUX=1")
    _close_link(modem, modem.links[0], b"")


def _close_numbered(modem: Modem, _name: bytes, args: Arguments) -> None:
    number = args.number_in(0, LINKS)
    args.end()
    if not modem.settings.mux:
        raise BadArgument(b"MUX=0")
    if number < LINKS:
        _close_link(modem, modem.links[number], b"UNLINK")
        return
    for link in modem.links.open_links():
        modem.links.close(link)
    modem.ok()


def _close_link(modem: Modem, link: Link | None, reason: bytes) -> None:
    if link is None or not link.up:
        raise BadArgument(reason)
    if isinstance(link.peer, Datagrams) or link.abort_on_close:
        modem.links.close(link)
        modem.ok()
        return

    def closed() -> None:
        modem.links.close(link)
        modem.ok()

    # FIN out, FIN back: one round trip. What the peer sends meanwhile is thrown away.
    if isinstance(link.peer, Peer):
        link.peer.on_data = modem.links.discard(link)
        link.peer.on_close = lambda reset: None
    modem.after(modem.network.rtt_ns, closed)


def _close_mode(modem: Modem, _name: bytes, args: Arguments) -> None:
    number = args.number_in(0, LINKS - 1)
    args.comma()
    abort = args.number_in(0, 1)
    args.end()
    link = modem.links[number]
    if link is None:
        raise BadArgument
    link.abort_on_close = bool(abort)
    modem.ok()


def _read(modem: Modem, _name: bytes, args: Arguments) -> None:
    number = 0
    if modem.settings.mux:
        number = args.number_in(0, LINKS - 1)
        args.comma()
    count = args.number_in(1, LONGEST)
    args.end()
    data = modem.links.read(number, count)
    if data is None:
        raise BadArgument
    if data:
        head = b"+CIPRECVDATA:%d," if modem.profile.rtos else b"\r\n+CIPRECVDATA,%d:"
        modem.print(head % len(data) + data)
    modem.ok()


def _lengths(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:%d,%d,%d,%d,%d\r\n" % (name, *(modem.links.waiting(number) for number in range(LINKS))))
    modem.ok()


def _ssl_size(modem: Modem, _name: bytes, args: Arguments) -> None:
    value = args.number_in(2048, 8192 if modem.profile.version >= (1, 7, 2) else 4096)
    args.end()
    modem.settings.ssl_size = value
    modem.ok()


def _through(modem: Modem, _name: bytes, args: Arguments) -> None:
    """SAVETRANSLINK: open a transparent link at every boot, from the next one on."""
    if not args.number_in(0, 1):
        args.end()
        modem.flash.through = None
        modem.ok()
        return
    args.comma()
    ip = ip_argument(args)
    args.comma()
    port = args.number_in(1, 65535)
    if args.more():
        if args.string(3) != b"TCP":
            raise BadArgument
        if args.more():
            args.number_in(0, LONGEST_KEEPALIVE_S)
            args.end()
    modem.flash.through = (ip, port)
    modem.ok()


VERBS: dict[bytes, Verb] = {
    b"+CIPSTART": Verb(setup=_start),
    b"+CIPSEND": Verb(execute=_send_transparent, setup=_send),
    b"+SAVETRANSLINK": Verb(setup=_through),
    b"+CIPSENDEX": Verb(setup=_send_escaped),
    b"+CIPSENDBUF": Verb(setup=_send_buffered),
    b"+CIPCLOSE": Verb(execute=_close_single, setup=_close_numbered),
    b"+CIPCLOSEMODE": since((1, 7, 0), Verb(setup=_close_mode)),
    b"+CIPRECVDATA": since((1, 7, 0), Verb(setup=_read)),
    b"+CIPRECVLEN": since((1, 7, 0), Verb(query=_lengths)),
    b"+CIPSSLSIZE": Verb(setup=_ssl_size),
}
