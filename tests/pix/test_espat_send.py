"""Sending: commands that go out while the module still confirms the payload before, and whatever comes between."""

import random

import pytest

from rig.modem_bench import SERVER, Once, Sink, read_all
from virtualboard.clock import MS, SECOND, US
from virtualboard.network.script import Script

DATA = random.Random(5).randbytes(12_000)
SEGMENTS = -(-len(DATA) // 1460)
WAYS = pytest.mark.parametrize("pipelined", [True, False])


@pytest.fixture(params=["1.1", "1.7.4"])
def bench(request, boards):
    return boards(request.param)


def connect(bench, pipelined, script=None, **options):
    """The modem, a link to a peer that keeps everything, and what it keeps."""
    modem = bench.bring_up(**options)
    heard = []
    bench.serve(81, script or (lambda: Sink(heard)))
    return modem, modem.connect(SERVER, 81, pipelined=pipelined), heard


def share(bench, link, data=DATA):
    """Share of the line rate, from the call to the last acknowledgement."""
    before = bench.clock.now
    link.write(data)
    link.flush()
    return len(data) * 10 * SECOND / 1_000_000 / (bench.clock.now - before)


@pytest.mark.parametrize(
    ("pipelined", "rtt_ms", "least"),
    [
        (True, 4, 0.90),
        (True, 1, 0.85),  # acknowledged while the next command is on its way: the tokenizer sorts it out
        (True, 12, 0.88),
        (True, 16, 0.86),  # acknowledged behind the next payload
        (True, 60, 0.36),  # two segments in 76 ms
        (False, 4, 0.72),
        (False, 1, 0.83),
        (False, 40, 0.25),
    ],
)
def test_share_of_the_line(boards, pipelined, rtt_ms, least):
    """Without the costs of Python. One round of CIPSENDBUF takes 14.6 ms of payload and 1.4 ms, one of CIPSEND the
    round trip more: 91 and 73 % at 4 ms."""
    bench = boards("1.7.4", rtt_ms=rtt_ms)
    _, link, heard = connect(bench, pipelined)
    rate = share(bench, link, 8 * DATA)
    assert b"".join(heard) == 8 * DATA
    assert least <= rate <= 0.92, rate


def test_the_next_command_follows_the_first_byte_of_the_confirmation(boards):
    bench = boards("1.7.4")
    _, link, _ = connect(bench, True)
    ends, begins = [], []
    send, command = bench.modem.sender.payload, bench.modem.line_complete

    def payload(data):
        ends.append(bench.clock.now)
        return send(data)

    def line(text):
        begins.append(bench.clock.now)
        command(text)

    bench.modem.sender.payload, bench.modem.line_complete = payload, line
    link.write(DATA)
    gaps = [later - end for end, later in zip(ends[1:], begins[2:], strict=False)]
    # 22 bytes and the two of silence behind them; a bit more for the first byte of `Recv` and for looking.
    assert len(gaps) == SEGMENTS - 2 and max(gaps) < 0.3 * MS


def test_a_module_that_is_not_ready_yet_gets_its_commands_later(bench):
    _, link, heard = connect(bench, True)
    complete = bench.modem.sender._complete

    def slowly():
        complete()
        bench.modem.busy(320 * US)

    bench.modem.sender._complete = slowly
    link.write(DATA)
    link.flush()
    assert b"".join(heard) == DATA
    assert bench.modem.stats.busy == 1, "once is enough to know"
    link.close()


class Talker(Script):
    """Says something at every segment, and keeps what it hears."""

    def __init__(self, heard):
        self.heard = heard

    def received(self, data):
        self.heard.append(bytes(data))
        self.send(b"\r\nOK\r\n> %d " % len(self.heard))


@WAYS
@pytest.mark.parametrize("profile", ["1.1", "1.7.4"])
@pytest.mark.parametrize("rtt_ms", [1, 4, 14, 15, 30])
def test_a_peer_that_talks_all_the_time(boards, profile, pipelined, rtt_ms):
    """What it says comes between any two answers, payload and all, and may look like them."""
    bench = boards(profile, rtt_ms=rtt_ms)
    heard = []
    modem, link, _ = connect(bench, pipelined, lambda: Talker(heard))
    link.write(DATA)
    link.flush()
    assert b"".join(heard) == DATA
    said = b"".join(b"\r\nOK\r\n> %d " % n for n in range(1, len(heard) + 1))
    assert read_all(link, len(said)) == said
    link.close()
    bench.serve(82, lambda: Once(b"still well"))
    link = modem.connect(SERVER, 82)
    link.write(b"?")
    assert read_all(link) == b"still well"


@WAYS
def test_parts_that_are_filled_meanwhile(bench, pipelined):
    _, link, heard = connect(bench, pipelined)
    asked = []

    def fill(mv):
        at = sum(asked)
        mv[:] = DATA[at : at + len(mv)]
        asked.append(len(mv))

    assert link.write(bytearray(4096), fill, len(DATA)) == len(DATA)
    link.flush()
    assert b"".join(heard) == DATA
    assert asked == [1460] * (SEGMENTS - 1) + [len(DATA) % 1460]


@WAYS
@pytest.mark.parametrize("nth", [0, 1, 4])
def test_a_part_that_cannot_be_filled(bench, pipelined, nth):
    """The module may be waiting for it already, or be about to say SEND OK: the next command must not suffer."""
    modem, link, heard = connect(bench, pipelined)
    count = []

    def fill(mv):
        if len(count) == nth:
            raise bench.PixError("card-error")
        count.append(len(mv))
        mv[:] = DATA[: len(mv)]

    with bench.raises("card-error"):
        link.write(bytearray(4096), fill, len(DATA))
    link.close()
    assert (DATA[:1460] * nth).startswith(b"".join(heard))
    bench.serve(82, lambda: Once(b"still well"))
    again = modem.connect(SERVER, 82)
    again.write(b"?")
    assert read_all(again) == b"still well"


@WAYS
@pytest.mark.parametrize("at", [0.2, 7, 15, 16.1, 40, 90])
def test_the_network_goes(bench, pipelined, at):
    """At any moment of a round: an error, and nothing but the beginning of the data at the peer."""
    _, link, heard = connect(bench, pipelined)
    bench.clock.after(round(at * MS), bench.modem.drop_wifi)
    try:
        link.write(DATA)
        link.flush()
        raise AssertionError("no error")
    except bench.PixError as error:
        assert error.code in ("wifi-lost", "link-lost", "send-failed")
    assert DATA.startswith(b"".join(heard))
    link.close()


def spoil(bench, pipelined, lane, first, change):
    """One session with a byte of `lane` changed; returns how it ended and what the peer has."""
    modem, link, heard = connect(bench, pipelined, recover=True)
    base = lane.delivered

    def mangle(index, byte):
        if index != base + first:
            return bytes((byte,))
        return b"" if change == "drop" else bytes((byte, byte))

    lane.mangle = mangle
    code = "ok"
    try:
        link.write(DATA)
        link.flush()
    except bench.PixError as error:
        code = error.code
    link.close()
    lane.mangle = None
    length = lane.delivered - base
    if modem.lost:
        modem.repair()
    bench.serve(82, lambda: Once(b"still well"))
    link = modem.connect(SERVER, 82)
    link.write(b"?")
    assert read_all(link) == b"still well"
    return code, b"".join(heard), length


@WAYS
@pytest.mark.parametrize("seed", range(12))
def test_a_byte_lost_on_the_way_to_the_module(boards, pipelined, seed):
    """The command ahead never makes up for a missing byte of the payload."""
    bench = boards("1.7.4")
    first = random.Random(seed).randrange(20, len(DATA))
    code, heard, _ = spoil(bench, pipelined, bench.to_modem, first, "drop")
    assert DATA.startswith(heard)
    assert code in ("ok", "send-failed", "bytes-lost", "no-modem")
    assert (code == "ok") <= (heard == DATA)


@WAYS
@pytest.mark.parametrize("change", ["drop", "double"])
@pytest.mark.parametrize("profile", ["1.1", "1.7.4"])
def test_any_byte_of_the_answers(boards, pipelined, change, profile):
    """A round's worth of them, in the middle of an upload."""
    for first in range(80, 150, 5 if profile == "1.1" else 3):
        bench = boards(profile)
        code, heard, _ = spoil(bench, pipelined, bench.to_chip, first, change)
        assert DATA.startswith(heard), first
        assert (code == "ok") <= (heard == DATA), first


def test_without_cipsendbuf(boards):
    """A firmware that does not know the command: the same bytes, slower."""
    bench = boards("1.1")
    _, link, heard = connect(bench, True)
    run = bench.modem.line_complete

    def line(text):
        if text.startswith(b"+CIPSENDBUF"):
            bench.modem.after_latency(bench.modem.error)
        else:
            run(text)

    bench.modem.line_complete = line
    link.write(DATA)
    link.flush()
    assert b"".join(heard) == DATA
    assert sum(b"SENDBUF" in line for line in bench.commands) == 1
