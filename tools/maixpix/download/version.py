"""Which content an answer belongs to, as far as a server tells: entity tag, date, size, digests (RFC 9110 section 8.8).

Bytes of two answers are put together only when both belong to the same version.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any

from multidict import MultiMapping

from maixpix.download.options import Options
from maixpix.download.trouble import Lie, WrongDigest

_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\U0010ffff]*"')
_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")
_BYTES_SEQUENCE = re.compile(r"(?:^|,)\s*([a-z0-9-]+)\s*=\s*:([A-Za-z0-9+/=]+):")
_LEGACY = re.compile(r"(?:^|,)\s*([A-Za-z0-9-]+)\s*=\s*([A-Za-z0-9+/=]+)")

ALGORITHMS = {"sha-512": ("sha512", 64), "sha-256": ("sha256", 32), "md5": ("md5", 16)}
"""Digest names of HTTP that are checked: the name in `hashlib` and the length in bytes."""


@dataclass(frozen=True)
class Version:
    """`etag` as sent, "" for none; `modified` the Last-Modified text; `size` of the whole in bytes, None if not told.

    `dated` is True when the date alone tells versions apart: RFC 9110 section 8.8.2.2 asks that the answer was made
    at least a second after the content. `digests` maps names of `ALGORITHMS` to the digest of the whole.
    """

    etag: str = ""
    modified: str = ""
    dated: bool = False
    size: int | None = None
    digests: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def condition(self) -> str:
        """What to send as If-Range; "" when nothing that the server told is strong enough."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified if self.dated and not self.etag else ""

    def differs(self, other: Version) -> str:
        """How an answer of `other` shows that it is not this content; "" when nothing shows it."""
        if self.size is not None and other.size is not None and self.size != other.size:
            return f"{other.size:,} bytes instead of {self.size:,}"
        shared = self.digests.keys() & other.digests.keys()
        if shared:
            return "another digest" if any(self.digests[name] != other.digests[name] for name in shared) else ""
        if self.etag and other.etag:
            same = self.etag.removeprefix("W/") == other.etag.removeprefix("W/")
            return "" if same else f"ETag {other.etag} instead of {self.etag}"
        if self.modified and other.modified and self.modified != other.modified:
            return f"Last-Modified {other.modified} instead of {self.modified}"
        return ""

    def takes_part_of(self, other: Version) -> bool:
        """Whether a part that `other` is told of, and that does not differ, may be put to bytes of this version.

        A part has the tag that the whole would have (RFC 9110 section 15.3.7): without it, or with a weak one, the
        server was not asked by the tag, or does not look. A date need not be told again.
        """
        if self.digests.keys() & other.digests.keys() or self.condition != self.etag:
            return True
        return not self.etag or other.etag == self.etag

    def is_confirmed_by(self, other: Version) -> bool:
        """True when `other` names the same content by something strong."""
        if self.differs(other):
            return False
        if self.digests.keys() & other.digests.keys():
            return True
        condition = self.condition
        return bool(condition) and condition in (other.etag, other.modified)

    def sized(self, size: int) -> Version:
        """The same, once the size of the whole is known."""
        return replace(self, size=size)

    def to_json(self) -> dict[str, Any]:
        """For the journal and the record."""
        digests = {name: digest.hex() for name, digest in self.digests.items()}
        return {
            "etag": self.etag,
            "modified": self.modified,
            "dated": self.dated,
            "size": self.size,
            "digests": digests,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Version:
        """Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` for whatever `to_json` did not write."""
        digests = {str(name): bytes.fromhex(text) for name, text in found["digests"].items()}
        size = found["size"]
        return cls(
            str(found["etag"]),
            str(found["modified"]),
            bool(found["dated"]),
            None if size is None else int(size),
            digests,
        )


def read_version(headers: Mapping[str, str], size: int | None, is_whole: bool, is_plain: bool) -> Version:
    """The version that an answer's headers tell.

    `is_whole` when the body is the whole content, `is_plain` when it is not packed: digests of a packed body are not
    those of the content.
    """
    etag = headers.get("ETag", "").strip()
    if not _ETAG.fullmatch(etag):
        # Some servers forget the quotes; such a tag still tells that the content changed, but cannot be sent back.
        etag = f'W/"{etag}"' if re.fullmatch(r"[\x21\x23-\x7e]+", etag) else ""
    modified = headers.get("Last-Modified", "").strip()
    digests = _digests(headers, is_whole) if is_plain else {}
    # Beside a tag the date does not count, and reading dates takes longer than all the rest.
    is_dated = not etag and _is_dated(modified, headers.get("Date", ""))
    return Version(etag, modified, is_dated, size, digests)


def linked_digest(headers: Mapping[str, str]) -> dict[str, bytes]:
    """The SHA-256 that model hubs tell as `X-Linked-ETag`, mostly on the redirect to where the bytes are."""
    tag = headers.get("X-Linked-ETag", "").strip().strip('"')
    return {"sha-256": bytes.fromhex(tag)} if tag and _SHA256_HEX.fullmatch(tag) else {}


def expected_digests(options: Options, version: Version) -> dict[str, bytes]:
    """Digests that a file must have: the user's own, or else what the server told."""
    return {"sha-256": bytes.fromhex(options.sha256)} if options.sha256 else dict(version.digests)


def check_digest(name: str, found: bytes, wanted: bytes) -> None:
    """Raises `WrongDigest`."""
    if found != wanted:
        raise WrongDigest(f"sent a file with {name} {found.hex()[:16]}..., not {wanted.hex()[:16]}...")


def join_digests(some: Mapping[str, bytes], others: Mapping[str, bytes]) -> dict[str, bytes]:
    """Both together. Raises `Lie` when they contradict each other: one of them is wrong, whatever the file is."""
    for name in some.keys() & others.keys():
        if some[name] != others[name]:
            raise Lie(f"tells two digests, {name} {some[name].hex()[:16]}... and {others[name].hex()[:16]}...")
    return {**some, **others}


def _digests(headers: Mapping[str, str], is_whole: bool) -> dict[str, bytes]:
    told = [
        (name.lower(), text)
        for field in ("Digest", "X-Goog-Hash")
        for name, text in _LEGACY.findall(_line(headers, field))
    ]
    told.append(("sha-256", headers.get("X-Amz-Checksum-SHA256", "")))
    if is_whole:
        told.append(("md5", headers.get("Content-MD5", "")))
        told += _BYTES_SEQUENCE.findall(_line(headers, "Content-Digest"))
    told += _BYTES_SEQUENCE.findall(_line(headers, "Repr-Digest"))
    found = linked_digest(headers)
    for name, text in told:
        found = join_digests(found, _digest(name, text))
    return found


def _line(headers: Mapping[str, str], name: str) -> str:
    """All lines of a header that is a list, as one."""
    lines: Sequence[str] = headers.getall(name, ()) if isinstance(headers, MultiMapping) else (headers.get(name, ""),)
    return ", ".join(lines)


def _digest(name: str, text: str) -> dict[str, bytes]:
    if name not in ALGORITHMS or not text:
        return {}
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return {}
    return {name: digest} if len(digest) == ALGORITHMS[name][1] else {}


def _is_dated(modified: str, date: str) -> bool:
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except (TypeError, ValueError):
        return False
    return age.total_seconds() >= 1
