"""File names from strangers made into names that mean one plain file on every system."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maixpix.companion.sniff import Kind

DEVICE_NAMES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"}
)
"""Names that Windows keeps for devices, whatever suffix follows."""

MAX_NAME_BYTES = 120
"""Bytes of UTF-8 in a stored name; file systems take 255, collisions add up to 6."""


def safe_name(wanted: str, fallback: str, kind: Kind | None, default_suffix: str = ".bin") -> str:
    """A name that is one visible component, NFC, without control characters, device names or doubtful edges.

    `fallback` serves when nothing usable is left. A recognised `kind` decides the suffix: one that does not belong to
    it is kept as part of the stem, so that a picture called evil.html is stored as evil.html.jpg. A name without any
    gets `default_suffix`.
    """
    text = unicodedata.normalize("NFC", wanted[:1000])
    text = re.split(r"[/\\]", text)[-1]
    # Categories C* are control, format (invisible, right-to-left), surrogate, private and unassigned characters.
    text = "".join(" " if ch.isspace() else ch for ch in text if ch.isspace() or unicodedata.category(ch)[0] != "C")
    text = re.sub(r'[<>:"|?*]', "_", re.sub(" +", " ", text)).strip(" .")
    text = text or fallback
    stem, dot, suffix = text.rpartition(".")
    if not dot or not re.fullmatch(r"[A-Za-z0-9]{1,8}", suffix):
        stem, suffix = text, ""
    suffix = "." + suffix if suffix else ""
    if kind is not None and suffix.lower() not in (kind.suffix, *kind.other_suffixes):
        stem, suffix = stem + suffix, kind.suffix
    suffix = suffix or default_suffix
    stem = _cut(stem, MAX_NAME_BYTES - len(suffix)).rstrip(" .") or fallback
    if stem.split(".")[0].rstrip().lower() in DEVICE_NAMES:
        stem = "_" + stem
    return stem + suffix


def numbered(name: str, number: int) -> str:
    """The name to try when `number` files of that name are there already."""
    if number == 0:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{number + 1}{dot}{suffix}"


def safe_board(text: str) -> str:
    """A board's name as it is logged and shown: printable, at most 64 characters."""
    spaced = " ".join(unicodedata.normalize("NFC", text[:500]).split())
    return "".join(ch for ch in spaced if ch.isprintable())[:64]


def _cut(text: str, count: int) -> str:
    """The longest beginning of `text` within `count` bytes of UTF-8 that splits no character."""
    return text.encode("utf-8", "ignore")[:count].decode("utf-8", "ignore")
