"""Download an official MaixPy build that the user names, and prove that it is one before keeping it.

Sipeed publishes each build in a folder of its own: .../release/master/maixpy_v0.6.2_84_g8fcd84a58/ with files named
after the folder and a variant ("_minimum_with_ide_support"). There are no published digests: builds that are known here
must be what they are known to be, and of others the SHA-256 of the first good download is remembered.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, BinaryIO

from maixpix.errors import UserError
from maixpix.flash import images, known_builds

SITE = "https://dl.sipeed.com/fileList/MAIX/MaixPy/release/master/"
STALL_S = 30
TOTAL_S = 600

_NAME = re.compile(r"(?:maixpy_)?(v\d+\.\d+\.\d+_\d+_g[0-9a-f]{7,12})((?:_\w+)?)(?:\.(bin|kfpkg))?\Z")
_CHUNK = 64 * 1024

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
    unfinished = target.with_name(target.name + ".part")
    try:
        digest = _transfer(url, unfinished, progress, stall_s)
        # The package check looks at the name, so the part file is judged under its final one.
        image = images.identify_bytes(unfinished.read_bytes(), target)
        if image.kind not in ("maixpy", "kfpkg"):
            raise UserError(f"{url} is no MaixPy firmware but: {image.title}", "check the build's name")
        is_pinned = _is_pinned(name, url, digest)
        first = _remember(sums, url, digest, image.size)
        unfinished.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}", "choose another place with --output") from None
    finally:
        unfinished.unlink(missing_ok=True)
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


def _transfer(url: str, unfinished: Path, progress: Progress | None, stall_s: float) -> str:
    request = urllib.request.Request(url, headers={"User-Agent": "maixpix", "Accept-Encoding": "identity"})
    opener = urllib.request.build_opener(_NoDowngrade)
    deadline = time.monotonic() + TOTAL_S
    try:
        with opener.open(request, timeout=stall_s) as answer, unfinished.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0)
            if total > images.MAX_FILE:
                raise UserError(f"{url} announces {total:,} bytes, more than the 16 MiB flash", "check the address")
            digest, done = _copy(answer, file, total, deadline, progress)
    except urllib.error.HTTPError as error:
        remedy = "check the build's name on the download site" if error.code in (403, 404, 410) else "try again later"
        raise UserError(f"the server answered {error.code} {error.reason} for {url}", remedy) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, (TimeoutError, socket.timeout)):
            raise UserError(f"{url} did not answer within {stall_s:g} s", "try again later") from None
        raise UserError(f"cannot reach {url}: {error.reason}", "check the network and the address") from None
    except TimeoutError:
        raise UserError(f"{url} stopped sending for {stall_s:g} s", "try again") from None
    except (http.client.HTTPException, ConnectionError) as error:
        raise UserError(f"the download of {url} broke off ({type(error).__name__})", "try again") from None
    except ValueError:
        raise UserError(f"the server sent no usable length for {url}", "try again later") from None
    if total and done != total:
        raise UserError(f"the download of {url} ended after {done:,} of {total:,} bytes", "try again")
    return digest


def _copy(answer: BinaryIO, file: BinaryIO, total: int, deadline: float, progress: Progress | None) -> tuple[str, int]:
    digest, done = hashlib.sha256(), 0
    while piece := answer.read(_CHUNK):
        done += len(piece)
        if done > images.MAX_FILE:
            raise UserError("the server sends more than the 16 MiB flash holds", "check the address")
        if time.monotonic() > deadline:
            raise UserError(f"the download took more than {TOTAL_S // 60} minutes", "try again on a better network")
        digest.update(piece)
        file.write(piece)
        if progress is not None:
            progress(done, total)
    return digest.hexdigest(), done


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


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise UserError(f"{req.full_url} leads to an unprotected address", "download the file in a browser")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
