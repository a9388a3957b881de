"""Doctor's last part: the networks in range, joining one, the server, and a measured fetch."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from maixpix.doctor.findings import Finding

MEASURED = 64 * 1024
"""Bytes that the measured fetch asks for: 6 s at 115200 baud."""

_LIMIT_MS = 30_000
_JOIN_CODES = {
    "1": "timeout",
    "2": "wrong password",
    "3": "no such network",
    "4": "the access point refused",
    "W": "the modem, which alone has the key (WPS), does not join it",
}  # Espressif AT instruction set, AT+CWJAP; "W" is the probe's own

Ask = Callable[..., Any]


def networks(
    ask: Ask, values: Mapping[str, Any], wifi_path: str, rate: int, size: tuple[int, int]
) -> Iterator[Finding]:
    """Networks, join, address, name, server, fetch; each step needs the one before.

    `ask` calls the probe, `values` are the board's settings, `wifi_path` is the file on the board with the networks,
    `rate` that of the modem's line, `size` the panel's.
    """
    seen = sorted(ask("scan()", 20), key=lambda entry: -entry[1])
    if not seen:
        yield Finding("networks", "wrong", "none in range", "is the antenna connected? 2.4 GHz only")
        return
    yield Finding("networks", "ok", ", ".join(f"{name} {signal} dBm" for name, signal, _ in seen[:6]))
    if not values.get("wifi"):
        yield Finding("join", "skip", "no network in the settings", "run `maixpix setup --wifi NAME`")
        return
    names = [entry[0] for entry in seen]
    tried = ask(f"join({wifi_path!r},{names!r})", 25 * len(values["wifi"]) + 5)
    last = tried[-1]
    if not last["joined"]:
        words = "; ".join(f"{one['name']}: {_JOIN_CODES.get(one.get('code', ''), 'no answer')}" for one in tried)
        yield Finding("join", "wrong", words, "check name and key with `maixpix setup`")
        return
    yield Finding("join", "ok", f"{last['name']} in {last['ms'] / 1000:.1f} s")
    address = ask("address()")
    if address in ("", "0.0.0.0"):
        yield Finding("address", "wrong", "none", "is DHCP on in the access point?")
        return
    yield Finding("address", "ok", address)
    yield from _server(ask, values, rate, size)


def picture_url(values: Mapping[str, Any], size: tuple[int, int]) -> str:
    """What to fetch for a measurement: the picture of the settings, from the server in a large form; "" for nothing."""
    picture, server = str(values.get("picture") or ""), str(values.get("server") or "").rstrip("/")
    if "://" in picture:
        return picture
    if not server:
        return ""
    path = f"pictures/{quote(picture)}?" if picture else "frame?board=doctor&"
    return f"{server}/{path}size={size[0]}x{size[1]}&format=bmp"


def request(url: str) -> tuple[str, int, bytes]:
    """(host, port, request head) for at most MEASURED bytes of the http `url`, whose login becomes a field."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {quote(target, safe='/?&=%+,;:@!$*()~-._')} HTTP/1.1", f"Host: {host}:{port}", "Connection: close"]
    lines += [f"Range: bytes=0-{MEASURED - 1}", "User-Agent: maixpix doctor"]
    user, at, _ = parts.netloc.rpartition("@")
    if at:
        lines.append("Authorization: Basic " + base64.b64encode(unquote_to_bytes(user)).decode())
    return host, port, "\r\n".join([*lines, "", ""]).encode()


def _server(ask: Ask, values: Mapping[str, Any], rate: int, size: tuple[int, int]) -> Iterator[Finding]:
    url = picture_url(values, size)
    if not url:
        yield Finding("server", "skip", "none in the settings", "run `maixpix setup --server http://...`")
        return
    try:
        host, port, head = request(url)
    except ValueError:
        host, port, head = "", 0, b""
    if not host or not url.startswith("http://"):
        yield Finding("server", "wrong", "its address is no http:// one", "correct it with `maixpix setup`")
        return
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", host):
        address = host
    else:
        address = ask(f"resolve({host!r})")
        if not address:
            yield Finding("names", "wrong", f"{host} is unknown", "use the server's address instead of its name")
            return
        yield Finding("names", "ok", f"{host} is {address}")
    found = ask(f"fetch({address!r},{port},{head!r},{MEASURED},{_LIMIT_MS})", 60)
    if not found["connected"]:
        remedy = "is `maixpix serve --host 0.0.0.0` running there, and does its firewall let it?"
        yield Finding("server", "wrong", f"no connection to {address}:{port}", remedy)
        return
    status = found.get("status", "no answer")
    if not status.startswith("HTTP/1.") or status[9:10] not in ("2", "3"):
        what = f"{host}:{port} answered {status}"
        if status[9:12] == "404":
            name = values.get("picture") or "picture"
            yield Finding("server", "wrong", what, f"it has no {name if '://' not in name else 'such picture'}")
        else:
            yield Finding("server", "wrong", what, "is this the address of `maixpix serve`?")
        return
    yield Finding("server", "ok", f"connected in {found['connect_ms']} ms, {status[:12]}")
    speed = found["bytes"] * 1000 // found["ms"]
    share = f", {speed * 1000 // rate} % of the line's {rate} baud"
    yield Finding("fetch", "ok", f"{found['bytes']:,} bytes in {found['ms']} ms, {speed / 1024:.1f} kB/s{share}")
