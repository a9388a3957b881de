"""Joining networks: schedules, codes, losses."""

import pytest

from virtualboard.clock import MS, SECOND
from virtualboard.esp8285 import AccessPoint, Air

JOIN = b'AT+CWJAP_CUR="home","secret"'


def timed(b, line, limit_s=30):
    """Send `line`; give the output and the virtual seconds until its final result."""
    start = b.clock.now
    b.type(line + b"\r\n")
    out = b""
    while not out.endswith((b"OK\r\n", b"FAIL\r\n", b"ERROR\r\n")):
        b.wait(10)
        out += b.read()
        assert b.clock.now < start + limit_s * SECOND, out
    return out, (b.clock.now - start) / SECOND


@pytest.mark.parametrize(("profile", "seconds"), [("1.1", 3), ("1.3", 3), ("1.6", 3), ("1.7.4", 3)])
def test_ok_comes_at_a_poll_not_at_once(bench, profile, seconds):
    b = bench(profile).boot()  # association 1.6 s + DHCP 0.5 s = 2.1 s
    out, took = timed(b, JOIN)
    assert out == b"WIFI CONNECTED\r\nWIFI GOT IP\r\n\r\nOK\r\n"
    assert seconds <= took < seconds + 0.05


@pytest.mark.parametrize(("profile", "seconds"), [("1.6", 7), ("1.7.4", 6)])
def test_slow_dhcp_moves_to_the_next_poll(bench, profile, seconds):
    b = bench(profile, air=Air([AccessPoint("home", "secret", dhcp_ms=4000)])).boot()
    out, took = timed(b, JOIN)
    assert out.endswith(b"WIFI GOT IP\r\n\r\nOK\r\n")
    assert seconds <= took < seconds + 0.05


@pytest.mark.parametrize(("profile", "deadline"), [("1.1", 15), ("1.6", 15), ("1.7.4", 14)])
@pytest.mark.parametrize(
    ("line", "code"),
    [(b'AT+CWJAP="home","wrong"', 2), (b'AT+CWJAP="nowhere","secret"', 3)],
)
def test_failure_is_told_only_at_the_deadline(bench, profile, deadline, line, code):
    b = bench(profile).boot()
    out, took = timed(b, line)
    assert out == b"+CWJAP:%d\r\n\r\nFAIL\r\n" % code
    assert deadline <= took < deadline + 0.05
    assert b.ask(b"AT+CWJAP?") == b"No AP\r\n\r\nOK\r\n"
    b.wait(5000)
    assert b.read() == b""


@pytest.mark.parametrize("profile", ["1.1", "1.7.4"])
def test_without_an_address_the_association_ends_behind_fail(bench, profile):
    b = bench(profile, air=Air([AccessPoint("home", "secret", dhcp_ok=False)])).boot()
    out, took = timed(b, JOIN)
    b.wait(20000)
    assert out + b.read() == b"WIFI CONNECTED\r\n+CWJAP:1\r\n\r\nFAIL\r\nWIFI DISCONNECT\r\n"
    assert 14 <= took < 15.05


def test_everything_is_busy_while_joining(bench):
    b = bench("1.1").boot()
    b.type(JOIN + b"\r\n")
    b.wait(500)
    assert b.ask(b"AT", 50) == b"\r\nbusy p...\r\n"
    b.wait(4000)
    assert b.read().endswith(b"\r\nOK\r\n")


def test_joining_again_disconnects_first(bench):
    b = bench("1.7.4").online()
    out, _ = timed(b, JOIN)
    assert out == b"WIFI DISCONNECT\r\nWIFI CONNECTED\r\nWIFI GOT IP\r\n\r\nOK\r\n"


def test_quit_answers_then_disconnects(bench):
    b = bench("1.7.4").online()
    assert b.ask(b"AT+CWQAP", 510) == b"\r\nOK\r\nWIFI DISCONNECT\r\n"
    assert b.ask(b"AT+CWQAP", 510) == b"\r\nOK\r\n"


def test_the_disconnect_of_a_quit_comes_when_the_radio_likes(bench):
    moments = set()
    for seed in range(8):
        b = bench("1.7.4", seed=seed).online()
        start = b.clock.now
        b.type(b"AT+CWQAP\r\n")
        assert b.until(b"WIFI DISCONNECT\r\n") == b"\r\nOK\r\nWIFI DISCONNECT\r\n"
        moments.add((b.clock.now - start) // MS)
    assert len(moments) > 4 and max(moments) - min(moments) > 100 and max(moments) < 510


def test_a_join_right_behind_a_quit_disconnects_once(bench):
    b = bench("1.7.4").online()
    assert b.ask(b"AT+CWQAP", 3) == b"\r\nOK\r\n"
    out, _ = timed(b, JOIN)
    assert out == b"WIFI DISCONNECT\r\nWIFI CONNECTED\r\nWIFI GOT IP\r\n\r\nOK\r\n"
    b.wait(1000)
    assert b.read() == b""


def test_rtos_firmware_says_error_for_fail_and_knows_no_suffixes(bench):
    b = bench("2.1").boot()
    assert b.ask(b"AT+SYSSTORE=0") == b"\r\nOK\r\n"
    assert b.ask(JOIN) == b"\r\nERROR\r\n"
    out, took = timed(b, b'AT+CWJAP="home","wrong"')
    assert out == b"+CWJAP:2\r\n\r\nERROR\r\n" and took > 14
    out, took = timed(b, b'AT+CWJAP="home","secret"')
    assert out == b"WIFI CONNECTED\r\nWIFI GOT IP\r\n\r\nOK\r\n" and took < 2.5


@pytest.mark.parametrize(("profile", "tail"), [("1.3", b""), ("1.6", b""), ("1.7.4", b",0")])
def test_joined_network_query(bench, profile, tail):
    b = bench(profile).online()
    assert b.ask(b"AT+CWJAP_CUR?") == b'+CWJAP_CUR:"home","3c:84:6a:00:00:01",6,-50' + tail + b"\r\n\r\nOK\r\n"
    assert b.ask(b"AT+CIPSTA_CUR?") == (
        b'+CIPSTA_CUR:ip:"192.168.4.50"\r\n+CIPSTA_CUR:gateway:"192.168.4.1"\r\n'
        b'+CIPSTA_CUR:netmask:"255.255.255.0"\r\n\r\nOK\r\n'
    )
    assert b.ask(b"AT+CIPSTATUS") == b"STATUS:2\r\n\r\nOK\r\n"


@pytest.mark.parametrize(
    ("ssid", "password", "typed"),
    [
        ('say "hi"', "a,b", rb'AT+CWJAP_CUR="say \"hi\"","a,b"'),
        ("back\\slash", 'q"uote', rb'AT+CWJAP_CUR="back\\slash","q\"uote"'),
        ("Caf\u00e9", "\u00fcber-geheim", 'AT+CWJAP_CUR="Caf\u00e9","\u00fcber-geheim"'.encode()),
        ("comma", "x,y", rb'AT+CWJAP_CUR="comma","x\,y"'),
        ("open", "", rb'AT+CWJAP_CUR="open",""'),
    ],
)
def test_escaping(bench, ssid, password, typed):
    b = bench("1.1", air=Air([AccessPoint(ssid, password)])).boot()
    out, _ = timed(b, typed)
    assert out.endswith(b"\r\nOK\r\n")


@pytest.mark.parametrize(
    "line",
    [b'AT+CWJAP="home"', b'AT+CWJAP="home","secret', b"AT+CWJAP=home,secret", b'AT+CWJAP="' + b"x" * 33 + b'","y"'],
)
def test_malformed_joins_are_errors_at_once(bench, line):
    assert bench("1.1").boot().ask(line) == b"\r\nERROR\r\n"


def test_lost_network_closes_links_and_comes_back(bench, server):
    b = bench("1.7.4").online(mux=True)
    b.network.attach("10.0.0.1", 80, server)
    b.ask(b'AT+CIPSTART=1,"TCP","10.0.0.1",80')
    b.modem.drop_wifi()
    b.wait(10000)
    assert b.read() == b"WIFI DISCONNECT\r\n1,CLOSED\r\n"
    assert b.ask(b"AT+CIPSTATUS") == b"STATUS:5\r\n\r\nOK\r\n"
    assert b.ask(b'AT+CIPSTART=1,"TCP","10.0.0.1",80') == b"no ip\r\n\r\nERROR\r\n"
    b.modem.restore_wifi()
    b.wait(10000)
    assert b.read() == b"WIFI CONNECTED\r\nWIFI GOT IP\r\n"


def test_losing_the_access_point_itself(bench):
    b = bench("1.1").online()
    b.air.lose("home")
    b.wait(100)
    assert b.read() == b"WIFI DISCONNECT\r\n"
    b.air.back("home")
    b.wait(10000)
    assert b.read() == b"WIFI CONNECTED\r\nWIFI GOT IP\r\n"


def test_the_strongest_of_two_of_that_name_is_taken(bench):
    air = Air(
        [
            AccessPoint("home", "secret", rssi=-80, bssid="aa:aa:aa:aa:aa:01"),
            AccessPoint("home", "secret", rssi=-30, bssid="aa:aa:aa:aa:aa:02"),
        ]
    )
    b = bench("1.7.4", air=air).online()
    assert b'"aa:aa:aa:aa:aa:02"' in b.ask(b"AT+CWJAP?")
    out, _ = timed(b, b'AT+CWJAP="home","secret","aa:aa:aa:aa:aa:01"')
    assert out.endswith(b"OK\r\n") and b'"aa:aa:aa:aa:aa:01"' in b.ask(b"AT+CWJAP?")


def test_network_lost_while_a_link_is_being_opened_or_a_name_looked_up(bench):
    b = bench("1.7.4").online(mux=True)
    b.type(b'AT+CIPSTART=1,"TCP","10.9.9.9",80\r\n')
    b.wait(500)
    b.modem.drop_wifi()
    b.wait(50)
    assert b.read() == b"WIFI DISCONNECT\r\n\r\nERROR\r\n1,CLOSED\r\n"
    b.modem.restore_wifi()
    b.wait(10000)
    assert b.read() == b"WIFI CONNECTED\r\nWIFI GOT IP\r\n"
    b.network.rtt_ns = 2 * SECOND
    for line, reply in (
        (b'AT+CIPSTART=1,"TCP","pictures.test",80', b"no ip\r\n\r\nERROR\r\n"),
        (b'AT+CIPDOMAIN="pictures.test"', b"DNS Fail\r\n\r\nERROR\r\n"),
    ):
        b.type(line + b"\r\n")
        b.wait(500)
        b.modem.drop_wifi()
        b.wait(3000)
        assert b.read() == b"WIFI DISCONNECT\r\n" + reply
        b.modem.restore_wifi()
        b.wait(10000)
        b.read()
    assert b.ask(b"AT+CIPSTATUS") == b"STATUS:2\r\n\r\nOK\r\n"
