"""The name that a server gives a file (RFC 6266, RFC 8187), made into one that is safe on every system."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from maixpix.names import safe_name

FALLBACK = "download"

_PARAMETER = re.compile(r';\s*([A-Za-z0-9!#$&+^_`|~.-]+\*?)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)')
_EXTENDED = re.compile(r"([A-Za-z0-9!#$&+^_`{}~.-]+)'[^']*'(.*)", re.DOTALL)


def file_name(headers: Mapping[str, str], url: str) -> str:
    """One visible path component: from Content-Disposition, else from the last part of `url`'s path."""
    wanted = disposition_name(headers.get("Content-Disposition", "")) or url_name(url)
    return safe_name(wanted, FALLBACK, None, default_suffix="")


def url_name(url: str) -> str:
    """The last part of the path of `url`, percent-decoded once; "" when the path ends in a slash."""
    return unquote(urlsplit(url).path.rsplit("/", 1)[-1])


def disposition_name(value: str) -> str:
    """The file name in a Content-Disposition value as it was sent; "" when there is none.

    The extended form wins over the plain one (RFC 6266 section 4.3). Unquoted names with spaces, which are common
    though not allowed, are taken up to the next semicolon.
    """
    found = {name.lower(): text.strip() for name, text in reversed(_PARAMETER.findall(";" + value))}
    return _extended(found.get("filename*", "")) or _plain(found.get("filename", ""))


def _extended(text: str) -> str:
    match = _EXTENDED.fullmatch(text.strip('"'))
    if match is None:
        return ""
    try:
        return unquote_to_bytes(match.group(2)).decode(match.group(1))
    except (LookupError, UnicodeDecodeError):
        return ""


def _plain(text: str) -> str:
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
