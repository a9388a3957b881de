"""Links over the real modem part: both receive modes, sending, two at once, and every way to end badly."""

import random
import socket
import threading

import pytest

from rig.modem_bench import FOR_EVER_MS, SERVER, Once, Sink, read_all
from virtualboard.clock import MS, SECOND
from virtualboard.network.script import Script

BODY = random.Random(3).randbytes(30000)
HOSTILE = (
    b"\r\nOK\r\n+IPD,4,5:CLOSED\r\n4,CLOSED\r\n> \r\nready\r\n+++\x00\r\nERROR\r\nSEND FAIL\r\nWIFI DISCONNECT\r\n" * 40
)
PROFILES = ["1.1", "1.7.4", "1.7.4 passive"]  # the two ways of receiving


@pytest.fixture(params=PROFILES)
def bench(request, boards):
    return boards(request.param)


class Timed(Script):
    """Sends each (delay_ms, piece) of `plan` when the first bytes come; None closes, False resets."""

    def __init__(self, plan):
        self._plan = plan

    def received(self, data):
        at = 0
        plan, self._plan = self._plan, ()
        for delay_ms, piece in plan:
            at += delay_ms * MS
            act = {None: self.finish, False: self.reset}.get(piece) if not isinstance(piece, bytes) else None
            self.clock.after(at, act or (lambda piece=piece: self.send(piece)))


def get(modem, port=80, **options):
    link = modem.connect(SERVER, port, **options)
    link.write(b"GET")
    return link


@pytest.mark.parametrize(
    "body", [BODY, HOSTILE, b"", b"x", bytes(5000)], ids=["random", "hostile", "none", "one", "zeros"]
)
@pytest.mark.parametrize("profile", ["1.6", *PROFILES])
def test_a_body_comes_whole(boards, profile, body):
    bench = boards(profile)
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(body))
    link = get(modem)
    assert read_all(link) == body
    assert link.readinto(memoryview(bytearray(9))) == 0, "the end stays the end"
    assert link.trusted == link.delivered == len(body)
    link.close()
    link.close()
    assert modem.links == [None] * 5


@pytest.mark.parametrize("size", [1, 7, 100, 1459, 8192])
def test_any_buffer_size(bench, size):
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(HOSTILE))
    assert read_all(get(modem), size=size) == HOSTILE


@pytest.mark.parametrize("limit", [1, 10, 513])
def test_any_frame_size(bench, limit):
    modem = bench.bring_up()
    bench.modem.frame_limit = limit
    bench.serve(80, lambda: Once(HOSTILE[:1500]))
    assert read_all(get(modem)) == HOSTILE[:1500]


def test_a_reader_that_pauses_loses_nothing(bench):
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(BODY))
    link = get(modem)
    view = memoryview(bytearray(4096))
    out = bytearray()
    while count := link.readinto(view):
        out += view[:count]
        bench.run(150)
    assert out == BODY
    assert bench.ports[1].dropped == 0


def test_a_ring_that_overflows_is_noticed(boards):
    bench = boards("1.1")
    modem = bench.bring_up(baud=2000000)
    bench.serve(80, lambda: Once(BODY * 6))
    link = get(modem)
    view = memoryview(bytearray(4096))
    out = bytearray(view[: link.readinto(view)])
    bench.run(1000)
    with bench.raises("bytes-lost"):
        while count := link.readinto(view):
            out += view[:count]
    assert bench.ports[1].dropped > 0
    assert (BODY * 6).startswith(out[: link.trusted])
    link.close()
    assert (BODY * 6).startswith(read_all(get(modem), limit=len(BODY)))


# -- how AT 1.7 receives ------------------------------------------------------------------------------------


def fetched(bench, modem, pause_ms=0):
    """The body of a server, read with a pause behind the first piece; gives what AT+CIPRECVMODE was told meanwhile."""
    bench.commands.clear()
    link = get(modem)
    view = memoryview(bytearray(4096))
    out = bytearray(view[: link.readinto(view)])
    bench.run(pause_ms)
    try:
        out += read_all(link)
        assert out == BODY
    finally:
        link.close()
    return [int(line.strip()[-1:]) for line in bench.commands if b"CIPRECVMODE" in line]


def test_the_ring_has_room_for_the_longest_pause_or_the_module_keeps_what_comes(boards):
    """The ring of 48 kB lasts 0.49 s at 1 Mbaud, of which four fifths count."""
    bench = boards("1.7.4")
    modem = bench.bring_up(baud=1_000_000)
    bench.serve(80, lambda: Once(BODY))
    assert modem.passive
    assert fetched(bench, modem) == [0] and not modem.passive
    assert fetched(bench, modem, pause_ms=380) == []
    assert fetched(bench, modem) == []
    assert fetched(bench, modem, pause_ms=420) == []  # it went well, but hardly
    assert fetched(bench, modem) == [1] and modem.passive
    links = 1
    while not fetched(bench, modem):
        links += 1
    assert not modem.passive and links < 4  # of the pause a sixteenth is forgotten with each link


def test_after_a_loss_the_module_keeps_what_comes_for_some_links(boards):
    bench = boards("1.7.4")
    modem = bench.bring_up(baud=1_000_000)
    bench.serve(80, lambda: Once(BODY * 9))
    with bench.raises("bytes-lost"):
        fetched(bench, modem, pause_ms=800)
    assert bench.ports[1].dropped
    bench.serve(80, lambda: Once(BODY))
    assert fetched(bench, modem) == [1] and modem.passive
    links = 1
    while not fetched(bench, modem):
        links += 1
    assert not modem.passive and 20 < links < 30


def test_the_module_keeps_what_comes_while_it_has_a_server(boards):
    bench = boards("1.7.4")
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(BODY))
    assert fetched(bench, modem) == [0]
    modem.listen(80, lambda link: None)
    assert modem.passive
    assert fetched(bench, modem) == []
    modem.unlisten()
    assert fetched(bench, modem) == [0]


def test_with_a_link_open_nothing_changes(boards):
    bench = boards("1.7.4")
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(BODY[:3000], close=False))
    first = get(modem)
    modem._pause_ms = FOR_EVER_MS
    second = get(modem)
    assert not modem.passive
    assert read_all(first, limit=3000) == read_all(second, limit=3000) == BODY[:3000]
    first.close()
    modem.listen(80, lambda link: None)
    assert not modem.passive
    second.close()
    get(modem).close()
    assert modem.passive


@pytest.mark.parametrize("passive", [False, True])
def test_what_comes_tells_how_the_module_receives(boards, passive):
    """The digit of a command was damaged on its way, and the OK says nothing of it."""
    bench = boards("1.7.4")
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(BODY))
    fetched(bench, modem)
    modem._pause_ms = FOR_EVER_MS if passive else 0
    modem._receive(not passive)
    bench.to_modem.mangle = lambda index, byte: bytes((byte ^ 1 if byte == ord("01"[passive]) else byte,))
    modem._receive(passive)
    bench.to_modem.mangle = None
    assert modem.passive == passive != bench.modem.settings.passive
    assert fetched(bench, modem) == []
    assert modem.passive == bench.modem.settings.passive != passive


@pytest.mark.parametrize(
    ("profile", "baud", "share"),
    [
        ("1.1", 115200, 98),
        ("1.1", 1000000, 97.5),
        ("1.1", 2000000, 97),
        ("1.6", 1000000, 97.5),
        ("1.7.4", 115200, 99),
        ("1.7.4", 1000000, 99),
        ("1.7.4", 2000000, 99),
        ("1.7.4", 4000000, 99),
        ("1.7.4 passive", 115200, 96.5),
        ("1.7.4 passive", 1000000, 96.5),
        ("1.7.4 passive", 2000000, 96.5),
    ],
)
def test_payload_share_of_the_line(boards, profile, baud, share):
    # Modem latency 1 ms a command, round trip to the peer 4 ms; the interpreter's own work costs nothing here.
    bench = boards(profile)
    modem = bench.bring_up(baud=baud)
    bench.serve(80, lambda: Once(BODY * 3))
    link = get(modem)
    view = memoryview(bytearray(4096))
    first = link.readinto(view)
    count, begun = 0, bench.clock.now
    while got := link.readinto(view):
        count += got
        last = bench.clock.now
    assert first + count == len(BODY) * 3
    assert 100 * count * 10 * SECOND / (last - begun) / bench.modem.uart.baud >= share


def test_a_slow_peer_is_waited_for(bench):
    modem = bench.bring_up()
    bench.serve(80, lambda: Timed([(3000, b"first"), (4000, b"second"), (9000, b"third"), (100, None)]))
    assert read_all(get(modem)) == b"firstsecondthird"


def test_a_silent_peer_is_a_timeout_in_time(bench):
    modem = bench.bring_up()
    bench.serve(80, lambda: Timed([(10, b"begin")]))
    link = get(modem)
    link.timeout_ms = 6000
    assert read_all(link, limit=5) == b"begin"
    before = bench.clock.now
    with bench.raises("timeout"):
        read_all(link)
    assert 6 * SECOND <= bench.clock.now - before < 8 * SECOND
    assert link.trusted == 5, "silence proves what came before"


def test_bytes_can_be_proven_while_the_link_stays_open(bench):
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(BODY[:2000], close=False))
    link = get(modem)
    assert read_all(link, limit=2000) == BODY[:2000]
    link.prove()
    assert link.trusted == 2000
    link.prove()
    link.close()
    assert bench.modem.links[4] is None


def test_a_swallowed_close_is_not_taken_for_data(boards):
    # 10 bytes of the body are lost, and "4,CLOSED\r\n", 10 bytes long, completes the frame instead.
    bench = boards("1.1")
    modem = bench.bring_up()
    body = BODY[:1000]
    bench.serve(80, lambda: Once(body))
    link = modem.connect(SERVER, 80)
    start = bench.to_chip.sent
    first = start + len(b"\r\nOK\r\n> \r\nRecv 3 bytes\r\n\r\nSEND OK\r\n\r\n+IPD,4,1000:") + 500
    bench.to_chip.mangle = lambda index, byte: b"" if first <= index < first + 10 else bytes((byte,))
    link.write(b"GET")
    got = read_all(link, limit=1000)
    assert got == body[:500] + body[510:] + b"4,CLOSED\r\n"
    assert link.trusted == 0
    with bench.raises("bytes-lost"):
        link.prove()
    assert link.trusted == 0


@pytest.mark.parametrize("size", [1, 2047, 2048, 2049, 10000])
@pytest.mark.parametrize("pipelined", [False, True])
def test_sending(bench, size, pipelined):
    modem = bench.bring_up()
    heard = []
    bench.serve(81, lambda: Sink(heard))
    link = modem.connect(SERVER, 81, pipelined=pipelined)
    data = (HOSTILE + BODY)[:size]
    assert link.write(bytearray(data)) == size
    if pipelined:
        link.flush()
    assert b"".join(heard) == data
    link.close()


def test_pipelined_upload_rate(boards):
    bench = boards("1.1")
    modem = bench.bring_up()
    heard = []
    bench.serve(81, lambda: Sink(heard))
    link = modem.connect(SERVER, 81, pipelined=True)
    before = bench.clock.now
    for at in range(0, len(BODY), 4096):
        link.write(BODY[at : at + 4096])
    link.flush()
    assert b"".join(heard) == BODY
    assert len(BODY) * 10 * SECOND / (bench.clock.now - before) >= 0.85 * 1000000


def test_closing_a_pipelined_link_loses_nothing(bench):
    modem = bench.bring_up()
    heard = []
    bench.serve(81, lambda: Sink(heard))
    link = modem.connect(SERVER, 81, pipelined=True)
    link.write(BODY[:4000])
    link.close()
    assert b"".join(heard) == BODY[:4000]


def test_a_failed_send_is_told(bench):
    modem = bench.bring_up()
    bench.serve(81, lambda: Sink([]))
    link = modem.connect(SERVER, 81)
    bench.modem.fail_send()
    with bench.raises("send-failed"):
        link.write(b"hello")
    with bench.raises("send-failed"):
        link.write(b"again")
    link.close()
    link = modem.connect(SERVER, 81)
    link.write(b"works")


def test_writing_to_a_closed_link(bench):
    modem = bench.bring_up()
    bench.serve(80, lambda: Timed([(1, b"bye"), (1, None)]))
    link = get(modem)
    assert read_all(link) == b"bye"
    with bench.raises("link-lost"):
        link.write(b"more")


def test_a_peer_that_talks_first(bench):
    modem = bench.bring_up()

    class Greeter(Script):
        def connected(self):
            self.send(b"220 hello\r\n")

        def received(self, data):
            self.send(b"you said " + data)
            self.finish()

    bench.serve(25, Greeter)
    link = modem.connect(SERVER, 25)
    assert read_all(link, limit=11) == b"220 hello\r\n"
    link.write(b"abc")
    assert read_all(link) == b"you said abc"


def test_two_links_at_once(bench):
    modem = bench.bring_up()
    first, second = BODY[:5000], BODY[9000:12000]
    bench.serve(80, lambda: Once(first))
    bench.serve(81, lambda: Once(second))
    one = modem.connect(SERVER, 80)
    two = modem.connect(SERVER, 81)
    assert one.number != two.number
    one.write(b"GET")
    head = read_all(one, limit=1000, size=500)
    two.write(b"GET")
    out = [bytearray(head), bytearray()]
    views = [memoryview(bytearray(700)), memoryview(bytearray(300))]
    open_links = [one, two]
    while open_links:
        for link in list(open_links):
            which = 0 if link is one else 1
            count = link.readinto(views[which])
            out[which] += views[which][:count]
            if not count:
                open_links.remove(link)
    assert (out[0], out[1]) == (first, second)
    one.close()
    two.close()


def test_an_overflowing_side_buffer_breaks_only_its_own_link(boards):
    bench = boards("1.1")
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(BODY))
    bench.serve(81, lambda: Timed([(300, b"late"), (10, None)]))
    flood = get(modem, 80)
    calm = get(modem, 81)
    assert read_all(calm) == b"late"
    out = bytearray()
    view = memoryview(bytearray(512))
    with bench.raises("bytes-lost"):
        while count := flood.readinto(view):
            out += view[:count]
    assert BODY.startswith(out[: flood.trusted])
    flood.close()
    assert read_all(get(modem, 81)) == b"late"


def test_five_links_and_no_sixth(bench):
    modem = bench.bring_up()
    bench.serve(81, lambda: Sink([]))
    links = [modem.connect(SERVER, 81) for _ in range(5)]
    assert [link.number for link in links] == [4, 3, 2, 1, 0]
    with bench.raises("internal"):
        modem.connect(SERVER, 81)
    links[2].close()
    assert modem.connect(SERVER, 81).number == 2


def test_refused_and_unreachable(bench):
    modem = bench.bring_up()
    bench.serve(80, None)
    with bench.raises("refused"):
        modem.connect(SERVER, 80)
    before = bench.clock.now
    with bench.raises("connect-timeout"):
        modem.connect("10.9.8.7", 80)
    assert bench.clock.now - before < 25 * SECOND
    bench.serve(81, lambda: Once(b"fine"))
    assert read_all(get(modem, 81)) == b"fine"


def test_a_short_connect_timeout_leaves_the_modem_usable(bench):
    modem = bench.bring_up()
    before = bench.clock.now
    with bench.raises("connect-timeout"):
        modem.connect("10.9.8.7", 80, timeout_ms=1000)
    assert bench.clock.now - before < 3 * SECOND
    bench.serve(81, lambda: Once(b"fine"))
    assert read_all(get(modem, 81)) == b"fine"


def test_names(boards):
    bench = boards("1.7.4", names={"pictures.lan": SERVER})
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(b"named"))
    for _ in range(2):
        link = modem.connect("pictures.lan", 80)
        link.write(b"GET")
        assert read_all(link) == b"named"
        link.close()
    assert sum(b"CIPDOMAIN" in command for command in bench.commands) == 1
    assert not any(b"pictures" in command for command in bench.commands if b"CIPSTART" in command)
    with bench.raises("dns-failed"):
        modem.connect("nowhere.lan", 80)
    with bench.raises("settings"):
        modem.connect("a\r\nAT+RST", 80)


def test_losing_the_network_in_mid_body_is_no_orderly_end(bench):
    modem = bench.bring_up()
    bench.serve(80, lambda: Timed([(0, BODY[:10000]), (2000, BODY[10000:]), (0, None)]))
    link = get(modem)
    got = read_all(link, limit=10000)
    bench.modem.drop_wifi()
    with bench.raises("wifi-lost"):
        read_all(link)
    assert got[: link.trusted] == BODY[: link.trusted]
    assert link.trusted == 10000
    link.close()


@pytest.mark.parametrize("baud", [115200, 1000000])
def test_a_restart_in_mid_body(bench, baud):
    modem = bench.bring_up(recover=True, baud=baud)
    bench.serve(80, lambda: Once(BODY))
    link = get(modem)
    out = bytearray(read_all(link, limit=5000))
    bench.modem.brown_out()
    view = memoryview(bytearray(4096))
    before = bench.clock.now
    with pytest.raises(bench.PixError) as caught:
        while count := link.readinto(view):
            out += view[:count]
    assert caught.value.code in ("bytes-lost", "modem-rebooted")
    assert BODY.startswith(out[: link.trusted])
    assert bench.clock.now - before < 6 * SECOND
    link.close()
    assert read_all(get(modem)) == BODY


@pytest.mark.parametrize("code", ["SEND OK", "> ", "\r\nOK\r\n"])
@pytest.mark.parametrize(
    "notice",
    ["WIFI CONNECTED\r\n", "2,CONNECT\r\n", "2,CLOSED\r\n", "2,CONNECT\r\n\r\n+IPD,2,3:abc", "DHCP TIMEOUT\r\n"],
)
def test_notices_between_any_two_prints(bench, code, notice):
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(HOSTILE))
    link = modem.connect(SERVER, 80)
    before = code.encode() if code != "SEND OK" else b"\r\nSEND OK\r\n"
    bench.modem.inject(notice.encode(), before=before)
    link.write(b"GET")
    assert read_all(link) == HOSTILE


def test_the_peer_resets(bench):
    modem = bench.bring_up()
    bench.serve(80, lambda: Timed([(5, b"partial"), (50, False)]))
    link = get(modem)
    assert read_all(link) == b"partial", "FIN and RST look the same behind the modem; HTTP judges the length"
    link.close()


def test_a_module_busy_for_seconds_delays_but_does_not_break(bench):
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(BODY))
    bench.modem.busy(2 * SECOND)
    assert read_all(get(modem)) == BODY


def test_a_real_server(bench):
    listener = socket.create_server((SERVER, 0))

    def serve():
        with listener, listener.accept()[0] as peer:
            assert peer.recv(100) == b"GET"
            peer.sendall(BODY * 4)

    thread = threading.Thread(target=serve)
    thread.start()
    modem = bench.bring_up()
    assert read_all(get(modem, listener.getsockname()[1])) == BODY * 4
    thread.join()
