"""What the lying server does, path by path, and what must come of a download from there.

Longer than 350 lines: one table of lies, each with its verdict.

RIGHT: the file is there, byte for byte. CLEAN: nothing is under the final name and the command says why. Versions:
`A` is what is served at first, `B` has its size, `C` another one. Where the content changes, `ends_as` is what a
right file holds; a mixture never is.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.lying_server import NEWER, OLD, Behaviour, Talk

RIGHT, CLEAN = "right", "clean"

A = random.Random(1).randbytes(300_000)
B = random.Random(2).randbytes(300_000)
C = random.Random(3).randbytes(250_000)
BIG = random.Random(4).randbytes(6_000_000)
BIG_B = random.Random(5).randbytes(6_000_000)
PAGE = b"<html>Please come back later</html>"
SMALL = random.Random(6).randbytes(20_000)


@dataclass(frozen=True)
class Case:
    """One misbehaviour. `options` go to the command line; `slow` ones take seconds by their nature."""

    name: str
    behave: Behaviour
    verdict: str
    ends_as: bytes
    options: tuple[str, ...] = ()
    says: str = ""
    slow: bool = False


CATALOGUE: dict[str, Case] = {}


def case(
    verdict: str, ends_as: bytes = A, *options: str, says: str = "", slow: bool = False
) -> Callable[[Behaviour], Behaviour]:
    """Put a behaviour into the catalogue, under its function's name with dashes; `says` is part of the failure."""

    def keep(behave: Behaviour) -> Behaviour:
        name = behave.__name__.replace("_", "-")
        CATALOGUE[name] = Case(name, behave, verdict, ends_as, options, says, slow)
        return behave

    return keep


def repr_digest(content: bytes) -> str:
    """The value of `Repr-Digest`."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


# -- honest servers ---------------------------------------------------------------------------------------------


@case(RIGHT)
def honest(talk: Talk) -> None:
    talk.serve(A)


@case(RIGHT, BIG, "--parts", "4")
def honest_in_parts(talk: Talk) -> None:
    talk.serve(BIG)


@case(RIGHT)
def honest_without_ranges(talk: Talk) -> None:
    talk.serve(A, ranges=False)


@case(RIGHT)
def honest_without_validators(talk: Talk) -> None:
    talk.serve(A, etag=None, modified=None)


@case(RIGHT, BIG, "--parts", "4")
def parts_without_validators(talk: Talk) -> None:
    talk.serve(BIG, etag=None, modified=None)


@case(RIGHT, b"")
def empty(talk: Talk) -> None:
    talk.serve(b"")


@case(RIGHT, b"x")
def one_byte(talk: Talk) -> None:
    talk.serve(b"x")


@case(RIGHT)
def chunked(talk: Talk) -> None:
    talk.head("200 OK", Transfer_Encoding="chunked", ETag='"v1"')
    for start in range(0, len(A), 7001):
        piece = A[start : start + 7001]
        talk.raw(b"%x\r\n" % len(piece) + piece + b"\r\n")
    talk.raw(b"0\r\n\r\n")


@case(RIGHT)
def no_length(talk: Talk) -> None:
    talk.serve(A, length=False)


@case(RIGHT)
def no_length_no_ranges(talk: Talk) -> None:
    talk.serve(A, length=False, ranges=False)


@case(RIGHT)
def http_1_0(talk: Talk) -> None:
    talk.raw(b"HTTP/1.0 200 OK\r\n\r\n" + A)
    talk.cut()


@case(RIGHT)
def early_hints(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
    talk.serve(A)


@case(RIGHT)
def many_continues(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 5)
    talk.serve(A)


@case(RIGHT)
def head_is_refused(talk: Talk) -> None:
    if talk.method == "HEAD":
        talk.head("405 Method Not Allowed", Content_Length=0)
    else:
        talk.serve(A)


@case(RIGHT)
def head_is_wrong(talk: Talk) -> None:
    if talk.method == "HEAD":
        talk.head("200 OK", Content_Length=17)
    else:
        talk.serve(A)


@case(RIGHT)
def redirected(talk: Talk) -> None:
    if talk.path.endswith("/there"):
        talk.serve(A)
    else:
        talk.head("302 Found", Location=f"{talk.path}/there", Content_Length=0)


@case(RIGHT)
def redirected_to_another_host(talk: Talk) -> None:
    if talk.headers["host"].startswith("localhost"):
        talk.serve(A)
    else:
        talk.head("307 Temporary Redirect", Location=f"http://localhost:{talk.port}{talk.path}", Content_Length=0)


@case(RIGHT, SMALL)
def slow_drip(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=len(SMALL), ETag='"v1"')
    talk.drip(SMALL, 500, 0.02)


@case(RIGHT, A, slow=True)
def stalls_five_seconds(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=len(A), ETag='"v1"')
    talk.raw(A[:1000])
    talk.stall(5)
    talk.raw(A[1000:])


@case(RIGHT)
def weak_etag(talk: Talk) -> None:
    talk.serve(A, etag='W/"v1"')


@case(RIGHT)
def only_last_modified(talk: Talk) -> None:
    talk.serve(A, etag=None, cut_at=100_000 if talk.number == 1 else None)


@case(RIGHT)
def etag_without_quotes(talk: Talk) -> None:
    talk.serve(A, etag="v1", cut_at=100_000 if talk.number == 1 else None)


# -- cuts -------------------------------------------------------------------------------------------------------


@case(RIGHT)
def cut_once(talk: Talk) -> None:
    talk.serve(A, cut_at=100_000 if talk.number == 1 else None)


@case(RIGHT)
def cut_once_without_ranges(talk: Talk) -> None:
    talk.serve(A, ranges=False, cut_at=100_000 if talk.number == 1 else None)


@case(RIGHT)
def cut_once_without_validators(talk: Talk) -> None:
    talk.serve(A, etag=None, modified=None, cut_at=100_000 if talk.number == 1 else None)


@case(RIGHT)
def cut_always_without_validators(talk: Talk) -> None:
    talk.serve(A, etag=None, modified=None, cut_at=80_000)


@case(RIGHT)
def cut_always(talk: Talk) -> None:
    talk.serve(A, cut_at=30_000)


@case(RIGHT, SMALL)
def cut_after_a_thousand_bytes(talk: Talk) -> None:
    talk.serve(SMALL, cut_at=1000)


@case(CLEAN, says="ends the answer")
def cut_always_without_ranges(talk: Talk) -> None:
    talk.serve(A, ranges=False, cut_at=100_000)


@case(CLEAN, says="answer")
def cut_after_one_byte(talk: Talk) -> None:
    talk.serve(A, cut_at=1)


@case(RIGHT)
def last_byte_is_missing(talk: Talk) -> None:
    talk.serve(A, cut_at=len(A) - 1 if talk.number == 1 else None)


@case(RIGHT)
def reset_in_the_middle(talk: Talk) -> None:
    talk.serve(A, cut_at=150_000 if talk.number == 1 else None, reset=True)


@case(RIGHT)
def every_third_is_reset(talk: Talk) -> None:
    if talk.number % 3 == 1:
        talk.reset()
    talk.serve(A, cut_at=120_000 if talk.number < 6 else None)


@case(RIGHT, BIG, "--parts", "4")
def every_third_part_is_reset(talk: Talk) -> None:
    talk.serve(BIG, cut_at=200_000 if talk.number % 3 == 0 else None, reset=True)


@case(RIGHT)
def chunks_are_cut(talk: Talk) -> None:
    if talk.number > 1:
        return talk.serve(A)
    talk.head("200 OK", Transfer_Encoding="chunked", ETag='"v1"', Accept_Ranges="bytes")
    talk.raw(b"%x\r\n" % 100_000 + A[:100_000] + b"\r\n")
    return talk.cut()


@case(CLEAN, says="too early")
def closes_at_once(talk: Talk) -> None:
    talk.cut()


@case(RIGHT)
def no_length_and_cut_once(talk: Talk) -> None:
    talk.serve(A if talk.number > 1 else A[:100_000], length=False)


@case(RIGHT)
def no_length_no_ranges_and_cut_once(talk: Talk) -> None:
    talk.serve(A if talk.number > 1 else A[:100_000], length=False, ranges=False, etag=None, modified=None)


@case(RIGHT)
def no_length_and_cut_ever_later(talk: Talk) -> None:
    talk.serve(A[: 10_000 * talk.number], length=False, ranges=False, etag=None, modified=None)


@case(CLEAN, A, "--idle", "1s", says="sends nothing", slow=True)
def stalls_for_ever(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=len(A), ETag='"v1"')
    talk.raw(A[:1000])
    talk.stall(60)


@case(CLEAN, A, "--idle", "1s", says="hardly", slow=True)
def drips_for_ever(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=len(A), ETag='"v1"')
    talk.drip(A, 1, 0.05)


@case(CLEAN, A, "--idle", "1s", says="sends nothing", slow=True)
def never_answers(talk: Talk) -> None:
    talk.stall(60)


@case(CLEAN, A, "--idle", "1s", "--retries", "2")
def endless_headers(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        talk.raw(b"X-%d: %s\r\n" % (number, b"x" * 1000))


# -- lengths ----------------------------------------------------------------------------------------------------


@case(CLEAN, says="more bytes than")
def length_too_small(talk: Talk) -> None:
    talk.serve(A, ranges=False, shown={"Content_Length": len(A) - 100})


@case(CLEAN, says="")
def length_too_small_for_little(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=10)
    talk.raw(b"more than ten bytes")


@case(CLEAN, says="ends the answer")
def length_too_big(talk: Talk) -> None:
    talk.serve(A, ranges=False, shown={"Content_Length": len(A) + 100}, cut_at=len(A))
    talk.cut()


@case(CLEAN, says="Content-Length")
def length_is_no_number(talk: Talk) -> None:
    talk.serve(A, shown={"Content_Length": "12x"})


@case(CLEAN, says="Content-Length")
def two_lengths(talk: Talk) -> None:
    talk.serve(A, shown={"Content_Length": [len(A), len(A) - 1000]})


@case(CLEAN, says="Content-Length")
def negative_length(talk: Talk) -> None:
    talk.serve(A, shown={"Content_Length": "-1"})


@case(CLEAN)
def length_and_chunks(talk: Talk) -> None:
    talk.head("200 OK", Transfer_Encoding="chunked", Content_Length=5)
    talk.raw(b"5\r\nhello\r\n0\r\n\r\n")


@case(RIGHT)
def length_is_wrong_once(talk: Talk) -> None:
    talk.serve(A, ranges=False, shown={"Content_Length": len(A) - 100 if talk.number == 1 else len(A)})


# -- ranges -----------------------------------------------------------------------------------------------------


def _cut_first(talk: Talk, content: bytes = A, **options: object) -> bool:
    """The first answer is cut, so that a range is asked for; True when that has been done."""
    if talk.number == 1 or talk.range is None:
        talk.serve(content, cut_at=100_000 if talk.number == 1 else None, **options)
        return True
    return False


@case(RIGHT)
def whole_instead_of_part(talk: Talk) -> None:
    talk.serve(A, cut_at=100_000 if talk.number == 1 else None, ranges=talk.number == 1)


@case(RIGHT, BIG, "--parts", "4")
def wholes_instead_of_parts(talk: Talk) -> None:
    talk.serve(BIG, ranges=False, shown={"Accept_Ranges": "bytes"})


@case(RIGHT)
def part_starts_earlier(talk: Talk) -> None:
    if not _cut_first(talk):
        start = max(0, talk.range[0] - 5000)
        talk.head("206 Partial Content", ETag='"v1"', Content_Range=f"bytes {start}-{len(A) - 1}/{len(A)}",
                  Content_Length=len(A) - start)  # fmt: skip
        talk.raw(A[start:])


@case(RIGHT)
def part_starts_earlier_but_says_otherwise(talk: Talk) -> None:
    if not _cut_first(talk):
        body = A[max(0, talk.range[0] - 5000) :]
        body = body[: len(A) - talk.range[0]]
        talk.head("206 Partial Content", ETag='"v1"', Content_Length=len(body),
                  Content_Range=f"bytes {talk.range[0]}-{len(A) - 1}/{len(A)}")  # fmt: skip
        talk.raw(body)


@case(RIGHT)
def part_starts_later(talk: Talk) -> None:
    if not _cut_first(talk):
        start = talk.range[0] + 5000
        talk.head("206 Partial Content", ETag='"v1"', Content_Range=f"bytes {start}-{len(A) - 1}/{len(A)}",
                  Content_Length=len(A) - start)  # fmt: skip
        talk.raw(A[start:])


@case(RIGHT)
def part_is_the_whole(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.head("206 Partial Content", ETag='"v1"', Content_Range=f"bytes 0-{len(A) - 1}/{len(A)}",
                  Content_Length=len(A))  # fmt: skip
        talk.raw(A)


@case(RIGHT)
def part_is_the_whole_but_says_otherwise(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.head("206 Partial Content", ETag='"v1"', Content_Length=len(A),
                  Content_Range=f"bytes {talk.range[0]}-{len(A) - 1}/{len(A)}")  # fmt: skip
        talk.raw(A)


@case(RIGHT, BIG, "--parts", "4")
def parts_are_the_whole(talk: Talk) -> None:
    if talk.range is None:
        talk.serve(BIG, pause_s=0.01)
    else:
        talk.head("206 Partial Content", ETag='"v1"', Content_Length=len(BIG),
                  Content_Range=f"bytes {talk.range[0]}-{talk.range[1]}/{len(BIG)}")  # fmt: skip
        talk.raw(BIG)


@case(RIGHT, BIG, "--parts", "4")
def parts_are_shifted(talk: Talk) -> None:
    """Each part begins ten bytes too early and says that it does not."""
    if talk.range is None:
        return talk.serve(BIG, pause_s=0.01)
    first, last = talk.range[0], talk.range[1] if talk.range[1] is not None else len(BIG) - 1
    talk.head("206 Partial Content", ETag='"v1"', Content_Length=last - first + 1,
              Content_Range=f"bytes {first}-{last}/{len(BIG)}")  # fmt: skip
    return talk.raw(BIG[first - 10 : last - 9])


@case(RIGHT, BIG, "--parts", "4")
def parts_are_longer(talk: Talk) -> None:
    if talk.range is None:
        return talk.serve(BIG, pause_s=0.01)
    first = talk.range[0]
    talk.head("206 Partial Content", ETag='"v1"', Content_Length=len(BIG) - first,
              Content_Range=f"bytes {first}-{len(BIG) - 1}/{len(BIG)}")  # fmt: skip
    return talk.raw(BIG[first:])


@case(RIGHT)
def part_without_content_range(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.head("206 Partial Content", ETag='"v1"', Content_Length=len(A) - talk.range[0])
        talk.raw(A[talk.range[0] :])


@case(RIGHT)
def content_range_contradicts_itself(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.serve(A, shown={"Content_Range": f"bytes {len(A)}-{talk.range[0]}/{len(A)}"})


@case(RIGHT)
def content_range_beyond_the_total(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.serve(A, shown={"Content_Range": f"bytes {talk.range[0]}-{len(A) - 1}/{len(A) - 10}"})


@case(RIGHT)
def content_range_is_garbage(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.serve(A, shown={"Content_Range": "bytes all of them"})


@case(RIGHT)
def total_is_another(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.serve(A, shown={"Content_Range": f"bytes {talk.range[0]}-{len(A) - 1}/{len(A) + 5}"})


@case(RIGHT)
def total_is_not_told(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.serve(A, shown={"Content_Range": f"bytes {talk.range[0]}-{len(A) - 1}/*"})


@case(RIGHT)
def half_that_nobody_asked_for(talk: Talk) -> None:
    if talk.range is None:
        half = len(A) // 2
        talk.head("206 Partial Content", ETag='"v1"', Content_Range=f"bytes 0-{half - 1}/{len(A)}", Content_Length=half)
        return talk.raw(A[:half])
    return talk.serve(A)


@case(CLEAN, says="206")
def half_without_content_range(talk: Talk) -> None:
    talk.head("206 Partial Content", ETag='"v1"', Content_Length=150_000)
    talk.raw(A[:150_000])


@case(CLEAN)
def middle_that_nobody_asked_for(talk: Talk) -> None:
    talk.head("206 Partial Content", ETag='"v1"', Content_Range=f"bytes 1000-{len(A) - 1}/{len(A)}",
              Content_Length=len(A) - 1000)  # fmt: skip
    talk.raw(A[1000:])


@case(CLEAN, says="200 (the whole)")
def whole_with_content_range(talk: Talk) -> None:
    talk.head("200 OK", Content_Range=f"bytes 0-99999/{len(A)}", Content_Length=100_000)
    talk.raw(A[:100_000])


@case(RIGHT)
def several_ranges(talk: Talk) -> None:
    if not _cut_first(talk):
        body = b"--x\r\nContent-Range: bytes 0-9/300000\r\n\r\n0123456789\r\n--x--\r\n"
        talk.head("206 Partial Content", Content_Type="multipart/byteranges; boundary=x", Content_Length=len(body))
        talk.raw(body)


@case(RIGHT)
def nothing_there_in_the_middle(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.head("416 Range Not Satisfiable", Content_Range=f"bytes */{len(A)}", Content_Length=0)


@case(RIGHT)
def nothing_there_and_no_total(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.head("416 Range Not Satisfiable", Content_Length=0)


@case(RIGHT)
def not_modified_to_a_range(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.head("304 Not Modified", ETag='"v1"')


@case(RIGHT)
def if_range_is_answered_with_the_whole(talk: Talk) -> None:
    if talk.headers.get("if-range"):
        return talk.serve(A, ranges=False)
    return talk.serve(A, cut_at=100_000 if talk.number == 1 else None)


@case(RIGHT)
def ranges_are_forbidden(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.head("400 Bad Request", Content_Length=0)


@case(RIGHT, BIG, "--parts", "8")
def two_connections_at_most(talk: Talk) -> None:
    with _TWO:
        free = _BUSY.setdefault(talk.path, threading.Semaphore(2))
    if not free.acquire(blocking=False):
        return talk.head("503 Service Unavailable", Content_Length=0, Retry_After="1")
    try:
        return talk.serve(BIG, pause_s=0.002)
    finally:
        free.release()


_TWO = threading.Lock()
_BUSY: dict[str, threading.Semaphore] = {}


# -- packed bodies ----------------------------------------------------------------------------------------------


@case(RIGHT)
def packed_though_asked_for_plain(talk: Talk) -> None:
    packed = gzip.compress(A)
    talk.head("200 OK", Content_Encoding="gzip", Content_Length=len(packed), ETag='"v1-gzip"')
    talk.raw(packed)


@case(RIGHT)
def deflated(talk: Talk) -> None:
    packed = zlib.compress(A)
    talk.head("200 OK", Content_Encoding="deflate", Content_Length=len(packed))
    talk.raw(packed)


@case(RIGHT)
def packed_part(talk: Talk) -> None:
    if not _cut_first(talk):
        packed = gzip.compress(A[talk.range[0] :])
        talk.head("206 Partial Content", Content_Encoding="gzip", Content_Length=len(packed), ETag='"v1"',
                  Content_Range=f"bytes {talk.range[0]}-{len(A) - 1}/{len(A)}")  # fmt: skip
        talk.raw(packed)


@case(RIGHT)
def packed_and_cut_once(talk: Talk) -> None:
    packed = gzip.compress(A)
    talk.head("200 OK", Content_Encoding="gzip", Transfer_Encoding="chunked")
    if talk.number == 1:
        packed = packed[:1000]
    talk.raw(b"%x\r\n" % len(packed) + packed + b"\r\n0\r\n\r\n")


@case(RIGHT)
def packed_on_the_way(talk: Talk) -> None:
    packed = gzip.compress(A)
    talk.head("200 OK", Transfer_Encoding="gzip, chunked")
    talk.raw(b"%x\r\n" % len(packed) + packed + b"\r\n0\r\n\r\n")


@case(CLEAN, says="packs as gzip")
def says_packed_but_is_not(talk: Talk) -> None:
    talk.serve(A, ranges=False, shown={"Content_Encoding": "gzip"})


@case(CLEAN, says="packed as zstd")
def packed_in_an_unknown_way(talk: Talk) -> None:
    talk.serve(A, shown={"Content_Encoding": "zstd"})


# -- content that changes ---------------------------------------------------------------------------------------


def _changes(talk: Talk, **told: tuple[object, object]) -> None:
    """`A`, cut, and `B` from then on."""
    before, after = ({name: pair[at] for name, pair in told.items()} for at in (0, 1))
    if talk.number == 1:
        talk.serve(A, cut_at=100_000, **before)
    else:
        talk.serve(B, **after)


@case(RIGHT, B)
def changes_with_etag(talk: Talk) -> None:
    _changes(talk, etag=('"v1"', '"v2"'))


@case(RIGHT, B)
def changes_with_etag_and_no_if_range(talk: Talk) -> None:
    _changes(talk, etag=('"v1"', '"v2"'), if_range=(False, False))


@case(RIGHT, B)
def changes_with_weak_etag(talk: Talk) -> None:
    _changes(talk, etag=('W/"v1"', 'W/"v2"'))


@case(RIGHT, B)
def changes_with_last_modified(talk: Talk) -> None:
    _changes(talk, etag=(None, None), modified=(OLD, NEWER))


@case(RIGHT, B)
def changes_with_last_modified_and_no_if_range(talk: Talk) -> None:
    _changes(talk, etag=(None, None), modified=(OLD, NEWER), if_range=(False, False))


@case(RIGHT, B)
def changes_without_validators(talk: Talk) -> None:
    _changes(talk, etag=(None, None), modified=(None, None))


@case(RIGHT, B)
def changes_under_one_etag(talk: Talk) -> None:
    """The tag lies; the bytes that overlap do not."""
    _changes(talk)


@case(RIGHT, C)
def changes_size(talk: Talk) -> None:
    if talk.number == 1:
        talk.serve(A, etag=None, modified=None, cut_at=100_000)
    else:
        talk.serve(C, etag=None, modified=None)


@case(RIGHT, BIG_B, "--parts", "4")
def changes_between_parts(talk: Talk) -> None:
    if talk.number == 1:
        talk.serve(BIG, pause_s=0.01, cut_at=1_000_000)
    else:
        talk.serve(BIG_B, etag='"v2"')


@case(RIGHT, BIG, "--parts", "4")
def parts_of_another_version(talk: Talk) -> None:
    """The first answer is whole and good; every part comes from other content under the same tag."""
    if talk.range is None:
        talk.serve(BIG, pause_s=0.01)
    else:
        talk.serve(BIG_B)


@case(CLEAN)
def changes_every_time(talk: Talk) -> None:
    content = random.Random(talk.number).randbytes(300_000)
    talk.serve(content, etag=f'"v{talk.number}"', cut_at=100_000)


@case(RIGHT)
def two_servers_behind_one_name(talk: Talk) -> None:
    tag = '"left"' if talk.number % 2 else '"right"'
    talk.serve(A, etag=tag, cut_at=100_000 if talk.number < 4 else None)


@case(RIGHT, BIG, "--parts", "4")
def two_servers_in_parts(talk: Talk) -> None:
    talk.serve(BIG, etag='"left"' if talk.number % 2 else '"right"')


@case(RIGHT, B)
def stale_proxy(talk: Talk) -> None:
    if talk.number == 1:
        return talk.serve(B, etag='"v2"', modified=NEWER, cut_at=100_000)
    if talk.headers.get("cache-control") == "no-cache":
        return talk.serve(B, etag='"v2"', modified=NEWER)
    return talk.serve(A, shown={"Age": 9000})


@case(CLEAN, says="something else")
def error_page_instead_of_the_rest(talk: Talk) -> None:
    if talk.number == 1:
        return talk.serve(A, cut_at=100_000)
    return talk.serve(PAGE, etag=None, modified=None, ranges=False)


@case(RIGHT)
def error_page_once(talk: Talk) -> None:
    if talk.number == 2:
        return talk.serve(PAGE, etag=None, modified=None, ranges=False)
    return talk.serve(A, cut_at=100_000 if talk.number == 1 else None)


@case(RIGHT)
def expiring_links(talk: Talk) -> None:
    if "?" not in talk.path:
        location = f"{talk.path}?signature={time.monotonic_ns()}"
        return talk.head("302 Found", Location=location, Content_Length=0)
    used = [other for other in talk.others if other.path == talk.path]
    if used:
        return talk.head("403 Forbidden", Content_Length=0)
    return talk.serve(A, cut_at=90_000 if len(talk.others) < 4 else None)


# -- digests ----------------------------------------------------------------------------------------------------


@case(RIGHT)
def right_digest(talk: Talk) -> None:
    talk.serve(A, shown={"Repr_Digest": repr_digest(A)})


@case(CLEAN, says="sha-256")
def wrong_digest(talk: Talk) -> None:
    talk.serve(B, shown={"Repr_Digest": repr_digest(A)})


@case(RIGHT)
def wrong_digest_once(talk: Talk) -> None:
    talk.serve(B if talk.number == 1 else A, shown={"Repr_Digest": repr_digest(A)})


@case(CLEAN, says="sha-256")
def model_hub_digest(talk: Talk) -> None:
    if talk.path.endswith("/there"):
        return talk.serve(B)
    tag = hashlib.sha256(A).hexdigest()
    return talk.head("302 Found", X_Linked_ETag=f'"{tag}"', Location=f"{talk.path}/there", Content_Length=0)


@case(CLEAN, says="md5")
def wrong_content_md5(talk: Talk) -> None:
    talk.serve(B, ranges=False, shown={"Content_MD5": base64.b64encode(hashlib.md5(A).digest()).decode()})


@case(CLEAN, A, "--sha256", hashlib.sha256(A).hexdigest(), says="sha-256")
def size_right_content_wrong(talk: Talk) -> None:
    talk.serve(B)


# -- refusals ---------------------------------------------------------------------------------------------------


@case(RIGHT)
def busy_once(talk: Talk) -> None:
    if talk.number == 1:
        return talk.head("503 Service Unavailable", Retry_After="1", Content_Length=0)
    return talk.serve(A)


@case(RIGHT)
def too_many_requests(talk: Talk) -> None:
    if talk.number < 3:
        return talk.head("429 Too Many Requests", Retry_After="0", Content_Length=0)
    return talk.serve(A)


@case(CLEAN, says="3,600 s")
def busy_for_an_hour(talk: Talk) -> None:
    talk.head("503 Service Unavailable", Retry_After="3600", Content_Length=0)


@case(CLEAN, says="500")
def always_broken(talk: Talk) -> None:
    talk.head("500 Internal Server Error", Content_Length=0)


@case(CLEAN, says="404")
def not_there(talk: Talk) -> None:
    talk.head("404 Not Found", Content_Length=5)
    talk.raw(b"sorry")


@case(CLEAN, says="204")
def no_content(talk: Talk) -> None:
    talk.head("204 No Content")


@case(CLEAN, says="circles")
def redirects_in_circles(talk: Talk) -> None:
    other = talk.path.removesuffix("/b") if talk.path.endswith("/b") else talk.path + "/b"
    talk.head("302 Found", Location=other, Content_Length=0)


@case(CLEAN, says="more than")
def redirects_without_end(talk: Talk) -> None:
    talk.head("302 Found", Location=f"{talk.path}?{time.monotonic_ns()}", Content_Length=0)


@case(CLEAN, says="no http")
def redirects_to_a_file(talk: Talk) -> None:
    talk.head("302 Found", Location="file:///etc/passwd", Content_Length=0)


@case(CLEAN, says="no http")
def redirects_to_data(talk: Talk) -> None:
    talk.head("302 Found", Location="data:text/plain,hello", Content_Length=0)


@case(CLEAN)
def no_http_at_all(talk: Talk) -> None:
    talk.raw(b"SSH-2.0-OpenSSH_9.2\r\n")
    talk.cut()
