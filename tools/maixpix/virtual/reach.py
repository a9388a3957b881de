"""What a virtual board's links may reach beyond this machine, whether a URL lies within it, and how far away it is."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from maixpix.errors import UserError

F = TypeVar("F", bound=Callable[..., Any])

LOOPBACK = "127.0.0.0/8"
"""Reachable without a word: servers on this machine."""


class Reach(click.ParamType):
    """An IPv4 address, a range of them in CIDR notation, or `any`."""

    name = "ADDRESS"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The range as CIDR text; fails with a sentence that says what one looks like."""
        if value == "any":
            return "0.0.0.0/0"
        try:
            return str(ipaddress.IPv4Network(value, strict=False))
        except ValueError:
            self.fail(
                f"{value!r} is no IPv4 address; write for example 192.168.1.20, 192.168.1.0/24 or any", param, ctx
            )


REACH = Reach()

reach_option = click.option(
    "--reach",
    type=REACH,
    multiple=True,
    help="Let the board's links out of this machine, to this IPv4 address, range (192.168.1.0/24) or to `any`; names "
    "are then looked up by this machine's resolver. Without it only servers on this machine can be reached.",
)

latency_option = click.option(
    "--latency",
    "--rtt",
    "rtt_ms",
    default=4.0,
    show_default=True,
    type=click.FloatRange(0.1, 60_000),
    metavar="MS",
    help="Round trip to every server, in milliseconds of the board's time: 4 is the same house, 100 another continent.",
)


def grace_option(default: float) -> Callable[[F], F]:
    """`--grace MS`, which bounds what the board's time hides of a server's thinking; `default` in milliseconds."""
    return click.option(
        "--grace",
        "grace_ms",
        default=default,
        show_default=True,
        type=click.FloatRange(0, 60_000),
        metavar="MS",
        help="A server that answers within so many real milliseconds answers at once in the board's time; of a slower "
        "one all its time is seen. More makes figures of a busy machine comparable, less hides nothing.",
    )


def resolve_url(url: str, known: dict[str, str], reach: list[str]) -> dict[str, str]:
    """Names that the virtual network needs for `url`: `known` ones, and its host when `reach` leads there.

    Raises UserError, in one line with the remedy, for what is no http(s) URL, for a host beyond `reach` and loopback
    and for a name that this machine cannot resolve.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f"{url} is no address: {error}", "write for example http://127.0.0.1:8000/a.jpg") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UserError(f"{url} is no http:// address", "write for example --url http://127.0.0.1:8000/a.jpg")
    if ":" in host:
        raise UserError(f"{host} is an IPv6 address, and the board's modem has IPv4 only", "use an IPv4 address")
    if host == "localhost" or host in known:
        return known
    address = _ipv4(host)
    if address is None and reach:
        address = _look_up(host)
    if address is not None and any(address in ipaddress.IPv4Network(entry) for entry in (LOOPBACK, *reach)):
        return known if str(address) == host else {**known, host: str(address)}
    way = f"--reach {address}" if address is not None else "--reach any"
    where = host if address is None or str(address) == host else f"{host} ({address})"
    raise UserError(f"{where} is not on this machine, and the virtual board reaches nothing else", f"add {way}")


def _ipv4(host: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None


def _look_up(host: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0])
    except (OSError, UnicodeError):
        raise UserError(f"this machine finds no IPv4 address of {host}", "check the name, or use an address") from None
