"""Who may talk to this server through a browser: defence against DNS rebinding and foreign pages.

A page from elsewhere can make its visitor's browser send requests here, under a public name that it lets point to this
machine. Such a request carries that public name in Host. Addresses and names without public registration do not.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web

from maixpix.companion.problems import Refused

_LOCAL_SUFFIXES = (".localhost", ".local", ".lan", ".home", ".internal", ".home.arpa", ".fritz.box")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE)


def is_own_name(host: str | None, names: Collection[str]) -> bool:
    """True when a Host header can only mean this machine: an address, a local name, or one of `names`."""
    found = _HOST.fullmatch(host or "")
    if not found:
        return False
    name = found.group(1).lower().rstrip(".")
    if name.startswith("["):
        return _is_address(name[1:-1])
    if _is_address(name) or "." not in name or name.endswith(_LOCAL_SUFFIXES):
        return True
    return name in {known.lower() for known in names} or name == socket.gethostname().lower()


class PageSecret:
    """What only our own pages know: a form or script that shows it comes from one of them."""

    def __init__(self) -> None:
        self.value = secrets.token_urlsafe(24)

    def check(self, request: web.BaseRequest, shown: str) -> None:
        """Raise `Refused` (403) for a request that another page may have made."""
        right = hmac.compare_digest(shown.encode("utf-8", "replace"), self.value.encode())
        if not right or not is_same_origin(request):
            raise Refused(403, "foreign-page", "the request does not come from the gallery", "reload the gallery")


def is_same_origin(request: web.BaseRequest) -> bool:
    """True when a state-changing request comes from a page of this server or from no page at all."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or place_of(origin) == request.headers.get("Host", "").lower() != ""


def place_of(address: str) -> str:
    """Host and port of an address that a header names, in small letters; "" for one that cannot be read."""
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
