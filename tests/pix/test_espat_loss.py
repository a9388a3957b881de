"""Every byte of a session lost, doubled or with a bit flipped, either way: the right bytes or an error of ours, and
never a wrong trusted prefix. A sample; benchmarks/modem_sessions.py runs 100,000.

One board serves all sessions of a test, so each one also shows that the driver came back from the one before.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.modem_sessions import (
    BODY,
    CHANGES,
    LANES,
    REQUEST,
    Damage,
    Sessions,
    every_damage,
    lengths,
    plan,
    run_block,
)
from rig.modem_bench import SERVER, Once, read_all

BOTH = ["1.1", "1.7.4", "1.7.4 passive"]  # the two ways of receiving
CHANGING = "1.7.4 changing"
DIALECTS = ["1.1", "1.3", "1.6", "1.7.4", "1.7.4 passive", CHANGING]  # those that frame or echo differently


@pytest.fixture(scope="module")
def boards_up():
    """boards_up(profile): its board for sessions, the same for all tests here."""
    made = {}

    def get(profile):
        if profile not in made:
            made[profile] = Sessions(profile)
        return made[profile]

    yield get
    for sessions in made.values():
        sessions.close()


def ended(sessions, kind, *damages):
    """The code that the session ended with; nothing may be wrong with it."""
    outcome = sessions.run(kind, damages)
    assert not outcome.wrong, (kind, damages, outcome)
    return outcome.code


@pytest.mark.parametrize(
    ("profile", "kind"),
    [*((profile, "fetch") for profile in DIALECTS), *((profile, "upload") for profile in BOTH)],
)
def test_every_byte_in_one_of_ten_ways(boards_up, profile, kind):
    sessions = boards_up(profile)
    whole = every_damage(lengths(profile, kind))
    ways = [whole[index * len(CHANGES) + index * 3 % len(CHANGES)] for index in range(len(whole) // len(CHANGES))]
    codes = [ended(sessions, kind, damage) for damage in ways]
    assert {damage.change for damage in ways} == set(CHANGES)
    assert 0.2 * len(codes) < codes.count("ok") < 0.8 * len(codes)
    assert ended(sessions, kind) == "ok"


@pytest.mark.parametrize("profile", BOTH)
@pytest.mark.parametrize(("change", "kind"), [("drop", "fetch"), ("double", "prove")])
def test_every_byte_of_a_body_that_is_missing_or_doubled_is_noticed(boards_up, profile, change, kind):
    sessions = boards_up(profile)
    length = lengths(profile, kind)["to_chip"]
    codes = [
        ended(sessions, kind, Damage("to_chip", at, change)) for at in range(max(0, length - len(BODY) - 130), length)
    ]
    assert codes.count("bytes-lost") > len(BODY)


@pytest.mark.parametrize("profile", BOTH)
@pytest.mark.parametrize("change", ["drop", "double"])
def test_a_request_comes_as_it_is_or_not_at_all(boards_up, profile, change):
    sessions = boards_up(profile)
    for at in range(lengths(profile, "fetch")["to_modem"]):
        if ended(sessions, "fetch", Damage("to_modem", at, change)) == "ok":
            assert b"".join(sessions.heard) == REQUEST, at


@pytest.mark.parametrize("profile", BOTH)
def test_as_many_bytes_lost_as_closed_has(boards_up, profile):
    """The line "4,CLOSED" completes a frame instead; the answer to what the driver asks next must prove nothing."""
    sessions = boards_up(profile)
    length = lengths(profile, "fetch")["to_chip"]
    for at in range(length - 70, length - 20, 7):
        lost = [Damage("to_chip", at + index, "drop") for index in range(len(b"4,CLOSED\r\n"))]
        assert ended(sessions, "fetch", *lost) != "ok"


@pytest.mark.parametrize("bit", range(3))
def test_a_frame_of_a_link_that_is_not_there(boards_up, bit):
    """The number of the link was damaged: without its payload there is a hole."""
    sessions = boards_up("1.1")
    bench, modem = sessions.bench, sessions.modem
    spoil = Behind(bench.to_chip, b"+IPD,", 0, lambda byte: bytes((byte ^ 1 << bit,)))
    link = modem.connect(SERVER, 80)
    link.write(REQUEST)
    with bench.raises("bytes-lost"):
        read_all(link)
    assert spoil.done
    assert link.trusted == 0
    link.close()
    assert ended(sessions, "fetch") == "ok"


class Behind:
    """Spoils the byte `offset` behind the first `mark` that passes on `lane`, once."""

    def __init__(self, lane, mark, offset, change):
        self._lane = lane
        self._mark = mark
        self._offset = offset
        self._change = change
        self._seen = b""
        self.done = False
        lane.mangle = self._mangle

    def _mangle(self, index, byte):
        if self.done:
            return bytes((byte,))
        self._seen += bytes((byte,))
        at = self._seen.find(self._mark)
        if at < 0 or len(self._seen) != at + len(self._mark) + self._offset + 1:
            return bytes((byte,))
        self.done = True
        return self._change(byte)


@pytest.mark.parametrize("profile", BOTH)
def test_a_doubled_byte_that_pushes_a_prompt_out_of_the_payload(profile, boards):
    """The last byte is ">" and comes behind what was told as the payload: it passed for the prompt of a CIPSEND."""
    bench = boards(profile)
    body = bytes(range(128, 250)) + b">"
    bench.network.attach(SERVER, 80, lambda: Once(body))
    modem = bench.bring_up()
    link = modem.connect(SERVER, 80)
    link.write(REQUEST)
    spoil = Behind(bench.to_chip, body[:1], 20, lambda byte: bytes((byte, byte)))
    with bench.raises("bytes-lost"):
        read_all(link)
        link.prove()
    assert spoil.done and link.trusted < len(body)


SPOILS = {
    "high": lambda byte: b"\xb1",
    "lost": lambda byte: b"",
    "junk": lambda byte: b"\xff\x00,x",
    "cut": lambda byte: b"\r\n",
}
spoils = pytest.mark.parametrize("spoil", SPOILS)


@spoils
@pytest.mark.parametrize("profile", BOTH)
@pytest.mark.parametrize(("mark", "kind"), [(b"+CIPDOMAIN:", "fetch"), (b"Recv ", "fetch"), (b"+CIPSTATUS:", "prove")])
def test_what_a_line_tells_may_be_damaged(boards_up, profile, mark, kind, spoil):
    sessions = boards_up(profile)
    for offset in range(0, 9, 2):
        behind = Behind(sessions.bench.to_chip, mark, offset, SPOILS[spoil])
        outcome = sessions.judged(kind)
        assert not outcome.wrong, (offset, outcome)
        assert behind.done or (kind, profile) == ("prove", "1.7.4 passive")
    sessions.bench.to_chip.mangle = None
    assert ended(sessions, kind) == "ok"


@spoils
@pytest.mark.parametrize("mark", [b'+CIPSTA_CUR:ip:"', b"+CIPSTA:ip:", b"AT version:", b"WIFI GOT"])
def test_what_is_told_at_the_start_may_be_damaged(boards, mark, spoil):
    bench = boards("1.7.4")
    behind = Behind(bench.to_chip, mark, 3, SPOILS[spoil])
    try:
        modem = bench.bring_up()
    except bench.PixError:
        return
    assert behind.done or mark == b"+CIPSTA:ip:"
    assert modem.online
    assert modem.address == "192.168.4.50"


JUNK = [
    b"\r\nRecv \xb1 bytes\r\n",
    b"\r\nRecv x\r\n",
    b"\r\nRecv \r\n",
    b"3,x,SEND OK\r\n",
    b"+CIPSTATUS:\r\n",
    b"+CIPSTATUS:\xb4\r\n",
    b"+CIPDOMAIN:\xff\r\n",
    b"4,CLOSED\xff\r\n",
    b"\r\n+IPD,\xb1,3:abc",
    b"\xff\xfe\x80\r\n",
    b"\x00" * 300 + b"\n",
]


@pytest.mark.parametrize("junk", JUNK)
def test_noise_while_no_link_is_open_is_nothing(boards, junk):
    bench = boards("1.1")
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(b"here"))
    for _ in range(3):
        bench.to_chip.write(junk)
        assert modem.ask("")
    link = modem.connect(SERVER, 80)
    link.write(REQUEST)
    assert read_all(link) == b"here"


@given(st.sampled_from(LANES), st.integers(0, 300), st.integers(2, 40), st.sampled_from(CHANGES))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("profile", BOTH)
def test_bursts(boards_up, profile, lane, first, count, change):
    ended(boards_up(profile), "fetch", *[Damage(lane, first + index, change) for index in range(count)])


def test_a_sample_of_the_benchmark():
    blocks = plan(160, seed=1)
    kinds = {(profile, kind) for profile, kind, _ in blocks}
    assert kinds == {
        (profile, kind) for profile in (*BOTH, CHANGING) for kind in ("fetch", "prove", "upload", "bring-up")
    }
    done = 0
    for number, (profile, kind, sessions) in enumerate(blocks):
        tally = run_block((number, profile, kind, sessions))
        assert tally.wrong == []
        done += tally.codes.total()
    assert done == 160
