"""`maixpix demo --url`: straight to the address, or by the companion where the board alone cannot have its picture."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from maixpix.board import device_code
from maixpix.companion.fetching import is_public


def is_secure(url: str) -> bool:
    """True for https://, which the board's modem cannot speak: only the companion can have it."""
    return urlsplit(url).scheme == "https"


def through_companion(url: str, base: str, size: tuple[int, int], names: dict[str, str]) -> str:
    """The address under which the companion at `base` gives the picture of `url`, ready for a panel of `size`.

    `names` are hosts that only the virtual network knows.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in names and host != "localhost":
        login, at, where = parts.netloc.rpartition("@")
        url = parts._replace(netloc=login + at + where.lower().replace(host, names[host], 1)).geturl()
    return f"{base}/fetch?url={quote(url, safe='')}&size={size[0]}x{size[1]}&fit=fit&format=jpeg"


def is_private(url: str, names: dict[str, str]) -> bool:
    """True when `url` leads to this machine or into a private network, where the user has sent the demo himself."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or not is_public(names.get(host, host))


def companion_helps(error: str) -> bool:
    """Whether the remedy of the board's error, told as "CODE: cause", is the companion."""
    record = device_code.load("errors").lookup(error.partition(":")[0])
    return record is not None and (record[3] == "=" or "companion" in record[3])
