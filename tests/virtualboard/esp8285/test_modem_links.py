"""Opening, sending, closing: every dialogue and every refusal."""

import socket

import pytest

from rig.patience import patient
from virtualboard.clock import MS, SECOND
from virtualboard.network import Script

OPEN = b'AT+CIPSTART="TCP","10.0.0.1",80'
OPEN_2 = b'AT+CIPSTART=2,"TCP","10.0.0.1",80'


def test_open_send_answer_close_single(bench, server):
    b = bench("1.1").online()
    peer = server(b"world", question=5)
    b.network.attach("10.0.0.1", 80, lambda: peer)
    assert b.ask(OPEN) == b"CONNECT\r\n\r\nOK\r\n"
    assert b.send(b"hello") == b"\r\nRecv 5 bytes\r\n\r\nSEND OK\r\n\r\n+IPD,5:worldCLOSED\r\n"
    assert b.ask(b"AT+CIPCLOSE") == b"\r\nERROR\r\n"
    assert peer.heard == b"hello" and peer.over
    assert b.ask(b"AT+CIPSTATUS") == b"STATUS:4\r\n\r\nOK\r\n"


def test_open_send_answer_close_numbered(bench, server):
    b = bench("1.1").online(mux=True)
    b.network.attach("10.0.0.1", 80, lambda: server(b"world", close=False))
    assert b.ask(OPEN_2) == b"2,CONNECT\r\n\r\nOK\r\n"
    assert b.send(b"hello", 2) == b"\r\nRecv 5 bytes\r\n\r\nSEND OK\r\n\r\n+IPD,2,5:world"
    assert b.ask(b"AT+CIPCLOSE=2") == b"2,CLOSED\r\n\r\nOK\r\n"
    assert b.ask(b"AT+CIPCLOSE=2") == b"UNLINK\r\n\r\nERROR\r\n"


def test_remote_address_in_frames(bench, server):
    b = bench("1.7.4").online(mux=True)
    assert b.ask(b"AT+CIPDINFO=1") == b"\r\nOK\r\n"
    b.network.attach("10.0.0.1", 80, lambda: server(b"world", close=False))
    b.ask(OPEN_2)
    assert b.send(b"x", 2).endswith(b"\r\n+IPD,2,5,10.0.0.1,80:world")


def test_refused_and_unanswered(bench):
    b = bench("1.7.4").online(mux=True)
    b.network.attach("10.0.0.1", 80, None)
    assert b.ask(OPEN_2) == b"\r\nERROR\r\n2,CLOSED\r\n"
    start = b.clock.now
    b.type(b'AT+CIPSTART=2,"TCP","10.9.9.9",80\r\n')
    assert b.until(b"2,CLOSED\r\n") == b"\r\nERROR\r\n2,CLOSED\r\n"
    assert 3.0 <= (b.clock.now - start) / SECOND < 3.2  # 3.1 s recorded on 1.7
    assert b.network.open_links == 0


def test_older_versions_wait_longer_for_a_connection(bench):
    b = bench("1.3").online()
    start = b.clock.now
    b.type(b'AT+CIPSTART="TCP","10.9.9.9",80\r\n')
    assert b.until(b"CLOSED\r\n") == b"\r\nERROR\r\nCLOSED\r\n"
    assert 6.7 <= (b.clock.now - start) / SECOND < 7.3


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b'AT+CIPSTART=5,"TCP","10.0.0.1",80', b"ID ERROR\r\n\r\nERROR\r\n"),
        (b'AT+CIPSTART=1,"SCTP","10.0.0.1",80', b"Link type ERROR\r\n\r\nERROR\r\n"),
        (b'AT+CIPSTART=1,"TCP",10.0.0.1,80', b"IP ERROR\r\n\r\nERROR\r\n"),
        (b'AT+CIPSTART=1,"TCP","10.0.0.1",65536', b"\r\nERROR\r\n"),
        (b'AT+CIPSTART=1,"TCP","10.0.0.1",x', b"\r\nERROR\r\n"),
        (b'AT+CIPSTART=1,"TCP","10.0.0.1"', b"ENTRY ERROR\r\n\r\nERROR\r\n"),
        (b'AT+CIPSTART=1,"TCP","",80', b"IP ERROR\r\n\r\nERROR\r\n"),
        (b'AT+CIPSTART=1,"TCP"', b"\r\nERROR\r\n"),
        (b'AT+CIPSTART="TCP","10.0.0.1",80', b"\r\nERROR\r\n"),
        (b'AT+CIPSTART=1,"UDP","10.0.0.1",53x', b"\r\nERROR\r\n"),
        (b'AT+CIPSTART=1,"UDP","10.0.0.1",53,0', b"\r\nERROR\r\n"),
        (b'AT+CIPSTART=1,"UDP","10.0.0.1",53,53,3', b"\r\nERROR\r\n"),
        (b"AT+CIPSEND=1,5", b"link is not valid\r\n\r\nERROR\r\n"),
        (b"AT+CIPCLOSE", b"MUX=1\r\n\r\nERROR\r\n"),
        (b"AT+CIPCLOSE=4", b"UNLINK\r\n\r\nERROR\r\n"),
        (b"AT+CIPMODE=0", b"CIPMUX and CIPSERVER must be 0\r\n\r\nERROR\r\n"),
        (b"AT+CIPRECVDATA=1,100", b"\r\nERROR\r\n"),
        (b"AT+CIPRECVDATA=1,2049", b"\r\nERROR\r\n"),
    ],
)
def test_refusals_with_mux(bench, line, reply):
    assert bench("1.7.4").online(mux=True).ask(line) == reply


def test_refusals_with_an_open_link(bench, server):
    b = bench("1.7.4").online()
    b.network.attach("10.0.0.1", 80, server)
    assert b.ask(b"AT+CIPCLOSE=0") == b"MUX=0\r\n\r\nERROR\r\n"
    b.ask(OPEN)
    assert b.ask(OPEN) == b"ALREADY CONNECTED\r\n\r\nERROR\r\n"
    assert b.ask(b"AT+CIPMUX=1") == b"link is builded\r\n\r\nERROR\r\n"
    assert b.ask(b"AT+CIPSEND=2049") == b"too long\r\n\r\nERROR\r\n"
    assert b.ask(b"AT+CIPSEND=0") == b"\r\nERROR\r\n"
    assert b.ask(b"AT+CIPSEND=5,1") == b"no tail\r\n\r\nERROR\r\n"
    status = b.ask(b"AT+CIPSTATUS")
    assert status.startswith(b'STATUS:3\r\n+CIPSTATUS:0,"TCP","10.0.0.1",80,') and status.endswith(b",0\r\n\r\nOK\r\n")


def test_names_are_resolved_with_the_right_bytes_and_times(bench):
    b = bench("1.7.4").online()
    assert b.ask(b'AT+CIPDOMAIN="pictures.test"') == b"+CIPDOMAIN:10.0.0.1\r\n\r\nOK\r\n"
    assert b.ask(b'AT+CIPDOMAIN="10.2.3.4"', 8) == b"+CIPDOMAIN:10.2.3.4\r\n\r\nOK\r\n"
    start = b.clock.now
    b.type(b'AT+CIPDOMAIN="nowhere.test"\r\n')
    b.wait(1000)
    assert b.ask(b"AT", 20) == b"\r\nbusy p...\r\n"
    assert b.until(b"ERROR\r\n") == b"DNS Fail\r\n\r\nERROR\r\n"
    assert 12 <= (b.clock.now - start) / SECOND < 13.1
    assert b.ask(b'AT+CIPDOMAIN="' + b"n" * 64 + b'"') == b"\r\nERROR\r\n"
    b.type(b'AT+CIPSTART="TCP","nowhere.test",80\r\n')
    assert b.until(b"ERROR\r\n") == b"DNS Fail\r\n\r\nERROR\r\n"


def test_plus_plus_plus_cancels_a_send_but_not_inside_payload(bench, server):
    b = bench("1.1").online()
    peer = server()
    b.network.attach("10.0.0.1", 80, lambda: peer)
    b.ask(OPEN)
    assert b.ask(b"AT+CIPSEND=10") == b"\r\nOK\r\n> "
    b.type(b"abc")
    b.wait(50)
    b.type(b"+++")
    b.wait(50)
    assert b.read() == b"\r\nSEND Canceled\r\n"
    assert b.ask(b"") == b"\r\nERROR\r\n"
    assert b.ask(b"AT") == b"\r\nOK\r\n"
    assert b.send(b"a+++b+++") == b"\r\nRecv 8 bytes\r\n\r\nSEND OK\r\nCLOSED\r\n"
    assert peer.heard == b"a+++b+++"


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_plus_plus_plus_cancels_when_only_its_own_length_is_missing(bench, server, missing):
    """A batch is what comes before a pause: the first plus is not taken for the last byte of the payload."""
    b = bench("1.7.4").online()
    got = server(b"")
    b.network.attach("10.0.0.1", 80, lambda: got)
    b.ask(OPEN)
    b.ask(b"AT+CIPSEND=10")
    b.type(b"0123456789"[missing:])
    b.wait(10)
    b.type(b"+++")
    assert b.until(b"Canceled\r\n") == b"\r\nSEND Canceled\r\n"


def test_payload_waits_for_ever_and_is_never_taken_for_commands(bench, server):
    b = bench("1.1").online()
    peer = server(close=False)
    b.network.attach("10.0.0.1", 80, lambda: peer)
    b.ask(OPEN)
    b.ask(b"AT+CIPSEND=20")
    b.type(b"AT+RST\r\nAT\r\n")
    b.wait(60000)
    assert b.read() == b""
    b.type(b"12345678")
    b.wait(100)
    assert b.read() == b"\r\nRecv 20 bytes\r\n\r\nSEND OK\r\n"
    assert peer.heard == b"AT+RST\r\nAT\r\n12345678"


def test_bytes_behind_the_payload_are_refused_once_a_batch(bench, server):
    b = bench("1.1").online()
    b.network.attach("10.0.0.1", 80, lambda: server(close=False))
    b.network.rtt_ns = 500 * MS
    b.ask(OPEN, 1000)
    b.ask(b"AT+CIPSEND=4")
    b.type(b"data\r\nAT\r\n")
    b.wait(20)
    assert b.read() == b"\r\nRecv 4 bytes\r\n\r\nbusy s...\r\n"
    b.type(b"x" * 250)  # two full FIFOs and the rest
    b.wait(50)
    assert b.read() == b"\r\nbusy s...\r\n" * 3
    b.wait(600)
    assert b.read() == b"\r\nSEND OK\r\n"
    b.ask(b"AT+CIPSEND=4")
    b.type(b"data")
    b.wait(50)
    seen = b.ask(b"AT+RST", 100)
    assert seen.startswith(b"\r\nRecv 4 bytes\r\n\r\nWill force to restart!!!\r\n\r\nOK\r\nCLOSED\r\n")
    assert b"SEND OK" not in seen


def test_link_lost_while_the_payload_is_typed(bench, server):
    b = bench("1.1").online()
    b.network.attach("10.0.0.1", 80, lambda: server(close=False))
    b.ask(OPEN)
    b.ask(b"AT+CIPSEND=10")
    b.type(b"abcd")
    b.wait(20)
    b.modem.close_link(0)
    b.wait(20)
    assert b.read() == b"CLOSED\r\n"
    b.type(b"efghij")
    b.wait(20)
    assert b.read() == b"\r\nRecv 10 bytes\r\nSEND FAIL\r\n"
    assert b.ask(b"AT") == b"\r\nOK\r\n"


def test_link_lost_before_the_acknowledgement(bench):
    class Rude(Script):
        def received(self, data):
            self.reset()

    b = bench("1.1").online()
    b.network.attach("10.0.0.1", 80, Rude)
    b.network.ack_delay_ns = 200 * MS
    b.ask(OPEN)
    out = b.send(b"x" * 2000, ms=400)  # the second segment waits for the first one's acknowledgement
    assert out == b"\r\nRecv 2000 bytes\r\nCLOSED\r\nSEND FAIL\r\n"


def test_a_refusing_stack_fails_the_send_and_keeps_the_link(bench, server):
    b = bench("1.1").online()
    b.network.attach("10.0.0.1", 80, lambda: server(close=False))
    b.ask(OPEN)
    b.modem.fail_send()
    assert b.send(b"hello") == b"\r\nRecv 5 bytes\r\nSEND FAIL\r\n"
    assert b.send(b"hello") == b"\r\nRecv 5 bytes\r\n\r\nSEND OK\r\n"


@pytest.mark.parametrize(("size", "round_trips", "delays"), [(1, 1, 0), (1460, 1, 0), (1461, 2, 1), (2048, 2, 1)])
def test_send_ok_is_the_acknowledgement_and_a_short_tail_waits_for_it(bench, server, size, round_trips, delays):
    b = bench("1.1").online().speed(1000000)
    b.network.attach("10.0.0.1", 80, lambda: server(close=False))
    b.ask(OPEN)
    b.ask(b"AT+CIPSEND=%d" % size)
    b.type(b"x" * size)
    received = b.rx.busy_until
    out = b.until(b"SEND OK\r\n")
    assert out == b"\r\nRecv %d bytes\r\n\r\nSEND OK\r\n" % size
    printed = 11 * 10 * 1000  # "\r\nSEND OK\r\n" at 1 Mbaud
    took = b.clock.now - received - printed
    expected = round_trips * b.network.rtt_ns + delays * b.network.ack_delay_ns
    assert expected <= took <= expected + MS


def test_escaped_send_ends_early(bench, server):
    b = bench("1.7.4").online()
    peer = server(close=False, question=99)
    b.network.attach("10.0.0.1", 80, lambda: peer)
    b.ask(OPEN)
    assert b.ask(b"AT+CIPSENDEX=20") == b"\r\nOK\r\n> "
    b.type(b"a\\\\b\\0")
    b.wait(100)
    assert b.read() == b"\r\nRecv 3 bytes\r\n\r\nSEND OK\r\n"
    assert peer.heard == b"a\\b"


def test_buffered_send_pipelines_numbered_segments(bench, server):
    b = bench("1.7.4").online(mux=True)
    peer = server(close=False, question=9999)
    b.network.attach("10.0.0.1", 80, lambda: peer)
    b.network.rtt_ns = 400 * MS
    b.ask(OPEN_2, 1000)
    assert b.ask(b"AT+CIPSENDBUF=2,1460") == b"1,0\r\n\r\nOK\r\n> "
    b.type(b"a" * 1460)
    b.wait(150)
    assert b.read() == b"\r\nRecv 1460 bytes\r\n"
    assert b.ask(b"AT+CIPSENDBUF=2,1460") == b"2,0\r\n\r\nOK\r\n> "
    b.type(b"b" * 1460)
    assert b.until(b"2,2,SEND OK\r\n") == (b"\r\nRecv 1460 bytes\r\n\r\n2,1,SEND OK\r\n\r\n2,2,SEND OK\r\n")
    assert b.ask(b"AT+CIPSENDBUF=2,2000") == b"3,2\r\n\r\nOK\r\n> "
    b.type(b"c" * 2000)
    b.wait(190)
    b.read()
    assert b.ask(b"AT+CIPSENDBUF=2,2000", 20) == b"BUFFER FULL\r\n\r\nERROR\r\n"
    assert b.ask(b"AT+CIPSEND=2,5", 20) == b"send mode error\r\n\r\nERROR\r\n"
    b.modem.close_link(2)
    b.wait(20)
    assert b.read() == b"2,CLOSED\r\n\r\n2,3,SEND FAIL\r\n"


def test_close_all(bench, server):
    b = bench("1.7.4").online(mux=True)
    b.network.attach("10.0.0.1", 80, lambda: server(close=False))
    for number in range(5):
        assert b.ask(b'AT+CIPSTART=%d,"TCP","10.0.0.1",80' % number) == b"%d,CONNECT\r\n\r\nOK\r\n" % number
    assert b.network.open_links == 5
    assert b.ask(b"AT+CIPCLOSE=5") == b"".join(b"%d,CLOSED\r\n" % n for n in range(5)) + b"\r\nOK\r\n"
    assert b.network.open_links == 0


def test_udp_both_ways_on_a_real_socket(bench):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        there.settimeout(patient(5))
        b = bench("1.7.4").online(mux=True, passive=True)
        line = b'AT+CIPSTART=3,"UDP","127.0.0.1",%d' % there.getsockname()[1]
        assert b.ask(line) == b"3,CONNECT\r\n\r\nOK\r\n"
        assert b.send(b"ping", 3, ms=30) == b"\r\nRecv 4 bytes\r\n\r\nSEND OK\r\n"
        data, address = there.recvfrom(100)
        assert data == b"ping"
        there.sendto(b"pong", address)
        # UDP stays active in passive mode.
        assert b.until(b"pong", 5) == b"\r\n+IPD,3,4:pong"
        assert b.ask(b"AT+CIPRECVDATA=3,10") == b"\r\nERROR\r\n"
        assert b.ask(b"AT+CIPCLOSE=3") == b"3,CLOSED\r\n\r\nOK\r\n"


def test_udp_to_another_target_and_its_refusals(bench):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        there.settimeout(patient(5))
        port = there.getsockname()[1]
        b = bench("1.6").online()
        assert b.ask(b'AT+CIPSTART="UDP","127.0.0.1",9') == b"CONNECT\r\n\r\nOK\r\n"
        assert b.ask(b'AT+CIPSEND=2,"127.0.0.1"') == b"no port\r\n\r\nERROR\r\n"
        assert b.ask(b'AT+CIPSEND=2,"127.0.0",9') == b"ip error\r\n\r\nERROR\r\n"
        assert b.ask(b'AT+CIPSEND=2,"127.0.0.1",%d' % port) == b"\r\nOK\r\n> "
        b.type(b"hi")
        b.wait(20)
        assert b.read() == b"\r\nRecv 2 bytes\r\n\r\nSEND OK\r\n"
        assert there.recv(10) == b"hi"


def test_server_accepts_real_clients_and_scripted_ones(bench):
    b = bench("1.7.4").online(mux=True)
    assert b.ask(b"AT+CIPSERVER=1,0") == b"\r\nERROR\r\n"
    assert b.ask(b"AT+CIPSERVER=1,8266") == b"\r\nOK\r\n"
    assert b.ask(b"AT+CIPSERVER=1,8266") == b"no change\r\n\r\nOK\r\n"
    with socket.create_connection(("127.0.0.1", b.network.listening[8266]), timeout=patient(5)) as client:
        client.settimeout(patient(5))
        assert b.until(b"CONNECT\r\n", 10) == b"0,CONNECT\r\n"
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b.until(b"\r\n\r\n", 10) == b"\r\n+IPD,0,18:GET / HTTP/1.0\r\n\r\n"
        assert b",1\r\n" in b.ask(b"AT+CIPSTATUS")
        assert b.send(b"hello", 0) == b"\r\nRecv 5 bytes\r\n\r\nSEND OK\r\n"
        assert client.recv(10) == b"hello"
        script = Script()
        assert b.network.call(8266, script)
        b.wait(50)
        assert b.read() == b"1,CONNECT\r\n"
        script.send(b"scripted")
        b.wait(50)
        assert b.read() == b"\r\n+IPD,1,8:scripted"
        assert b.ask(b"AT+CIPMUX=0") == b"CIPSERVER must be 0\r\n\r\nERROR\r\n"
        assert b.ask(b"AT+CIPSERVER=0") == b"\r\nOK\r\n0,CLOSED\r\n1,CLOSED\r\n"
        assert client.recv(10) == b""
    assert b.network.listening == {} and not b.network.call(8266, Script())


def test_server_drops_silent_clients_and_counts_them(bench):
    b = bench("1.7.4").online(mux=True)
    assert b.ask(b"AT+CIPSERVERMAXCONN=1") == b"\r\nOK\r\n"
    b.network.quiet.line_quiet = lambda: False  # no real client is awaited here
    b.ask(b"AT+CIPSERVER=1,8266")
    assert b.ask(b"AT+CIPSTO=5") == b"\r\nOK\r\n"
    first, second = Script(), Script()
    b.network.call(8266, first)
    b.wait(50)
    assert b.read() == b"0,CONNECT\r\n"
    b.network.call(8266, second)
    b.wait(50)
    assert b.read() == b""
    b.wait(6000)
    assert b.read() == b"0,CLOSED\r\n"


def test_transparent_mode(bench):
    class Echo(Script):
        def received(self, data):
            self.send(b"<" + data + b">")

    b = bench("1.7.4").online()
    b.network.attach("10.0.0.1", 80, Echo)
    assert b.ask(b"AT+CIPMODE=1") == b"\r\nOK\r\n"
    b.ask(OPEN)
    assert b.ask(b"AT+CIPSEND=5") == b"IPMODE=1\r\n\r\nERROR\r\n"
    assert b.ask(b"AT+CIPSEND") == b"\r\nOK\r\n\r\n>"
    b.type(b"AT\r\n")
    b.wait(100)
    assert b.read() == b"<AT\r\n>"
    b.type(b"x" * 2048)
    b.wait(400)
    assert len(b.read()) == 2048 + 4  # two segments, each in its brackets
    b.type(b"+++")
    b.wait(1000)
    assert b.read() == b""
    assert b.ask(b"AT") == b"\r\nOK\r\n"
    assert b.ask(b"AT+CIPMODE=0") == b"\r\nOK\r\n"
    assert b.ask(b"AT+CIPCLOSE") == b"CLOSED\r\n\r\nOK\r\n"


def test_ssl_ends_as_with_a_server_that_refuses_its_ciphers(bench, server):
    b = bench("1.7.4").online()
    b.network.attach("10.0.0.1", 443, server)
    assert b.ask(b'AT+CIPSTART="SSL","10.0.0.1",443') == b"\r\nERROR\r\nCLOSED\r\n"
    assert b.ask(b"AT") == b"\r\nOK\r\n"


def test_ping(bench, server):
    b = bench("1.7.4").online()
    b.network.attach("10.0.0.1", 80, server)
    assert b.ask(b'AT+PING="10.0.0.1"') == b"+4\r\n\r\nOK\r\n"
    assert b.ask(b'AT+PING="10.0.0.9"', 2000) == b"+timeout\r\n\r\nERROR\r\n"


def test_time_of_day(bench):
    b = bench("1.7.4").online()
    assert b.ask(b'AT+CIPSNTPCFG=1,8,"a","b"') == b"\r\nOK\r\n"
    assert b.ask(b"AT+CIPSNTPCFG?") == b'+CIPSNTPCFG:1,8,"a","b"\r\n\r\nOK\r\n'
    b.network.started_at = 1_470_293_285 - b.clock.now // SECOND  # 2016-08-04 06:48:05 UTC
    assert b.ask(b"AT+CIPSNTPTIME?", 10) == b"+CIPSNTPTIME:Thu Jan 01 08:00:00 1970\r\nOK\r\n"
    b.wait(1500)
    b.network.started_at -= 2
    assert b.ask(b"AT+CIPSNTPTIME?") == b"+CIPSNTPTIME:Thu Aug 04 14:48:05 2016\r\nOK\r\n"


def test_send_fail_may_be_followed_by_send_ok_for_the_same_data(bench, server):
    b = bench("1.5").online()
    peer = server(question=100)
    b.network.attach("10.0.0.1", 80, lambda: peer)
    b.ask(OPEN)
    b.modem.late_send_ok()
    assert b.send(b"0123456789") == b"\r\nRecv 10 bytes\r\n\r\nSEND FAIL\r\n\r\nSEND OK\r\n"
    assert peer.heard == b"0123456789"
    assert b.ask(b"AT") == b"\r\nOK\r\n"


def test_a_failed_connect_has_a_long_form_too(bench):
    b = bench("1.7.4").online(mux=True)
    b.network.attach("10.0.0.1", 80, None)
    b.modem.next_ports.append(1998)
    assert b.ask(b"AT+SYSMSG_CUR=3") == b"\r\nOK\r\n"
    assert b.ask(b'AT+CIPSTART=3,"TCP","10.0.0.1",80') == (
        b'+LINK_CONN:1,3,"TCP",0,"10.0.0.1",80,1998\r\n\r\nERROR\r\n'
    )


def test_a_station_that_vanished_ends_its_link_with_connect_fail(bench, server):
    b = bench("1.7.4").online(mux=True)
    assert b.ask(b"AT+CIPSERVER=1,%d" % free_port()) == b"\r\nOK\r\n"
    assert b.network.call(b.modem.settings.server_port, server())
    b.wait(50)
    assert b.read() == b"0,CONNECT\r\n"
    b.modem.server.lose_clients()
    b.wait(50)
    assert b.read() == b"0,CONNECT FAIL\r\n"
    assert b.modem.links[0] is None
