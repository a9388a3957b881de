"""The shares of the line rate that benchmarks/upload_rate.py prints, in virtual time.

What it prints for the whole of an upload to the companion also knows how busy this machine was: its thinking is real.
"""

import pytest

from benchmarks import upload_rate

SIZE = 200_000


@pytest.fixture(scope="module")
def rows():
    return {row.what: row for row in upload_rate.measure("1.7.4", (SIZE,), stock=False)}


def test_the_bound_is_the_arithmetic_of_one_segment():
    """14.6 ms of payload; 22 + 2 + 15 bytes and 1 ms with CIPSENDBUF; 19 + 2 + 9 + 11 bytes and 5 ms with CIPSEND."""
    assert upload_rate.bound(True) == pytest.approx(14.6 / (14.6 + 0.38 + 1.0), abs=0.001)
    assert upload_rate.bound(False) == pytest.approx(14.6 / (14.6 + 0.40 + 1.0 + 4.0), abs=0.001)


@pytest.mark.parametrize(
    ("what", "least", "least_whole"),
    [
        ("tus CIPSENDBUF", 0.90, 0.88),
        ("tcp+name CIPSENDBUF, companion", 0.90, 0),
        ("tcp CIPSEND", 0.72, 0.72),
        ("tus CIPSEND", 0.72, 0.72),
    ],
)
def test_share_of_the_line(rows, what, least, least_whole):
    row = rows[what]
    assert row.size == SIZE
    assert least <= row.payload <= upload_rate.bound("BUF" in what) + 0.002, row
    assert least_whole <= row.whole <= row.payload, row
