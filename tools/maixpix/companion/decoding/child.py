"""A decoder: a process that takes one picture or page apart at a time, within limits that the system keeps.

`python -m maixpix.companion.decoding.child` reads jobs from its standard input and answers on its standard output.
On Linux and other Unix systems it may write no files, and its memory (Linux) and CPU time are limited for each job; a
job that goes beyond ends the process, and the companion starts another. Windows keeps no such limits: there only the
companion's own time limit ends a job.
"""

from __future__ import annotations

import io
import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, BinaryIO

from maixpix.companion.convert import Rendition, convert
from maixpix.companion.decoding.wire import pack, read
from maixpix.companion.problems import Refused
from maixpix.companion.settings import PictureLimits

if sys.platform != "win32":
    import resource

NICE = 5
"""Decoding waits when something else wants the processor: answering other boards, most of all."""


class _PictureInPage(HTMLParser):
    """Finds the picture that a page names for previews (`og:image`, `twitter:image`)."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        kind = (given.get("property") or given.get("name") or "").lower()
        if tag == "meta" and not self.url and kind in ("og:image", "og:image:url", "twitter:image"):
            self.url = given.get("content") or ""


def main() -> None:
    """Answer jobs until the pipe ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not get among the answers
    base = _fence()
    _answer(sink, {"ready": True})
    while (job := read(source)) is not None:
        head, body = job
        _limit(base, int(head["memory_bytes"]), int(head["cpu_s"]))
        try:
            result = _JOBS[head["kind"]](head, body)
        except Refused as refused:
            told = [refused.status, refused.code, refused.cause, refused.remedy]
            _answer(sink, {"refused": told, "is_once": refused.is_once})
        except OSError as error:
            _answer(sink, {"failed": error.errno, "text": error.strerror or ""})
        else:
            _answer(sink, {}, result)


def _convert(job: dict[str, Any], body: bytes) -> bytes:
    rendition = Rendition(**{**job["rendition"], "background": tuple(job["rendition"]["background"])})
    limits = PictureLimits(max_pixels=job["max_pixels"], also_read=tuple(job["also"]))
    if job["path"] is None:
        return convert(io.BytesIO(body), rendition, limits)
    with Path(job["path"]).open("rb") as file:
        return convert(file, rendition, limits)


def _picture_of_page(job: dict[str, Any], body: bytes) -> bytes:
    page = _PictureInPage()
    page.feed(body.decode("utf-8", "replace"))
    return page.url.encode("utf-8", "replace")


_JOBS = {"convert": _convert, "page": _picture_of_page}


def _answer(sink: BinaryIO, head: dict[str, Any], body: bytes = b"") -> None:
    sink.writelines(pack(head, body))
    sink.flush()


def _fence() -> int:
    """Give away what no decoder needs; bytes of address space in use now (0 where the system does not tell)."""
    if sys.platform == "win32":
        return 0
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # no Linux
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _limit(base: int, memory_bytes: int, cpu_s: int) -> None:
    """Limits of the job that comes now; going beyond the time kills this process."""
    if sys.platform == "win32":
        return
    spent = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(spent.ru_utime + spent.ru_stime) + 1 + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    if base:
        resource.setrlimit(resource.RLIMIT_AS, (base + memory_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    main()
