"""Ranges and preconditions: the decision table, and the same over HTTP for every kind of representation."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maixpix.companion.ranges import Selection, parse_repr_digest, repr_digest, select, strong_etag

TAG = '"abc"'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", (206, 0, 1)),
        ("bytes=0-", (206, 0, 100)),
        ("bytes=99-", (206, 99, 100)),
        ("bytes=10-19", (206, 10, 20)),
        ("bytes=10-1000", (206, 10, 100)),
        ("bytes=-5", (206, 95, 100)),
        ("bytes=-500", (206, 0, 100)),
        ("BYTES = 1-2", (206, 1, 3)),
        ("bytes=100-", (416, 0, 0)),
        ("bytes=-0", (416, 0, 0)),
        ("bytes=5-4", (200, 0, 100)),
        ("bytes=-", (200, 0, 100)),
        ("bytes=a-b", (200, 0, 100)),
        ("bytes=0-1,5-6", (200, 0, 100)),
        ("lines=0-1", (200, 0, 100)),
        ("bytes=" + "9" * 400 + "-", (200, 0, 100)),
        ("", (200, 0, 100)),
    ],
)
def test_range_forms(value, expected):
    assert select("GET", {"Range": value}, 100, TAG) == Selection(*expected)


def test_ranges_of_nothing():
    assert select("GET", {"Range": "bytes=0-"}, 0, TAG).status == 416
    assert select("GET", {"Range": "bytes=-1"}, 0, TAG).status == 416


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": '"abc"'}, 304),
        ({"If-None-Match": 'W/"abc"'}, 304),
        ({"If-None-Match": '"x", "abc"'}, 304),
        ({"If-None-Match": '"x","y"'}, 200),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": "abc"}, 200),
        ({"If-None-Match": '"abc'}, 200),
        ({"If-Match": '"abc"'}, 200),
        ({"If-Match": 'W/"abc"'}, 412),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"x"', "If-None-Match": '"abc"'}, 412),
        ({"Range": "bytes=1-", "If-None-Match": '"abc"'}, 304),
        ({"Range": "bytes=1-", "If-Range": '"abc"'}, 206),
        ({"Range": "bytes=1-", "If-Range": '"old"'}, 200),
        ({"Range": "bytes=1-", "If-Range": 'W/"abc"'}, 200),
        ({"Range": "bytes=1-", "If-Range": "Sat, 01 Jan 2022 00:00:00 GMT"}, 200),
        ({"Range": "bytes=500-", "If-Range": '"old"'}, 200),
    ],
)
def test_preconditions(headers, status):
    assert select("GET", headers, 100, TAG).status == status


def test_head_ignores_range():
    assert select("HEAD", {"Range": "bytes=1-2"}, 100, TAG) == Selection(200, 0, 100)


@given(st.binary(max_size=300), st.integers(0, 320), st.one_of(st.none(), st.integers(0, 320)))
def test_selected_bytes_are_those_of_the_text_of_rfc_9110(body, first, last):
    value = f"bytes={first}-{'' if last is None else last}"
    got = select("GET", {"Range": value}, len(body), TAG)
    if last is not None and last < first:
        assert got == Selection(200, 0, len(body))
    elif first >= len(body):
        assert got.status == 416
    else:
        assert got.status == 206
        assert body[got.start : got.stop] == body[first:][: None if last is None else last - first + 1]
        assert got.length >= 1


@given(st.text(max_size=40), st.text(max_size=40))
@example("bytes=1-²", '"')
def test_any_text_gives_a_range_inside(range_text, tags):
    headers = {"Range": range_text, "If-None-Match": tags, "If-Range": tags, "If-Match": tags}
    for dropped in headers:
        chosen = select("GET", {key: value for key, value in headers.items() if key != dropped}, 100, TAG)
        assert 0 <= chosen.start <= chosen.stop <= 100
        assert chosen.status in (200, 206, 304, 412, 416)


def test_digest_forms():
    digest = hashlib.sha256(b"picture").digest()
    value = repr_digest(digest)
    assert value == "sha-256=:" + base64.b64encode(digest).decode() + ":"
    assert parse_repr_digest("sha-512=:AAAA:, " + value) == digest
    assert parse_repr_digest("sha-256=:short:") is None
    assert strong_etag(digest) != strong_etag(hashlib.sha256(b"other").digest())
    assert strong_etag(digest).startswith('"')
