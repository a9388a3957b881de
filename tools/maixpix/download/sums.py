"""`SHA256SUMS` files: what `sha256sum` writes, and what many download sites offer beside their files."""

from __future__ import annotations

import re

from maixpix.download.trouble import DownloadError

_LINE = re.compile(r"\\?([0-9a-fA-F]{64}) [ *](.+)")
_BSD_LINE = re.compile(r"SHA256 \((.+)\) = ([0-9a-fA-F]{64})")


def read_sums(text: str) -> dict[str, str]:
    """Lower-case hexadecimal digests by file name (without folders), from GNU's or BSD's form.

    Raises `DownloadError` when one name has two digests, or when there is no digest at all.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        if (match := _LINE.fullmatch(line.strip())) is not None:
            digest, name = match.groups()
        elif (match := _BSD_LINE.fullmatch(line.strip())) is not None:
            name, digest = match.groups()
        else:
            continue
        name = re.split(r"[/\\]", name)[-1]
        if found.setdefault(name, digest.lower()) != digest.lower():
            raise DownloadError(f"the list of digests has two for {name}", "check the list", kind="digest")
    if not found:
        raise DownloadError("the list of digests has none", "it should look like what sha256sum writes", kind="digest")
    return found
