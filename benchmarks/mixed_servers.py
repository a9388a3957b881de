"""Servers whose lies are mixtures: each header may be true of something, and together they betray that not all are.

Longer than 350 lines: one table of servers, each with its verdict.

EITHER is the verdict where the answer is one that clients may read or refuse: the right file, or a clean failure.
"""

from __future__ import annotations

import base64
import email.utils
import gzip
import hashlib
from collections.abc import Callable, Mapping

from benchmarks.lies import BIG, CLEAN, RIGHT, A, B, Case, repr_digest
from benchmarks.lying_server import OLD, Behaviour, Talk
from benchmarks.odd_servers import Rerun, chunk

EITHER = "either"

MIXED: dict[str, Case] = {}

CUT = 100_000

PATCHED = B[:50_000] + A[50_000:200_000] + B[200_000:]
"""Another version that is the same around `CUT`: no overlap shows that it is not `A`."""


def mixed(verdict: str, ends_as: bytes = A, *options: str, says: str = "") -> Callable[[Behaviour], Behaviour]:
    """Put a behaviour into `MIXED`, under its function's name with dashes."""

    def keep(behave: Behaviour) -> Behaviour:
        name = behave.__name__.replace("_", "-")
        MIXED[name] = Case(name, behave, verdict, ends_as, options, says)
        return behave

    return keep


def digest_line(content: bytes) -> str:
    """The value of the older `Digest`."""
    return f"SHA-256={base64.b64encode(hashlib.sha256(content).digest()).decode()}"


def part(talk: Talk, content: bytes, shown: Mapping[str, object]) -> None:
    """The rest that was asked for, under headers that are all `shown`'s but for those of the range."""
    assert talk.range
    first = talk.range[0]
    told = {"Content_Range": f"bytes {first}-{len(content) - 1}/{len(content)}", "Content_Length": len(content) - first}
    talk.head("206 Partial Content", **(told | dict(shown)))
    talk.raw(content[first:])


# -- versions -----------------------------------------------------------------------------------------------------


@mixed(RIGHT, PATCHED)
def strong_tag_becomes_weak(talk: Talk) -> None:
    """The same opaque text, but a weak tag promises nothing about bytes."""
    if talk.range is None:
        talk.serve(
            A if talk.number == 1 else PATCHED,
            etag='"v1"' if talk.number == 1 else 'W/"v1"',
            cut_at=CUT if talk.number == 1 else None,
        )
    else:
        part(talk, PATCHED, {"ETag": 'W/"v1"'})


@mixed(RIGHT, PATCHED)
def part_without_a_tag(talk: Talk) -> None:
    """RFC 9110 section 15.3.7: a 206 has the tag that the 200 would have had."""
    if talk.range is None:
        talk.serve(
            A if talk.number == 1 else PATCHED,
            etag='"v1"' if talk.number == 1 else None,
            modified=None,
            cut_at=CUT if talk.number == 1 else None,
        )
    else:
        part(talk, PATCHED, {})


@mixed(RIGHT, B)
def weak_tag_stays_while_the_content_changes(talk: Talk) -> None:
    if talk.number == 1:
        talk.serve(A, etag='W/"1"', cut_at=CUT)
    else:
        talk.serve(B, etag='W/"1"', if_range=False)


NOW = email.utils.formatdate(usegmt=True)


@mixed(RIGHT, PATCHED)
def changed_within_the_second_of_its_date(talk: Talk) -> None:
    """RFC 9110 section 8.8.2.2: a date as young as the answer is a weak validator."""
    now = {"Last_Modified": NOW, "Date": NOW}
    if talk.number == 1:
        talk.raw(f"HTTP/1.1 200 OK\r\nDate: {NOW}\r\nLast-Modified: {NOW}\r\nContent-Length: {len(A)}\r\n\r\n".encode())
        talk.raw(A[:CUT])
        talk.cut()
    else:
        talk.serve(PATCHED, etag=None, modified=NOW, if_range=False, shown=now)


@mixed(RIGHT, PATCHED)
def date_without_a_clock(talk: Talk) -> None:
    """No Date in the answer: whether Last-Modified is old enough, nobody knows."""
    if talk.number == 1:
        talk.raw(f"HTTP/1.1 200 OK\r\nLast-Modified: {OLD}\r\nContent-Length: {len(A)}\r\n\r\n".encode() + A[:CUT])
        talk.cut()
    else:
        talk.serve(PATCHED, etag=None, modified=OLD, if_range=False)


@mixed(RIGHT, PATCHED)
def date_of_the_future(talk: Talk) -> None:
    later = "Fri, 01 Jan 2100 00:00:00 GMT"
    talk.serve(
        A if talk.number == 1 else PATCHED,
        etag=None,
        modified=later,
        if_range=False,
        cut_at=CUT if talk.number == 1 else None,
    )


@mixed(RIGHT, B)
def a_tag_of_nothing(talk: Talk) -> None:
    """Every file has the tag \"\"; the bytes around the cut tell."""
    talk.serve(A if talk.number == 1 else B, etag='""', cut_at=CUT if talk.number == 1 else None)


@mixed(RIGHT)
def tag_of_other_letters(talk: Talk) -> None:
    """Bytes beyond ASCII are allowed in a tag, and have to go back as they came."""
    if talk.number == 1:
        talk.serve(A, etag='"\xe9\xff"', cut_at=CUT)
    else:
        talk.serve(A, etag='"\xe9\xff"', if_range=False)


@mixed(RIGHT)
def tag_of_6000_letters(talk: Talk) -> None:
    tag = '"' + "x" * 6000 + '"'
    if len(talk.headers.get("if-range", "")) > 4096:
        talk.head("431 Request Header Fields Too Large", Content_Length=0)
    else:
        talk.serve(A, etag=tag, cut_at=CUT if talk.number == 1 else None)


@mixed(RIGHT, PATCHED)
def tag_with_a_space(talk: Talk) -> None:
    talk.serve(
        A if talk.number == 1 else PATCHED,
        etag='"a b"',
        modified=None,
        if_range=False,
        cut_at=CUT if talk.number == 1 else None,
    )


@mixed(CLEAN)
def two_tags(talk: Talk) -> None:
    talk.serve(A, shown={"ETag": ['"v1"', '"v2"']})


@mixed(CLEAN)
def two_dates(talk: Talk) -> None:
    talk.serve(A, etag=None, shown={"Last_Modified": [OLD, NOW]})


@mixed(RIGHT)
def mirrors_with_tags_of_their_own(talk: Talk) -> None:
    """A redirect to one mirror or the other; the digest that both tell is what ties them."""
    if "mirror" not in talk.path:
        talk.head("302 Found", Location=f"/mirrors-with-tags-of-their-own/mirror{talk.number}", Content_Length=0)
    else:
        tag = f'"{talk.path[-1]}"'
        talk.serve(
            A, etag=tag, if_range=False, shown={"Repr_Digest": repr_digest(A)}, cut_at=CUT if tag == '"1"' else None
        )


@mixed(RIGHT, A[:50_000])
def cut_down_meanwhile(talk: Talk) -> None:
    """The file is replaced by its first sixth, and what is asked for is behind its end."""
    if talk.number == 1:
        talk.serve(A, cut_at=CUT)
    else:
        talk.serve(A[:50_000], etag='"v2"', if_range=False)


@mixed(EITHER, BIG, "--parts", "8")
def two_contents_under_one_tag(talk: Talk) -> None:
    """Every second connection gets other bytes."""
    talk.serve(BIG if talk.number % 2 else BIG[::-1])


# -- lengths and transfer codings ---------------------------------------------------------------------------------


@mixed(CLEAN)
def nothing_with_the_digest_of_something(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=0, ETag='"v1"', Repr_Digest=repr_digest(A))


@mixed(CLEAN)
def length_nought_and_then_all(talk: Talk) -> None:
    talk.head("200 OK", Content_Length=0, ETag='"v1"')
    talk.raw(A)
    talk.cut()


@mixed(CLEAN)
def chunks_that_end_early_in_good_order(talk: Talk) -> None:
    talk.head("200 OK", Transfer_Encoding="chunked", ETag='"v1"', Repr_Digest=repr_digest(A))
    talk.raw(chunk(A[:CUT]) + b"0\r\n\r\n")


@mixed(CLEAN)
def a_part_in_chunks_that_is_too_long(talk: Talk) -> None:
    if talk.range is None and talk.number == 1:
        talk.serve(A, cut_at=CUT)
        return
    first = talk.range[0] if talk.range else 0
    talk.head(
        "206 Partial Content",
        Content_Range=f"bytes {first}-{len(A) - 1}/{len(A)}",
        Transfer_Encoding="chunked",
        ETag='"v1"',
    )
    talk.raw(chunk(A[first:]) + chunk(b"more") + b"0\r\n\r\n")


@mixed(RIGHT)
def a_part_in_chunks_that_is_too_short(talk: Talk) -> None:
    if talk.range is None:
        talk.serve(A, cut_at=CUT)
        return
    first = talk.range[0]
    talk.head(
        "206 Partial Content",
        Content_Range=f"bytes {first}-{len(A) - 1}/{len(A)}",
        Transfer_Encoding="chunked",
        ETag='"v1"',
    )
    talk.raw(chunk(A[first : first + 80_000]) + b"0\r\n\r\n")


@mixed(EITHER)
def length_with_noughts_before_it(talk: Talk) -> None:
    talk.serve(A, shown={"Content_Length": f"0000{len(A)}"})


@mixed(EITHER)
def length_on_the_next_line(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\nContent-Length:\r\n %d\r\n\r\n" % len(A) + A)


@mixed(EITHER)
def coding_identity(talk: Talk) -> None:
    talk.serve(A, shown={"Transfer_Encoding": "identity"})


@mixed(CLEAN)
def coding_nearly_chunked(talk: Talk) -> None:
    talk.head("200 OK", Transfer_Encoding="xchunked", Connection="close")
    talk.raw(chunk(A) + b"0\r\n\r\n")
    talk.cut()


@mixed(CLEAN)
def chunked_twice(talk: Talk) -> None:
    talk.head("200 OK", Transfer_Encoding="chunked, chunked", Connection="close")
    talk.raw(chunk(chunk(A) + b"0\r\n\r\n") + b"0\r\n\r\n")
    talk.cut()


@mixed(EITHER)
def space_before_the_colon(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n" + chunk(A) + b"0\r\n\r\n")
    talk.cut()


@mixed(CLEAN)
def packed_nothing(talk: Talk) -> None:
    """Not even the head of a gzip file."""
    talk.head("200 OK", Content_Encoding="gzip", Content_Length=0)


@mixed(CLEAN)
def packed_and_not_packed(talk: Talk) -> None:
    talk.serve(A, shown={"Content_Encoding": ["gzip", "identity"]})


# -- parts --------------------------------------------------------------------------------------------------------


@mixed(RIGHT)
def part_under_the_digest_of_the_part(talk: Talk) -> None:
    """Content-MD5 and Content-Digest are those of what this answer brings (RFC 9530 section 2)."""
    if talk.range is None:
        talk.serve(A, cut_at=CUT)
        return
    body = A[talk.range[0] :]
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    talk.serve(A, shown={"Content_MD5": md5, "Content_Digest": repr_digest(body)})


@mixed(RIGHT, BIG, "--parts", "8")
def each_part_is_reset_once(talk: Talk) -> None:
    starts = [other.range[0] for other in talk.others if other.range]
    is_first = talk.range is not None and not any(abs(talk.range[0] - start) < 100_000 for start in starts)
    talk.serve(BIG, cut_at=60_000 if is_first else None, reset=True, pause_s=0.002)


@mixed(RIGHT, BIG, "--parts", "8")
def parts_are_heads_without_bodies(talk: Talk) -> None:
    if talk.range is not None and talk.range[0] > 0 and len(talk.others) < 12:
        talk.serve(BIG, cut_at=0)
    else:
        talk.serve(BIG, pause_s=0.002)


@mixed(RIGHT, BIG, "--parts", "4")
def parts_have_to_wait_an_hour(talk: Talk) -> None:
    if talk.range is not None and talk.range[0] > 0:
        talk.head("429 Too Many Requests", Retry_After=3600, Content_Length=0)
    else:
        talk.serve(BIG, pause_s=0.002)


@mixed(RIGHT, BIG, "--parts", "4", "--idle", "1s")
def parts_never_begin(talk: Talk) -> None:
    if talk.range is not None and talk.range[0] > 0 and talk.number < 9:
        talk.stall(20)
    else:
        talk.serve(BIG, pause_s=0.002)


@mixed(CLEAN)
def two_content_ranges(talk: Talk) -> None:
    if talk.range is None:
        talk.serve(A, cut_at=CUT)
    else:
        part(talk, A, {"ETag": '"v1"', "Content_Range": ["bytes 0-1/300000", f"bytes {talk.range[0]}-299999/300000"]})


@mixed(EITHER)
def part_that_starts_at_a_negative_byte(talk: Talk) -> None:
    if talk.range is None:
        talk.serve(A, cut_at=CUT if talk.number == 1 else None)
    else:
        part(talk, A, {"ETag": '"v1"', "Content_Range": "bytes -5-299999/300000"})


# -- digests ------------------------------------------------------------------------------------------------------


@mixed(CLEAN)
def digest_in_the_second_line_is_wrong(talk: Talk) -> None:
    """Google's storage sends one line for each algorithm."""
    wrong = "md5=" + base64.b64encode(hashlib.md5(B).digest()).decode()
    talk.serve(A, shown={"X_Goog_Hash": ["crc32c=AAAAAA==", wrong]})


@mixed(CLEAN)
def two_digests_of_one_kind(talk: Talk) -> None:
    talk.serve(A, shown={"Repr_Digest": [repr_digest(A), repr_digest(B)]})


@mixed(CLEAN)
def old_and_new_digest_contradict_each_other(talk: Talk) -> None:
    talk.serve(A, shown={"Digest": digest_line(B), "Repr_Digest": repr_digest(A)})


@mixed(CLEAN)
def hub_and_store_contradict_each_other(talk: Talk) -> None:
    if talk.path.endswith("store"):
        talk.serve(A, shown={"Repr_Digest": repr_digest(B)})
    else:
        tag = f'"{hashlib.sha256(A).hexdigest()}"'
        talk.head("302 Found", Location=f"{talk.path}/store", X_Linked_ETag=tag, Content_Length=0)


@mixed(RIGHT)
def digest_of_the_packed_form(talk: Talk) -> None:
    body = gzip.compress(A)
    talk.head("200 OK", Content_Encoding="gzip", Content_Length=len(body), Repr_Digest=repr_digest(body))
    talk.raw(body)


@mixed(CLEAN)
def hub_digest_of_a_packed_lie(talk: Talk) -> None:
    body, tag = gzip.compress(B), f'"{hashlib.sha256(A).hexdigest()}"'
    talk.head("200 OK", Content_Encoding="gzip", Content_Length=len(body), X_Linked_ETag=tag)
    talk.raw(body)


# -- status, redirects, pauses -------------------------------------------------------------------------------------


@mixed(CLEAN)
def several_choices(talk: Talk) -> None:
    talk.head("300 Multiple Choices", Content_Length=len(A), ETag='"v1"')
    talk.raw(A)


@mixed(CLEAN)
def not_modified_at_first(talk: Talk) -> None:
    talk.head("304 Not Modified", ETag='"v1"')


@mixed(CLEAN)
def switches_protocols(talk: Talk) -> None:
    talk.head("101 Switching Protocols", Upgrade="h2c", Connection="Upgrade")
    talk.raw(A)
    talk.cut()


@mixed(CLEAN, says="asks for a name and password")
def wants_a_name(talk: Talk) -> None:
    talk.head("401 Unauthorized", WWW_Authenticate=['Basic realm="x"', "Bearer"], Content_Length=len(A))
    talk.raw(A)


@mixed(CLEAN)
def empties_the_form(talk: Talk) -> None:
    talk.head("205 Reset Content", Content_Length=len(A), ETag='"v1"')
    talk.raw(A)


@mixed(CLEAN)
def status_of_four_digits(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 2000 OK\r\nContent-Length: %d\r\n\r\n" % len(A) + A)


@mixed(RIGHT)
def redirected_to_itself_with_a_cookie(talk: Talk) -> None:
    if "seen=1" in talk.headers.get("cookie", ""):
        talk.serve(A)
    else:
        talk.head("302 Found", Location=talk.path, Set_Cookie="seen=1; Path=/", Content_Length=0)


@mixed(CLEAN, says="circles")
def redirected_to_itself_with_the_same_cookie(talk: Talk) -> None:
    talk.head("302 Found", Location=talk.path, Set_Cookie="seen=1; Path=/", Content_Length=0)


@mixed(CLEAN)
def redirected_back_and_forth_between_names(talk: Talk) -> None:
    name = "127.0.0.1" if talk.headers["host"].startswith("localhost") else "localhost"
    talk.head("307 Temporary Redirect", Location=f"http://{name}:{talk.port}{talk.path}", Content_Length=0)


@mixed(CLEAN)
def redirected_two_ways(talk: Talk) -> None:
    if talk.number == 1:
        talk.head("302 Found", Location=[f"{talk.path}/one", f"{talk.path}/two"], Content_Length=0)
    else:
        talk.head("302 Found", Location=["/redirected-two-ways/one", "/redirected-two-ways/two"], Content_Length=0)


@mixed(CLEAN)
def redirected_to_no_address(talk: Talk) -> None:
    talk.head("302 Found", Location="http://[::1/x", Content_Length=0)


@mixed(CLEAN)
def redirected_to_a_port_beyond_all_ports(talk: Talk) -> None:
    talk.head("302 Found", Location="http://127.0.0.1:99999/x", Content_Length=0)


@mixed(RIGHT)
def redirected_without_a_scheme(talk: Talk) -> None:
    if talk.path.endswith("there"):
        talk.serve(A)
    else:
        talk.head("308 Permanent Redirect", Location=f"//127.0.0.1:{talk.port}{talk.path}/there", Content_Length=0)


@mixed(CLEAN)
def busy_until_the_next_century(talk: Talk) -> None:
    talk.head("503 Service Unavailable", Retry_After="Fri, 01 Jan 2100 00:00:00 GMT", Content_Length=0)


@mixed(RIGHT)
def busy_for_one_and_a_half(talk: Talk) -> None:
    if talk.number == 1:
        talk.head("503 Service Unavailable", Retry_After="1.5", Content_Length=0)
    else:
        talk.serve(A)


# -- the same command again ---------------------------------------------------------------------------------------


def _patched_part(tag: str | None) -> Behaviour:
    def behave(talk: Talk) -> None:
        if talk.range is not None:
            part(talk, PATCHED, {"ETag": tag})
        else:
            talk.serve(PATCHED, etag=tag, modified=None)

    return behave


def _cut_off(talk: Talk) -> None:
    talk.serve(A, cut_at=150_000)


MIXED_RERUNS: dict[str, Rerun] = {
    "tag-is-weak-now": Rerun(_cut_off, _patched_part('W/"v1"'), ends_as=PATCHED),
    "no-tag-any-more": Rerun(_cut_off, _patched_part(None), ends_as=PATCHED),
}
"""Pairs as those of `benchmarks.odd_servers`, whose second content is the same around where the first was cut off."""
