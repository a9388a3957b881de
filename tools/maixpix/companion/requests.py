"""One line for everything that boards and other programs got, sent, and did not get."""

from __future__ import annotations

import logging
import time

from aiohttp import web

from maixpix.companion.hosts import place_of
from maixpix.companion.pages import size_text
from maixpix.companion.problems import Refused
from maixpix.companion.uploads.log import Stored
from maixpix.names import safe_board

log = logging.getLogger("maixpix.companion.requests")

_WHAT = "maixpix-what"
_BEGAN = "maixpix-began"


def note(request: web.BaseRequest, what: str) -> None:
    """Tell of this request when it is answered: it is for `what`."""
    request[_WHAT] = what


class RequestLog:
    """Tells of each answered request that a handler has named; a page's own pictures are the page's business."""

    def began(self, request: web.BaseRequest) -> None:
        request[_BEGAN] = time.monotonic()

    def answered(self, request: web.Request, response: web.StreamResponse) -> None:
        """A whole answer has gone out."""
        what = request.get(_WHAT)
        if what is None or _is_of_a_page(request) or request.method == "HEAD":
            return
        seconds = f"{time.monotonic() - request[_BEGAN]:.1f} s"
        if response.status == 304:
            log.info("%s has %s already, %s", _who(request), what, seconds)
            return
        size = int(response.headers.get("Content-Length", "0") or 0)
        rest = ""
        if response.status == 206:
            rest = f" from byte {response.headers['Content-Range'][6:].partition('-')[0]}"
        log.info("%s fetched %s%s, %s, %s", _who(request), what, rest, size_text(size).replace("\xa0", " "), seconds)

    def refused(self, request: web.Request, refused: Refused) -> None:
        """A request was refused."""
        if not _is_of_a_page(request):
            log.info("%s asked for %s: %s", _who(request), request.get(_WHAT, request.path[:200]), refused.line)


def log_upload(what: str, stored: Stored) -> None:
    """Something happened to an upload: see `UploadStore.on_change`."""
    who = f"board {stored.board}" if stored.board else stored.sender
    size = size_text(stored.size).replace("\xa0", " ")
    if what == "added":
        log.info("%s sent %s, %s", who, stored.file, size)
    elif what == "again":
        log.info("%s sent %s once more, which is here as %s", who, stored.name, stored.file)
    elif what == "deleted":
        log.info("%s was deleted", stored.file)


def _who(request: web.BaseRequest) -> str:
    name = safe_board(request.query.get("board", "") or request.headers.get("X-Maixpix-Board", ""))
    return f"board {name}" if name else request.remote or "somebody"


def _is_of_a_page(request: web.BaseRequest) -> bool:
    if request.headers.get("Sec-Fetch-Dest", "") in ("image", "style", "script", "empty"):
        return True
    return place_of(request.headers.get("Referer", "")) == request.headers.get("Host", "").lower() != ""
