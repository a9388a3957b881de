"""Windows, rings, frames, passive reading; nothing lost, nothing split."""

import random
import re
import socket
import threading

import pytest

from rig.patience import patient
from virtualboard.clock import MS, SECOND
from virtualboard.network import SEGMENT_GAP_NS, Script

OPEN = b'AT+CIPSTART="TCP","10.0.0.1",80'
NASTY = b"\r\n+IPD,5:CLOSED\r\n\0+++\r\nOK\r\n> ready\r\nbusy p...\r\n"


DATA_HEAD = re.compile(rb"\r\n\+CIPRECVDATA,(\d+):")
PASSIVE_REPLY = re.compile(rb"^(\r\n\+IPD,\d+\r\n|CLOSED\r\n)*\r\n(OK|ERROR)\r\n")


def body_of(size, seed=1):
    noise = random.Random(seed).randbytes(size)
    return (NASTY + noise)[:size]


def conserved(b):
    """Every byte from a peer was printed, is buffered, or was counted as dropped."""
    for number, stats in enumerate(b.modem.stats.links):
        link = b.modem.links[number]
        waiting = b.modem.links.waiting(number) if link is None else link.buffered
        assert stats.received == stats.printed + stats.dropped + waiting, number


@pytest.mark.parametrize("baud", [115200, 1000000, 2000000])
@pytest.mark.parametrize(("profile", "longest"), [("1.1", 1460), ("1.3", 1460), ("1.6", 2920), ("1.7.4", 2920)])
def test_active_download_is_whole_and_fills_the_line(bench, server, split_frames, profile, longest, baud):
    body = body_of(100_000)
    b = bench(profile).online().speed(baud)
    b.network.attach("10.0.0.1", 80, lambda: server(body))
    b.ask(OPEN)
    b.ask(b"AT+CIPSEND=3")
    b.type(b"GET")
    out = b.until(b"SEND OK\r\n")
    start = b.clock.now
    out = b.until(b"CLOSED\r\n") if not out.endswith(b"CLOSED\r\n") else out
    while b.modem.links[0] is not None:
        out += b.until(b"CLOSED\r\n")
    got, rest = split_frames(out)
    assert b"".join(data for _, data in got) == body
    assert rest == b"CLOSED\r\n"
    sizes = [len(data) for _, data in got]
    assert max(sizes) == longest
    assert b.modem.stats.links[0].longest_frame == longest
    share = len(body) * 10 * SECOND / b.tx.tx_baud / (b.clock.now - start)
    assert share >= 0.97
    conserved(b)


def test_frame_limit(bench, server, split_frames):
    body = body_of(5000)
    b = bench("1.7.4").online()
    b.modem.frame_limit = 700
    b.network.attach("10.0.0.1", 80, lambda: server(body))
    b.ask(OPEN)
    out = b.send(b"GET", ms=1000).split(b"SEND OK\r\n", 1)[1]
    got, rest = split_frames(out)
    assert {len(data) for _, data in got} <= set(range(1, 701)) and max(len(data) for _, data in got) == 700
    assert b"".join(data for _, data in got) == body and rest == b"CLOSED\r\n"


def test_segments_arrive_as_window_space_opens(bench, server):
    """Two segments a gap apart fill the window; the next one comes a round trip after space was announced."""
    b = bench("1.7.4").online(passive=True)
    b.network.attach("10.0.0.1", 80, lambda: server(body_of(9000), close=False))
    b.ask(OPEN)
    times = []
    record = b.modem.links._arrived

    def arrived(link, data):
        times.append((b.clock.now, len(data)))
        record(link, data)

    b.modem.links[0].peer.on_data = lambda data: arrived(b.modem.links[0], data)
    b.send(b"GET", ms=500)
    assert [size for _, size in times] == [1460, 1460]
    assert times[1][0] - times[0][0] == SEGMENT_GAP_NS
    b.wait(5000)
    assert len(times) == 2  # the window is closed
    before = b.clock.now
    b.ask(b"AT+CIPRECVDATA=1460", 500)
    assert [size for _, size in times] == [1460, 1460, 1460]
    assert times[2][0] - before > b.network.rtt_ns
    conserved(b)


def test_small_reads_announce_space_a_quarter_window_at_a_time(bench, server):
    b = bench("1.7.4").online(passive=True)
    b.network.attach("10.0.0.1", 80, lambda: server(body_of(9000), close=False))
    b.ask(OPEN)
    b.send(b"GET", ms=500)
    for _ in range(2):
        b.ask(b"AT+CIPRECVDATA=700")
    assert b.ask(b"AT+CIPRECVLEN?") == b"+CIPRECVLEN:1520,0,0,0,0\r\n\r\nOK\r\n"
    b.ask(b"AT+CIPRECVDATA=100")  # 1500 read, 1400 of it announced: less than a segment
    b.wait(100)
    assert b.ask(b"AT+CIPRECVLEN?") == b"+CIPRECVLEN:1420,0,0,0,0\r\n\r\nOK\r\n"
    b.ask(b"AT+CIPRECVDATA=1000")
    assert b.ask(b"AT+CIPRECVLEN?").startswith(b"+CIPRECVLEN:1880,")


def test_passive_dialogue(bench, server):
    body = body_of(3000)
    b = bench("1.7.4").online(mux=True, passive=True)
    b.network.attach("10.0.0.1", 80, lambda: server(body))
    b.ask(b'AT+CIPSTART=4,"TCP","10.0.0.1",80')
    out = b.send(b"GET", 4)
    assert out == b"\r\nRecv 3 bytes\r\n\r\nSEND OK\r\n\r\n+IPD,4,1460\r\n\r\n+IPD,4,2920\r\n"
    first = b.ask(b"AT+CIPRECVDATA=4,2048", 400)
    assert first == (b"\r\n+CIPRECVDATA,2048:" + body[:2048] + b"\r\nOK\r\n" + b"\r\n+IPD,4,952\r\n" + b"4,CLOSED\r\n")
    assert b.ask(b"AT+CIPRECVLEN?") == b"+CIPRECVLEN:0,0,0,0,952\r\n\r\nOK\r\n"
    assert b.ask(b"AT+CIPRECVDATA=4,2048", 300) == b"\r\n+CIPRECVDATA,952:" + body[2048:] + b"\r\nOK\r\n"
    assert b.ask(b"AT+CIPRECVDATA=4,2048") == b"\r\nERROR\r\n"
    conserved(b)


def test_choosing_active_receiving_moves_nothing_that_waits(bench, server):
    """`at_setupCmdCipRecvMode` sets a flag; the next segment that comes takes along what waited before it."""
    body = body_of(9000)
    b = bench("1.7.4").online(passive=True)
    b.network.attach("10.0.0.1", 80, lambda: server(body, close=False))
    b.ask(OPEN)
    b.send(b"GET", ms=500)
    assert b.ask(b"AT+CIPRECVMODE=0", 1000) == b"\r\nOK\r\n"
    assert b.ask(b"AT+CIPRECVLEN?") == b"+CIPRECVLEN:2920,0,0,0,0\r\n\r\nOK\r\n"
    out = b.ask(b"AT+CIPRECVDATA=1460", 1000)
    assert out.startswith(b"\r\n+CIPRECVDATA,1460:" + body[:1460] + b"\r\nOK\r\n\r\n+IPD,2920:" + body[1460:4380])
    conserved(b)


def test_a_close_in_active_mode_drops_what_waited_in_passive_mode(bench, server):
    b = bench("1.7.4").online(passive=True)
    b.network.attach("10.0.0.1", 80, lambda: server(body_of(700), close=False))
    b.ask(OPEN)
    b.send(b"GET", ms=500)
    b.ask(b"AT+CIPRECVMODE=0")
    b.modem.close_link(0)
    b.wait(100)
    assert b.read() == b"CLOSED\r\n"
    assert b.modem.stats.links[0].dropped == 700
    conserved(b)


def test_a_booked_frame_comes_in_passive_mode_and_tells_what_was_booked(bench, server):
    """Bytes that CIPRECVDATA takes before it are missing in it; what lies in the module's heap makes up for them."""
    body = body_of(9000)
    b = bench("1.7.4").online()
    b.network.attach("10.0.0.1", 80, lambda: server(body, close=False))
    b.ask(OPEN)
    b.send(b"GET", ms=30)
    booked = b.modem.links[0].booked
    assert booked
    out = b.ask(b"AT+CIPRECVMODE=1", 10)
    out += b.ask(b"AT+CIPRECVDATA=1000", 2000)
    assert b"\r\n+CIPRECVDATA,1000:" in out
    frame = out.partition(b"\r\n+IPD,%d:" % booked)[2][:booked]
    assert len(frame) == booked and frame not in body and frame[: booked - 1000] in body
    conserved(b)


def test_passive_read_of_an_open_empty_link_is_just_ok(bench, server):
    b = bench("1.7.4").online(passive=True)
    b.network.attach("10.0.0.1", 80, lambda: server(b"12345", close=False))
    b.ask(OPEN)
    assert b.ask(b"AT+CIPRECVDATA=100") == b"\r\nOK\r\n"
    b.send(b"GET")
    assert b.ask(b"AT+CIPRECVDATA=3") == b"\r\n+CIPRECVDATA,3:123\r\nOK\r\n"
    assert b.ask(b"AT+CIPRECVDATA=3") == b"\r\n+CIPRECVDATA,2:45\r\nOK\r\n"


def test_unread_data_is_lost_when_the_number_is_used_again(bench, server):
    b = bench("1.7.4").online(passive=True)
    b.network.attach("10.0.0.1", 80, lambda: server(b"12345"))
    b.ask(OPEN)
    assert b.send(b"GET").endswith(b"\r\n+IPD,5\r\nCLOSED\r\n")
    b.ask(OPEN)
    assert b.ask(b"AT+CIPRECVLEN?").startswith(b"+CIPRECVLEN:0,")
    assert b.modem.stats.links[0].dropped == 5
    conserved(b)


def test_prints_are_never_split_by_what_happens_meanwhile(bench, server, split_frames):
    """Two downloads, a typing host and unasked prints at the same time: every piece stays in one piece."""
    bodies = {0: body_of(40_000, 1), 3: body_of(40_000, 2)}
    b = bench("1.7.4").online(mux=True).speed(1000000)
    b.network.attach("10.0.0.1", 80, lambda: server(bodies[0]))
    b.network.attach("10.0.0.2", 80, lambda: server(bodies[3]))
    b.ask(b'AT+CIPSTART=0,"TCP","10.0.0.1",80')
    b.ask(b'AT+CIPSTART=3,"TCP","10.0.0.2",80')
    out = bytearray()
    for number in (0, 3):
        out += b.ask(b"AT+CIPSEND=%d,1" % number, 40)
        b.type(b"G")
        b.wait(40)
        out += b.read()
    rng = random.Random(3)
    while b.modem.links.open_links() or not b.modem.uart.drained:
        if rng.random() < 0.2:
            b.modem.inject(b"WIFI CONNECTED\r\n")
        if rng.random() < 0.2:
            b.type(b"AT+CIPMUX?\r\n")
        b.wait(rng.random() * 20)
        out += b.read()
    b.wait(50)
    out += b.read()
    texts = [
        b"WIFI CONNECTED\r\n",
        b"+CIPMUX:1\r\n",
        b"\r\nOK\r\n",
        b"\r\nbusy p...\r\n",
        b"0,CLOSED\r\n",
        b"3,CLOSED\r\n",
    ]
    texts += [b"> ", b"\r\nRecv 1 bytes\r\n", b"\r\nSEND OK\r\n"]
    got = {0: b"", 3: b""}
    closed = set()
    rest = bytes(out)
    while rest:
        found, rest = split_frames(rest)
        for number, data in found:
            assert number not in closed
            got[number] += data
        if not rest:
            break
        text = next((text for text in texts if rest.startswith(text)), None)
        assert text is not None, rest[:60]
        if text.endswith(b"CLOSED\r\n"):
            closed.add(int(text[:1]))
        rest = rest[len(text) :]
    assert got == bodies and closed == {0, 3}
    conserved(b)


def test_inject_between_two_prints(bench, server):
    b = bench("1.1").online()
    b.network.attach("10.0.0.1", 80, lambda: server(close=False))
    b.ask(OPEN)
    b.modem.inject(b"WIFI DISCONNECT\r\n", before=b"> ")
    assert b.ask(b"AT+CIPSEND=1") == b"\r\nOK\r\nWIFI DISCONNECT\r\n> "


def test_same_seed_same_run(bench, server):
    def run():
        b = bench("1.7.4", seed=5).online().speed(921600)
        b.network.attach("10.0.0.1", 80, lambda: server(body_of(30_000)))
        log = []
        b.ask(OPEN)
        log.append(b.ask(b"AT+CIPSTATUS"))
        b.ask(b"AT+CIPSEND=3")
        b.type(b"GET")
        while b.modem.links[0] is not None:
            b.clock.advance_to(b.clock.next_alarm)
            log.append((b.clock.now, b.read()))
        return log

    assert run() == run()


def test_other_seed_other_local_port(bench, server):
    replies = set()
    for seed in (1, 2):
        b = bench("1.7.4", seed=seed).online()
        b.network.attach("10.0.0.1", 80, lambda: server(close=False))
        b.ask(OPEN)
        replies.add(b.ask(b"AT+CIPSTATUS"))
    assert len(replies) == 2


class Loopback:
    """A real server on a thread: reads `want` bytes, then answers in pieces and closes."""

    def __init__(self, body, want=1, pieces=(1 << 20,), read_first=True):
        self.body = body
        self.want = want
        self.pieces = pieces
        self.heard = bytearray()
        self.was_reset = False
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        client, _ = self.socket.accept()
        with client:
            client.settimeout(patient(30))
            while len(self.heard) < self.want:
                piece = client.recv(65536)
                if not piece:
                    return
                self.heard += piece
            rest = self.body
            try:
                for size in self.pieces:
                    client.sendall(rest[:size])
                    rest = rest[size:]
                client.sendall(rest)
                client.shutdown(socket.SHUT_WR)
                client.recv(1)
            except OSError as error:  # ConnectionError, or ENOTCONN when the reset came before the shutdown
                self.was_reset = not isinstance(error, TimeoutError)

    def close(self):
        self.thread.join(patient(30))
        self.socket.close()
        assert not self.thread.is_alive()


@pytest.mark.parametrize(("profile", "baud"), [("1.1", 115200), ("1.7.4", 1000000)])
def test_300_kb_from_a_real_server(bench, split_frames, profile, baud):
    body = body_of(300_000)
    there = Loopback(body, want=3, pieces=(200, 1000, 37, 5000))
    b = bench(profile).online().speed(baud)
    b.connect(there.port)
    b.ask(b"AT+CIPSEND=3", 15)
    b.type(b"GET")
    b.until(b"SEND OK\r\n")
    out = b""
    while b.modem.links[0] is not None or not out.endswith(b"CLOSED\r\n"):
        out += b.until(b"CLOSED\r\n")
    got, rest = split_frames(out)
    assert b"".join(data for _, data in got) == body and rest == b"CLOSED\r\n"
    assert there.heard == b"GET"
    conserved(b)
    there.close()


def test_300_kb_passive_from_a_real_server(bench):
    body = body_of(300_000)
    there = Loopback(body, want=3)
    b = bench("1.7.4").online(passive=True).speed(2000000)
    b.connect(there.port)
    b.ask(b"AT+CIPSEND=3", 15)
    b.type(b"GET")
    b.until(b"\r\n+IPD,2920\r\n")
    got = b""
    reply = b""
    while not reply.endswith(b"\r\nERROR\r\n"):
        b.type(b"AT+CIPRECVDATA=2048\r\n")
        reply = b""
        while not (final := PASSIVE_REPLY.search(reply)):
            b.wait(1)
            reply += b.read()
            assert b.clock.now < 300 * SECOND
            if (head := DATA_HEAD.search(reply)) and len(reply) >= head.end() + int(head[1]) + len(b"\r\nOK\r\n"):
                got += reply[head.end() : head.end() + int(head[1])]
                reply = reply[head.end() + int(head[1]) :]
        assert final
    assert got == body
    there.close()


def test_upload_to_a_real_server_that_reads_late(bench):
    """Half-written kernel buffers, a closed window, and still every byte in order."""
    body = body_of(60_000)
    go = threading.Event()
    heard = bytearray()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def serve():
        client, _ = listener.accept()
        with client:
            go.wait(30)
            while len(heard) < len(body):
                heard.extend(client.recv(3000))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    b = bench("1.1").online().speed(2000000)
    b.connect(listener.getsockname()[1])
    peer = b.modem.links[0].peer
    peer._end._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    late = threading.Timer(0.3, go.set)
    late.start()
    waits = []
    wait = peer._end.wait
    peer._end.wait = lambda ready, write=False, **more: waits.append(write) or wait(ready, write, **more)
    for at in range(0, len(body), 1460):
        piece = body[at : at + 1460]
        b.ask(b"AT+CIPSEND=%d" % len(piece), 5)
        b.type(piece)
        b.wait(20)
        assert b.read().startswith(b"\r\nRecv %d bytes\r\n" % len(piece))
        while peer.unacked:
            b.wait(1)
        b.wait(1)
        assert b.read() in (b"", b"\r\nSEND OK\r\n")
    assert True in waits
    thread.join(patient(30))
    assert heard == body
    assert b.modem.stats.links[0].acked == len(body)
    listener.close()


def test_a_stalled_module_keeps_order_and_loses_only_what_its_fifo_cannot_hold(bench):
    b = bench("1.1").boot()
    b.modem.stall(500 * MS)
    b.type(b"AT+CIPMUX?\r\n")
    b.wait(400)
    assert b.read() == b""
    b.wait(200)
    assert b.read() == b"+CIPMUX:0\r\n\r\nOK\r\n"
    b.modem.stall(100 * MS)
    b.type(b"\r\n" + b"x" * 200 + b"\r\nAT\r\n")
    b.wait(300)
    assert b.read() == b"\r\nERROR\r\n"  # the rest did not fit
    assert b.ask(b"") == b"\r\nERROR\r\n"
    assert b.ask(b"AT") == b"\r\nOK\r\n"


def test_a_busy_module_says_so_and_recovers(bench):
    b = bench("1.1").boot()
    b.modem.busy(300 * MS)
    assert b.ask(b"AT+CIPMUX=1") == b"\r\nbusy p...\r\n"
    b.wait(300)
    assert b.ask(b"AT+CIPMUX?") == b"+CIPMUX:0\r\n\r\nOK\r\n"


@pytest.mark.parametrize("reset", [False, True])
def test_peer_that_goes_away_in_mid_body(bench, split_frames, reset):
    class Quitter(Script):
        def received(self, data):
            self.send(b"x" * 3000)
            if reset:
                self.reset()
            else:
                self.finish()

    b = bench("1.6").online()
    b.network.attach("10.0.0.1", 80, Quitter)
    b.ask(OPEN)
    out = b.send(b"GET", ms=1000).split(b"SEND OK\r\n")[1]
    got, rest = split_frames(out)
    assert sum(len(data) for _, data in got) == 3000 and rest == b"CLOSED\r\n"


def test_a_broken_link_still_gives_what_had_come(bench, server, split_frames):
    b = bench("1.6").online()
    b.network.attach("10.0.0.1", 80, lambda: server(body_of(50_000)))
    b.ask(OPEN)
    b.ask(b"AT+CIPSEND=3")
    b.type(b"GET")
    b.until(b"SEND OK\r\n")
    b.wait(700)
    waiting = b.modem.links[0].buffered
    assert waiting
    b.modem.close_link(0, reset=True)
    b.wait(2000)
    got, rest = split_frames(b.read())
    assert len(got[-1][1]) == waiting and rest == b"CLOSED\r\n"
    assert b.modem.stats.links[0].dropped == 0
    conserved(b)


def test_reset_in_mid_body_closes_the_real_socket(bench):
    there = Loopback(body_of(200_000), want=3)
    b = bench("1.1").online()
    b.connect(there.port)
    b.ask(b"AT+CIPSEND=3", 15)
    b.type(b"GET")
    b.wait(1000)
    b.read()
    b.modem.brown_out()
    assert b.network.open_links == 0
    b.wait(1000)
    assert b.read().endswith(b"\r\nready\r\n")
    conserved(b)
    there.close()
    assert there.was_reset


def test_wifi_loss_in_mid_frame_finishes_the_frame_first(bench, server, split_frames):
    b = bench("1.1").online()
    b.network.attach("10.0.0.1", 80, lambda: server(body_of(50_000)))
    b.ask(OPEN)
    b.ask(b"AT+CIPSEND=3")
    b.type(b"GET")
    b.until(b"SEND OK\r\n")
    b.wait(700)
    b.modem.drop_wifi()
    b.wait(1000)
    got, rest = split_frames(b.read())
    assert len(got) > 3 and rest == b"WIFI DISCONNECT\r\nCLOSED\r\n"
    conserved(b)
