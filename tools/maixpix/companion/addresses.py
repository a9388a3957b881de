"""Which addresses `/fetch` may reach: the open internet, and nothing around this machine.

What is allowed is a positive list, checked where the connection is made: after name resolution, on every redirect,
and once more on the socket. An address that hides another (mapped, translated, tunnelled) is none of the open ones.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from maixpix.companion.problems import Refused

_OPEN_V6 = ipaddress.ip_network("2000::/3")
"""All global unicast addresses that were ever given out (IANA IPv6 address space registry)."""

_CLOSED = [
    ipaddress.ip_network(text)
    for text in (
        # IANA IPv4 special-purpose registry, and what is no unicast
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        # within 2000::/3: protocols and Teredo, documentation, 6to4
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
]  # fmt: skip

_LAN_PREFIX = {4: 24, 6: 64}
"""Bits that addresses of one network share at least, where this machine itself has a public one."""


def is_public(address: str) -> bool:
    """True for an address of the open internet, IPv4 or IPv6."""
    try:
        ip = ipaddress.ip_address(address)  # a zone (fe80::1%eth0) belongs to a link, never to the internet
    except ValueError:
        return False
    if "%" in address or (ip.version == 6 and ip not in _OPEN_V6):
        return False
    return not any(ip in network for network in _CLOSED if network.version == ip.version)


def is_beside(address: str) -> bool:
    """True for an address in this machine's own network, which may have public addresses too (IPv6 has)."""
    ip = ipaddress.ip_address(address)
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # sends nothing: the system only chooses which of its addresses it would use
            own = ipaddress.ip_address(probe.getsockname()[0].split("%")[0])
    except OSError:
        return False  # it cannot be reached anyway
    network = ipaddress.ip_network(f"{own}/{_LAN_PREFIX[ip.version]}", strict=False)
    return is_public(str(own)) and ip in network


def may_reach(address: str) -> bool:
    """True when `/fetch` may connect to `address`."""
    return is_public(address) and not is_beside(address)


class PublicOnly(AbstractResolver):
    """Resolves names and drops what is not public, so that the address checked is the address connected to."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        usable = [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, address in found
            if may_reach(str(address[0]))
        ]
        if not usable:
            raise private(host)
        return usable

    async def close(self) -> None:
        """Nothing is held."""


def public_socket(address: tuple[Any, ...]) -> socket.socket:
    """The last look before connecting, whatever way an address took here (aiohttp does not resolve 127.1)."""
    family, kind, protocol, _, where = address
    if not may_reach(str(where[0])):
        raise private(str(where[0]))
    return socket.socket(family, kind, protocol)


def private(host: str) -> Refused:
    """The refusal of a host that is not of the open internet."""
    return Refused(403, "fetch-private", f"{host[:80]} is no public address", "allow it with --fetch-private")
