"""Further servers that are odd, broken or hostile, for the judge of `benchmarks.lies`; some change between two runs.

Longer than 350 lines: one table of servers, each with its verdict.

`ODD` are single downloads. `RERUNS` are pairs: what the server is while the first run is cut off, and what it is when
the same command is given again; a right file then holds `ends_as`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.lies import BIG, CLEAN, RIGHT, SMALL, A, B, C, Case, repr_digest
from benchmarks.lying_server import NEWER, OLD, Behaviour, Talk

ODD: dict[str, Case] = {}


def odd(verdict: str, ends_as: bytes = A, *options: str, says: str = "") -> Callable[[Behaviour], Behaviour]:
    """Put a behaviour into `ODD`, under its function's name with dashes."""

    def keep(behave: Behaviour) -> Behaviour:
        name = behave.__name__.replace("_", "-")
        ODD[name] = Case(name, behave, verdict, ends_as, options, says)
        return behave

    return keep


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n" % len(data) + data + b"\r\n"


# -- heads ------------------------------------------------------------------------------------------------------


@odd(CLEAN)
def same_length_twice(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=[len(A), len(A)], ETag='"v1"')
    talk.raw(A)


@odd(CLEAN)
def length_as_a_list_of_two(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=f"{len(A)}, 17")
    talk.raw(A)


@odd(CLEAN)
def length_with_a_plus(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=f"+{len(A)}")
    talk.raw(A)


@odd(CLEAN)
def length_in_hexadecimal(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=hex(len(A)))
    talk.raw(A)


@odd(CLEAN, says="")
def length_of_many_terabytes(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=9 * 10**15, ETag='"v1"')
    talk.raw(A)
    talk.cut()


@odd(CLEAN)
def length_beyond_all_numbers(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=10**40)
    talk.raw(A)
    talk.cut()


@odd(CLEAN, A, "--idle", "1s")
def hints_without_end(talk: Talk) -> None:
    while True:
        talk.raw(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        talk.stall(0.1)


@odd(CLEAN, A, "--idle", "1s")
def head_that_drips(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        talk.raw(b"x")
        talk.stall(0.2)


@odd(CLEAN)
def head_without_an_end(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n")
    talk.cut()


@odd(CLEAN)
def only_a_body(talk: Talk) -> None:
    talk.raw(A)
    talk.cut()


@odd(CLEAN)
def nul_in_a_header(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\nX-Odd: a\0b\r\nContent-Length: %d\r\n\r\n" % len(A) + A)


@odd(RIGHT)
def no_reason_phrase(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 200 \r\nContent-Length: %d\r\n\r\n" % len(A) + A)


@odd(CLEAN)
def accepted_for_later(talk: Talk) -> None:
    talk.head("202 Accepted", Content_Length=4)
    talk.raw(b"soon")


@odd(RIGHT)
def not_authoritative(talk: Talk) -> None:
    talk.head("203 Non-Authoritative Information", Content_Length=len(A), ETag='"v1"')
    talk.raw(A)


@odd(CLEAN)
def nothing_there_at_first(talk: Talk) -> None:
    talk.head("416 Range Not Satisfiable", Content_Range=f"bytes */{len(A)}", Content_Length=0)


@odd(CLEAN)
def asks_for_money(talk: Talk) -> None:
    talk.head("402 Payment Required", Content_Length=0)


# -- bodies -----------------------------------------------------------------------------------------------------


@odd(CLEAN)
def chunk_size_is_no_number(talk: Talk) -> None:
    talk.head("200 OK", Transfer_Encoding="chunked")
    talk.raw(chunk(A[:1000]) + b"zz\r\n" + A[1000:] + b"\r\n0\r\n\r\n")


@odd(CLEAN)
def chunk_longer_than_it_says(talk: Talk) -> None:
    talk.head("200 OK", Transfer_Encoding="chunked")
    talk.raw(b"a\r\n" + A[:20] + b"\r\n0\r\n\r\n")


@odd(CLEAN)
def last_chunk_is_missing(talk: Talk) -> None:
    talk.head("200 OK", Transfer_Encoding="chunked")
    talk.raw(chunk(A))
    talk.cut()


@odd(CLEAN)
def last_chunk_is_half(talk: Talk) -> None:
    talk.head("200 OK", Transfer_Encoding="chunked")
    talk.raw(chunk(A) + b"0\r\n")
    talk.cut()


@odd(RIGHT)
def chunks_with_extensions_and_trailers(talk: Talk) -> None:
    talk.head("200 OK", Transfer_Encoding="chunked", Trailer="X-Sum")
    talk.raw(b"%x;a=b\r\n" % len(A) + A + b"\r\n0\r\nX-Sum: 1\r\n\r\n")


@odd(RIGHT)
def packed_in_two_members(talk: Talk) -> None:
    body = gzip.compress(A[:1000]) + gzip.compress(A[1000:])
    talk.head("200 OK", Content_Encoding="gzip", Content_Length=len(body))
    talk.raw(body)


@odd(CLEAN)
def packed_with_rubbish_behind(talk: Talk) -> None:
    body = gzip.compress(A) + b"and more"
    talk.head("200 OK", Content_Encoding="gzip", Content_Length=len(body))
    talk.raw(body)


@odd(CLEAN)
def packed_with_a_wrong_sum(talk: Talk) -> None:
    body = bytearray(gzip.compress(A))
    body[-6] ^= 1
    talk.head("200 OK", Content_Encoding="gzip", Content_Length=len(body))
    talk.raw(bytes(body))


@odd(CLEAN)
def packed_and_cut_at_a_member(talk: Talk) -> None:
    """Closed behind the first member, with the length of both."""
    first, second = gzip.compress(A[:1000]), gzip.compress(A[1000:])
    talk.head("200 OK", Content_Encoding="gzip", Content_Length=len(first) + len(second))
    talk.raw(first)
    talk.cut()


@odd(CLEAN)
def packed_twice(talk: Talk) -> None:
    body = gzip.compress(gzip.compress(A))
    talk.head("200 OK", Content_Encoding="gzip, gzip", Content_Length=len(body))
    talk.raw(body)


@odd(CLEAN)
def a_little_that_unpacks_to_much(talk: Talk) -> None:
    """The length is the packed one's, and 40 GB would come of it: the disk, or the cut, ends it."""
    body = zlib.compress(bytes(1 << 20)) * 3
    talk.head("200 OK", Content_Encoding="deflate", Content_Length=len(body) + 10)
    talk.raw(body)
    talk.cut()


@odd(RIGHT, b"hello")
def an_answer_behind_the_answer(talk: Talk) -> None:
    """A second one that nobody asked for: whoever keeps the connection would take it for the next file."""
    talk.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")


# -- parts ------------------------------------------------------------------------------------------------------


def _cut_first(talk: Talk, content: bytes = A, **options: object) -> bool:
    if talk.range is None:
        talk.serve(content, cut_at=100_000, **options)  # type: ignore[arg-type]
        return True
    return False


@odd(RIGHT)
def parts_of_at_most_50_kb(talk: Talk) -> None:
    """A server may send less than asked (RFC 9110); it goes on behind that."""
    if not _cut_first(talk):
        assert talk.range
        last = min(talk.range[0] + 49_999, len(A) - 1)
        talk.head(
            "206 Partial Content",
            Content_Range=f"bytes {talk.range[0]}-{last}/{len(A)}",
            Content_Length=last + 1 - talk.range[0],
            ETag='"v1"',
        )
        talk.raw(A[talk.range[0] : last + 1])


@odd(RIGHT)
def whole_as_a_part_that_nobody_asked_for(talk: Talk) -> None:
    talk.head(
        "206 Partial Content",
        Content_Range=f"bytes 0-{len(A) - 1}/{len(A)}",
        Content_Length=len(A),
        ETag='"v1"',
    )
    talk.raw(A)


@odd(RIGHT)
def denies_ranges_but_has_them(talk: Talk) -> None:
    talk.serve(A, shown={"Accept_Ranges": "none"}, cut_at=100_000 if talk.number == 1 else None)


@odd(CLEAN)
def part_in_other_units(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.head("206 Partial Content", Content_Range="items 1-2/3", Content_Length=2, ETag='"v1"')
        talk.raw(b"ab")


@odd(CLEAN)
def part_of_nothing_for_ever(talk: Talk) -> None:
    if not _cut_first(talk):
        assert talk.range
        head = f"bytes {talk.range[0]}-{len(A) - 1}/{len(A)}"
        talk.head("206 Partial Content", Content_Range=head, Content_Length=len(A) - talk.range[0], ETag='"v1"')
        talk.cut()


@odd(CLEAN)
def condition_has_failed(talk: Talk) -> None:
    if not _cut_first(talk):
        talk.head("412 Precondition Failed", Content_Length=0)


@odd(RIGHT, BIG, "--parts", "4")
def only_the_helpers_are_refused(talk: Talk) -> None:
    if talk.range is not None and talk.range[0] > 0:
        talk.head("400 Bad Request", Content_Length=0)
    else:
        talk.serve(BIG)


@odd(RIGHT, BIG, "--parts", "4")
def parts_in_whose_middle_bytes_are_missing(talk: Talk) -> None:
    if talk.range is not None and talk.range[0] > 0 and talk.number < 6:
        talk.serve(BIG, cut_at=70_000)
    else:
        talk.serve(BIG, pause_s=0.002)


@odd(CLEAN)
def part_under_another_digest(talk: Talk) -> None:
    """The same tag, but what the server says that the content is has changed."""
    if not _cut_first(talk, shown={"Repr-Digest": repr_digest(A)}):
        talk.serve(B, shown={"Repr-Digest": repr_digest(B)})


# -- digests ----------------------------------------------------------------------------------------------------


@odd(RIGHT)
def digest_that_cannot_be_read(talk: Talk) -> None:
    talk.serve(A, shown={"Repr-Digest": "sha-256=:!!!:", "Digest": "SHA-256=zz", "Content-MD5": "no"})


@odd(RIGHT)
def digest_of_an_unknown_kind(talk: Talk) -> None:
    talk.serve(A, shown={"Repr-Digest": "unixsum=:AAAA:, md4=:AAAA:"})


@odd(CLEAN)
def wrong_sha512(talk: Talk) -> None:
    told = base64.b64encode(hashlib.sha512(B).digest()).decode()
    talk.serve(A, shown={"Repr-Digest": f"sha-512=:{told}:"})


@odd(CLEAN)
def two_digests_of_which_one_is_wrong(talk: Talk) -> None:
    talk.serve(A, shown={"Repr-Digest": repr_digest(A), "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="})


@odd(RIGHT, A, "--sha256", hashlib.sha256(A).hexdigest())
def wrong_once_but_the_digest_is_given(talk: Talk) -> None:
    talk.serve(B if talk.number == 1 else A)


@odd(CLEAN, A, "--sha256", hashlib.sha256(A).hexdigest())
def wrong_for_ever_but_the_digest_is_given(talk: Talk) -> None:
    talk.serve(B)


# -- redirects and pauses ---------------------------------------------------------------------------------------


@odd(CLEAN)
def redirected_nowhere(talk: Talk) -> None:
    talk.head("302 Found", Content_Length=0)


@odd(CLEAN)
def redirected_to_ftp(talk: Talk) -> None:
    talk.head("302 Found", Location="ftp://127.0.0.1/x", Content_Length=0)


@odd(CLEAN)
def redirected_to_a_closed_port(talk: Talk) -> None:
    talk.head("302 Found", Location="http://127.0.0.1:9/x", Content_Length=0)


@odd(RIGHT)
def redirected_with_a_body(talk: Talk) -> None:
    if talk.path.endswith("there"):
        talk.serve(A)
    else:
        talk.head("301 Moved Permanently", Location=f"{talk.path}/there", Content_Length=5)
        talk.raw(b"moved")


@odd(RIGHT)
def busy_with_a_date(talk: Talk) -> None:
    if talk.number == 1:
        talk.head("503 Service Unavailable", Retry_After=OLD, Content_Length=0)
    else:
        talk.serve(A)


@odd(CLEAN)
def busy_for_ever_and_no_pause(talk: Talk) -> None:
    talk.head("503 Service Unavailable", Retry_After="0", Content_Length=0)


@odd(RIGHT)
def busy_with_nonsense(talk: Talk) -> None:
    if talk.number == 1:
        talk.head("429 Too Many Requests", Retry_After="-5", Content_Length=0)
    else:
        talk.serve(A)


# -- the same command again --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rerun:
    """`first` serves the run that is cut off, `then` the same command again."""

    first: Behaviour
    then: Behaviour
    verdict: str = RIGHT
    ends_as: bytes = A


def _served(content: bytes, **told: object) -> Behaviour:
    return lambda talk: talk.serve(content, **told)  # type: ignore[arg-type]


_CUT = 150_000

RERUNS: dict[str, Rerun] = {
    "goes-on": Rerun(_served(A, cut_at=_CUT), _served(A)),
    "no-ranges-any-more": Rerun(_served(A, cut_at=_CUT), _served(A, ranges=False)),
    "another-tag": Rerun(_served(A, cut_at=_CUT), _served(B, etag='"v2"'), ends_as=B),
    "another-tag-ignored": Rerun(_served(A, cut_at=_CUT), _served(B, etag='"v2"', if_range=False), ends_as=B),
    "another-weak-tag": Rerun(_served(A, etag='W/"1"', cut_at=_CUT), _served(B, etag='W/"2"'), ends_as=B),
    "another-date": Rerun(
        _served(A, etag=None, cut_at=_CUT), _served(B, etag=None, modified=NEWER, if_range=False), ends_as=B
    ),
    "nothing-tells": Rerun(
        _served(A, etag=None, modified=None, cut_at=_CUT), _served(B, etag=None, modified=None), ends_as=B
    ),
    "same-tag-other-bytes": Rerun(_served(A, cut_at=_CUT), _served(B), ends_as=B),
    "shorter": Rerun(_served(A, cut_at=_CUT), _served(C[:100_000], etag='"v2"'), ends_as=C[:100_000]),
    "shorter-and-ignored": Rerun(
        _served(A, cut_at=_CUT), _served(C[:100_000], etag='"v2"', if_range=False), ends_as=C[:100_000]
    ),
    "longer": Rerun(_served(C, cut_at=_CUT), _served(A, etag='"v2"', if_range=False)),
    "tag-is-gone": Rerun(_served(A, cut_at=_CUT), _served(B, etag=None, modified=None, if_range=False), ends_as=B),
    "is-gone": Rerun(_served(A, cut_at=_CUT), lambda talk: talk.head("404 Not Found", Content_Length=0), verdict=CLEAN),
    "an-error-page": Rerun(
        _served(A, cut_at=_CUT),
        lambda talk: talk.serve(SMALL, etag=None, modified=None, ranges=False),
        verdict=CLEAN,
    ),
}
