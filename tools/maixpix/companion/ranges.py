"""Conditional requests and ranges, without I/O (RFC 9110 sections 13 and 14, RFC 9530).

The rules that decide which status and which bytes a GET or HEAD gets are kept apart from the code that moves bytes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

_ETAG_LIST = re.compile(r'\s*(W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(,|$)')
_RANGE = re.compile(r"bytes\s*=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Selection:
    """Status to answer, and the half-open byte range of the representation to send."""

    status: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def strong_etag(digest: bytes) -> str:
    """Strong entity tag of content with this SHA-256: equal tags mean equal bytes."""
    return f'"{digest.hex()[:40]}"'


def repr_digest(digest: bytes) -> str:
    """Value of `Repr-Digest` for a SHA-256 (RFC 9530 section 3)."""
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def parse_repr_digest(value: str) -> bytes | None:
    """SHA-256 named by a `Repr-Digest` or `Content-Digest` value, or None when there is no readable one."""
    found = re.search(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):", value)
    return base64.b64decode(found.group(1)) if found else None


def select(method: str, headers: Mapping[str, str], size: int, etag: str) -> Selection:
    """Decide what a request gets of a representation of `size` bytes with strong entity tag `etag`.

    Statuses: 200, 206, 304, 412 (If-Match failed), 416. Preconditions are looked at in the order of RFC 9110
    section 13.2.2. Several ranges in one request are answered with the whole, as section 14.2 permits.
    """
    whole = Selection(200, 0, size)
    if (wanted := headers.get("If-Match")) is not None and not _matches(wanted, etag, weak=False):
        return Selection(412, 0, 0)
    if (known := headers.get("If-None-Match")) is not None and _matches(known, etag, weak=True):
        return Selection(304, 0, 0)
    asked = headers.get("Range")
    if asked is None or method != "GET":
        return whole
    # A date in If-Range never matches: no Last-Modified is sent, entity tags are exact.
    if (condition := headers.get("If-Range")) is not None and condition.strip() != etag:
        return whole
    return _range(asked, size) or whole


def _range(value: str, size: int) -> Selection | None:
    """The single range asked for; None when the header is to be ignored."""
    found = _RANGE.fullmatch(value.strip())
    if not found or found.group(1) == found.group(2) == "":
        return None
    first, last = found.groups()
    if first == "":
        count = min(int(last), size)
        return Selection(206, size - count, size) if count else Selection(416, 0, 0)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        return Selection(416, 0, 0)
    return Selection(206, start, min(int(last) + 1, size) if last else size)


def _matches(value: str, etag: str, weak: bool) -> bool:
    if value.strip() == "*":
        return True
    position = 0
    while found := _ETAG_LIST.match(value, position):
        if found.group(2) == etag and (weak or not found.group(1)):
            return True
        position = found.end()
        if not found.group(3):
            break
    return False
