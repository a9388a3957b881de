"""Download an official MaixPy build that the user names, and prove that it is one before keeping it.

Sipeed publishes each build in a folder of its own: .../release/master/maixpy_v0.6.2_84_g8fcd84a58/ with files named
after the folder and a variant ("_minimum_with_ide_support"). There are no published digests: builds that are known here
must be what they are known to be, and of others the SHA-256 of the first good download is remembered.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maixpix.errors import UserError
from maixpix.flash import images, known_builds

SITE = "https://dl.sipeed.com/fileList/MAIX/MaixPy/release/master/"
STALL_S = 30
TOTAL_S = 600

_NAME = re.compile(r"(?:maixpy_)?(v\d+\.\d+\.\d+_\d+_g[0-9a-f]{7,12})((?:_\w+)?)(?:\.(bin|kfpkg))?\Z")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Download:
    """A kept file. `first` is True when its digest was remembered by this download."""

    path: Path
    url: str
    image: images.Image
    first: bool
    is_pinned: bool = False
    """True when it is an official build whose digest is known here (`maixpix.flash.known_builds`)."""


def address_of(name: str, site: str = SITE) -> str:
    """The address of a build named like "v0.6.2_84_g8fcd84a58_minimum_with_ide_support", or of a URL given as such.

    Raises UserError for anything else: an address is never guessed.
    """
    if "://" in name:
        parts = urllib.parse.urlsplit(name)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"{name} is no http or https address", "copy the address of the .bin file")
        return name
    found = _NAME.match(name)
    if found is None:
        raise UserError(
            f"{name} does not name a build",
            "use its full name, such as v0.6.2_84_g8fcd84a58_minimum_with_ide_support, or the file's address",
        )
    version, variant, suffix = found.groups()
    return f"{site.rstrip('/')}/maixpy_{version}/maixpy_{version}{variant}.{suffix or 'bin'}"


def download(
    url: str, target: Path, sums: Path, progress: Progress | None = None, stall_s: float = STALL_S
) -> Download:
    """Fetch `url` to `target`, or to a file of its own name in `target` when that is a folder.

    `sums` is the JSON file of remembered digests. `progress(done, total)` counts bytes; total is 0 when the server does
    not tell. Raises UserError when the server refuses, the transfer is short or stalls, the file is no firmware, or its
    digest differs from the remembered one; a file that was at `target` stays as it was then.
    """
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rsplit("/", 1)[-1]
    if target.is_dir():
        if not name or not re.fullmatch(r"[\w.\-]+", name):
            raise UserError(f"the address {url} ends in no file name", "name the file with --output")
        target = target / name
    try:
        # What comes has a folder of its own until it is known to be firmware, on the disk that it is to stay on.
        with tempfile.TemporaryDirectory(prefix=".maixpix-", dir=target.parent) as folder:
            path = Path(folder) / target.name
            digest = _transfer(url, path, progress, stall_s)
            image = images.identify_bytes(path.read_bytes(), target)
            if image.kind not in ("maixpy", "kfpkg"):
                raise UserError(f"{url} is no MaixPy firmware but: {image.title}", "check the build's name")
            is_pinned = _is_pinned(name, url, digest)
            first = _remember(sums, url, digest, image.size)
            path.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}", "choose another place with --output") from None
    return Download(target, url, image, first, is_pinned)


def _is_pinned(name: str, url: str, digest: str) -> bool:
    """Whether a file of this name is known, and is that one. Raises UserError when it is another one."""
    known = known_builds.SHA256.get(name)
    if known is not None and known != digest:
        raise UserError(
            f"{url} is not the official {name} (sha256 {digest[:12]}, should be {known[:12]})",
            "do not flash it; download it from the official site",
        )
    return known is not None


def _transfer(url: str, path: Path, progress: Progress | None, stall_s: float) -> str:
    """Fetch `url` to `path`; the SHA-256."""
    from maixpix import download as web  # takes a third of a second, which recognising files should not pay

    options = web.Options(parts=1, retries=2, idle_s=stall_s, total_s=TOTAL_S, max_bytes=images.MAX_FILE)
    on_progress = None if progress is None else lambda now: progress(now.done, now.total or 0)
    try:
        return web.download(url, path, options=options, on_progress=on_progress).sha256
    except web.DownloadError as error:
        raise UserError(f"{url}: {error.message}", error.remedy) from None


def _remember(sums: Path, url: str, digest: str, size: int) -> bool:
    """Compare with the remembered digest, or remember it. True when it was new."""
    try:
        known = json.loads(sums.read_text("utf-8"))
    except FileNotFoundError:
        known = {}
    except ValueError:
        raise UserError(f"{sums} is damaged", "look at it, and delete it if you trust the server") from None
    old = known.get(url)
    if old is not None:
        if old["sha256"] != digest:
            raise UserError(
                f"{url} is not the file it was on {old['date']} (sha256 {digest[:12]}, was {old['sha256'][:12]})",
                f"do not flash it; if the change is known to be right, remove the entry from {sums}",
            )
        return False
    known[url] = {"sha256": digest, "size": size, "date": time.strftime("%Y-%m-%d")}
    sums.parent.mkdir(parents=True, exist_ok=True)
    unfinished = sums.with_name(sums.name + ".part")
    unfinished.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")
    unfinished.replace(sums)
    return True
