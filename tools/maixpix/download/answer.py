"""What an HTTP answer to a request for a file says, read without I/O; believed as far as it agrees with itself.

`read_answer` raises `Lie`, `Busy` or `DownloadError` for whatever cannot be used; what it returns still has to be held
against the content that was begun (`Version`).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from maixpix.download.trouble import Busy, DownloadError, Lie
from maixpix.download.version import Version, read_version

_CONTENT_RANGE = re.compile(r"bytes\s+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_NO_RANGE = re.compile(r"bytes\s+\*/([0-9]{1,18})", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,18}")
_PACKED = {"gzip", "x-gzip", "deflate"}
_COME_AGAIN = (408, 421, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529)
_NAMES = {
    401: "asks for a name and password (401)",
    403: "forbids it (403)",
    404: "has no such file (404)",
    407: "is behind a proxy that asks for a password (407)",
    410: "no longer has the file (410)",
    451: "may not give the file out (451)",
}


@dataclass(frozen=True)
class Answer:
    """One usable answer. `start` is the content's byte that the body begins with, `stop` the one behind its last.

    `stop` is None when only the end of the answer tells; `ends_by_close` when not even the answer tells and the
    connection's end is all there is. `coding` is "" or how the body is packed. `has_ranges` when parts can be asked.
    """

    status: int
    start: int
    stop: int | None
    version: Version
    coding: str = ""
    has_ranges: bool = False
    ends_by_close: bool = False

    @property
    def is_whole(self) -> bool:
        """True for an answer that is not a part of the content."""
        return self.status == 200

    @property
    def is_end(self) -> bool:
        """True for a 416: there is nothing at the asked place."""
        return self.status == 416


def read_answer(status: int, headers: Mapping[str, str], is_gzip_wanted: bool = False) -> Answer:
    """The answer that `status` and `headers` (names in any case) make up.

    `is_gzip_wanted` for files that are gzip themselves: many servers tell that as if it were done on the way.
    """
    coding = "" if is_gzip_wanted and _coding(headers) == "gzip" else _coding(headers)
    if status in (200, 203):
        return _whole(headers, coding)
    if status == 206:
        return _part(headers, coding)
    if status == 416:
        found = _NO_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        size = int(found.group(1)) if found else None
        return Answer(416, 0, 0, read_version(headers, size, is_whole=False, is_plain=False))
    if status in _COME_AGAIN:
        raise Busy(f"answers {status}", retry_after(headers.get("Retry-After", "")))
    if status == 304:
        raise Lie("answers 304 (not modified) to a request that asked for the content")
    if status in (204, 205):
        raise Lie(f"answers {status}, which is no content")
    text = _NAMES.get(status, f"answers {status}")
    raise DownloadError(f"the server {text}", "check the address", kind="refused")


def retry_after(value: str, now: datetime.datetime | None = None) -> float | None:
    """Seconds that `Retry-After` asks to wait, given as a number or a date; None when it says nothing readable."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.timezone.utc)
    return max(0.0, (when - (now or datetime.datetime.now(datetime.timezone.utc))).total_seconds())


def _whole(headers: Mapping[str, str], coding: str) -> Answer:
    length = _length(headers)
    size = None if coding else length
    if headers.get("Content-Range"):
        # RFC 9110 gives the header no meaning here; whoever sends it has mixed up a part and the whole.
        found = _CONTENT_RANGE.fullmatch(headers["Content-Range"].strip())
        if found is None or int(found.group(1)) != 0 or found.group(3) not in ("*", str(int(found.group(2)) + 1)):
            raise Lie(f"answers 200 (the whole) with Content-Range {headers['Content-Range']!r} (a part)")
    return Answer(
        status=200,
        start=0,
        stop=size,
        version=read_version(headers, size, is_whole=True, is_plain=not coding),
        coding=coding,
        has_ranges="bytes" in headers.get("Accept-Ranges", "").lower(),
        ends_by_close=length is None and "chunked" not in headers.get("Transfer-Encoding", "").lower(),
    )


def _part(headers: Mapping[str, str], coding: str) -> Answer:
    if headers.get("Content-Type", "").lower().startswith("multipart/byteranges"):
        raise Lie("answers a request for one range with several")
    value = headers.get("Content-Range", "").strip()
    found = _CONTENT_RANGE.fullmatch(value)
    if found is None:
        raise Lie(f"answers 206 with Content-Range {value!r}, which names no part")
    first, last = int(found.group(1)), int(found.group(2))
    total = None if found.group(3) == "*" else int(found.group(3))
    if last < first or (total is not None and last >= total):
        raise Lie(f"answers 206 with Content-Range {value!r}, which contradicts itself")
    length = _length(headers)
    if length is not None and length != last - first + 1:
        raise Lie(f"answers 206 with Content-Range {value!r} but Content-Length {length}")
    if coding:
        raise Lie("sends a part that is packed, so nobody can tell where it belongs")
    return Answer(
        status=206,
        start=first,
        stop=last + 1,
        version=read_version(headers, total, is_whole=False, is_plain=True),
        has_ranges=True,
        ends_by_close=length is None and "chunked" not in headers.get("Transfer-Encoding", "").lower(),
    )


def _length(headers: Mapping[str, str]) -> int | None:
    value = headers.get("Content-Length")
    if value is None:
        return None
    if not _LENGTH.fullmatch(value.strip()):
        raise Lie(f"tells the length as {value[:40]!r}")
    return int(value)


def _coding(headers: Mapping[str, str]) -> str:
    told = headers.get("Content-Encoding", "") + "," + headers.get("Transfer-Encoding", "")
    names = [name.strip().lower() for name in told.split(",")]
    if names.count("chunked") > 1:
        raise Lie("sends it in chunks of chunks")
    names = [name for name in names if name not in ("", "identity", "chunked")]
    if not names:
        return ""
    if len(names) == 1 and names[0] in _PACKED:
        return names[0].removeprefix("x-")
    raise Lie(f"sends it packed as {', '.join(names)[:40]} though asked for it plain")
