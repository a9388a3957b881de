"""Laws of the serial line: true rates, garbage when they differ, rings that drop."""

from hypothesis import given
from hypothesis import strategies as st

from virtualboard.clock import SECOND, Clock
from virtualboard.wire import Lane, Ring, sample

RATES = st.sampled_from([9600, 74880, 115200, 460800, 921600, 930232, 1_000_000, 2_000_000])


def drain(clock, lane):
    """Take everything that will ever arrive."""
    out = b""
    while (when := lane.arrival()) is not None:
        clock.advance_to(when)
        out += lane.take()
    return out


@given(st.binary(min_size=1, max_size=300), RATES)
def test_ten_bit_times_a_byte(data, baud):
    clock = Clock()
    lane = Lane(clock, "x", baud, baud)
    done = lane.write(data)
    exact = len(data) * 10 * SECOND / baud
    assert exact <= done < exact + 1
    clock.advance_to(done - 1)
    assert lane.take() == data[:-1]
    clock.advance_to(done)
    assert lane.take() == data[-1:]
    assert lane.busy_ns == done and lane.delivered == lane.sent == len(data)


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 2_000_000)), max_size=12), st.data())
def test_bytes_arrive_once_in_order_however_they_are_written_and_taken(writes, data):
    clock = Clock()
    lane = Lane(clock, "x", 115200, 115200)
    got = b""
    for piece, pause in writes:
        lane.write(piece)
        clock.advance(pause)
        waiting = lane.waiting()
        limit = data.draw(st.one_of(st.none(), st.integers(0, 50)))
        part = lane.take(limit)
        assert len(part) == (waiting if limit is None else min(waiting, limit))
        got += part
    assert got + drain(clock, lane) == b"".join(piece for piece, _ in writes)


def test_writes_queue_behind_each_other_and_arrivals_are_told_in_advance():
    clock = Clock()
    lane = Lane(clock, "x", 1_000_000, 1_000_000)
    told = []
    lane.on_write = lambda: told.append((lane.arrival(), lane.arrival(4), lane.arrival(7)))
    lane.write(b"abc")
    lane.write(b"def")
    assert told == [(10_000, None, None), (10_000, 40_000, None)]
    assert lane.unsent() == 6 and lane.busy_until == 60_000
    clock.advance(30_000)
    assert lane.waiting() == 3 and lane.unsent() == 3
    lane.cut()
    clock.advance(100_000)
    assert lane.take() == b"abc" and lane.arrival() is None and lane.busy_ns == 30_000


@given(st.binary(max_size=200), st.sampled_from([(115200, 115273), (921600, 930232), (1_000_000, 1_009_000)]))
def test_small_differences_between_the_ends_are_harmless(data, rates):
    assert sample(data, *rates) == data
    clock = Clock()
    lane = Lane(clock, "x", *rates)
    lane.write(data)
    assert drain(clock, lane) == data


def test_boot_text_at_74880_is_garbage_at_115200():
    clock = Clock()
    lane = Lane(clock, "x", 74880, 115200)
    text = b"\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,7)\r\n"
    lane.write(text)
    seen = drain(clock, lane)
    assert seen and seen != text and b"boot" not in seen


def test_a_far_too_fast_listener_sees_each_bit_as_many():
    # 0x00 at a tenth of the rate: the start bit and eight low data bits last 90 receiver bit times.
    assert set(sample(b"\x00", 100_000, 1_000_000)) == {0}
    assert sample(b"\xff", 100_000, 1_000_000) == b"\x00"  # only the long start bit is low


def test_a_rate_change_of_the_receiver_concerns_bytes_whose_start_bit_has_not_come():
    clock = Clock()
    lane = Lane(clock, "x", 1_000_000, 1_000_000)
    lane.write(b"\xff\xff\x55\x55")
    clock.advance(25_000)  # in the middle of the third byte
    lane.rx_baud = 115200
    seen = drain(clock, lane)
    assert seen[:3] == b"\xff\xff\x55" and seen[3:] != b"\x55"
    lane.rx_baud = 1_000_000
    lane.write(b"ok")
    assert drain(clock, lane) == b"ok"


def test_mangling_counts_bytes_over_the_life_of_the_lane():
    clock = Clock()
    lane = Lane(clock, "x", 1_000_000, 1_000_000)
    lane.mangle = lambda index, byte: b"" if index == 2 else bytes([byte]) * (2 if index == 4 else 1)
    lane.write(b"abc")
    clock.advance(20_000)
    first = lane.take()
    lane.write(b"def")
    assert first + drain(clock, lane) == b"abdeef"
    assert lane.delivered == 6


@given(st.lists(st.binary(max_size=20), max_size=20), st.integers(0, 64))
def test_a_full_ring_drops_the_new_bytes_and_counts_them(pieces, capacity):
    ring = Ring(capacity)
    for piece in pieces:
        ring.put(piece)
    whole = b"".join(pieces)
    assert len(ring) == min(capacity, len(whole)) == ring.deepest
    assert ring.get(1000) == whole[:capacity]
    assert ring.dropped == max(0, len(whole) - capacity)


def test_a_run_ends_with_a_word_a_line_and_a_message_and_begins_with_a_byte_of_its_own():
    clock = Clock()
    lane = Lane(clock, "x", 1_000_000, 1_000_000)
    assert lane.run(8) == 0
    for message in (b"\r\nSEND OK\r\n", b"\r\n+IPD,20:" + bytes(20), b"CLOSED\r\n"):
        lane.write(message)
    runs = []
    while count := lane.run(8):
        clock.advance_to(lane.arrival(count))
        runs.append(lane.take())
    assert b"".join(runs) == b"\r\nSEND OK\r\n\r\n+IPD,20:" + bytes(20) + b"CLOSED\r\n"
    assert runs[:9] == [b"\r", b"\n", b"SEND OK", b"\r\n", b"\r", b"\n", b"+IPD,20:", bytes(8), bytes(8)]
    assert runs[9:] == [bytes(4), b"C", b"LOSED", b"\r\n"]
