"""Text from outside, made harmless before it reaches a terminal."""

from __future__ import annotations

import unicodedata


def printable(text: str, longest: int = 500) -> str:
    """One line without control, escape, invisible and direction-changing characters, at most `longest` long."""
    spaced = " ".join(text[: 4 * longest].split())
    kept = "".join(ch if unicodedata.category(ch)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for ch in spaced)
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"
