"""The module's own network: commands, stations, servers for them, what is kept, and the radio that both sides share."""

import socket

import pytest

from rig.patience import patient
from virtualboard.clock import SECOND
from virtualboard.esp8285 import AccessPoint, Air, Modem
from virtualboard.network import Bridge, Script, Visitor

PHONE = "02:00:00:00:00:09"
TABLET = "02:00:00:00:00:0b"
MAC = PHONE.encode()
OK = b"\r\nOK\r\n"
ERROR = b"\r\nERROR\r\n"
CONNECTED = b'+STA_CONNECTED:"%s"\r\n' % MAC
LEASED = b'+DIST_STA_IP:"%s","192.168.4.2"\r\n' % MAC
GONE = b'+STA_DISCONNECTED:"%s"\r\n' % MAC
ADDRESSES = (b"ip", b"192.168.4.1"), (b"gateway", b"192.168.4.1"), (b"netmask", b"255.255.255.0")
QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07captive\x05apple\x03com\x00\x00\x01\x00\x01"


def own(bench, profile="1.6", mode=2, key=b"", **more):
    """A module whose own network is on the air."""
    b = bench(profile, **more).boot()
    b.network.listen_on = None  # only stations of its own come
    assert b.ask(b"AT+CWMODE_CUR=%d" % mode) == OK
    if key:
        assert b.ask(b'AT+CWSAP_CUR="board","%s",5,4' % key) == OK
    return b


def phone(b, mac=PHONE, **more):
    return Visitor(b.network, b.modem.own, mac, **more)


class Telling(Script):
    """Sends `first` when it is connected; remembers the segments it heard and how it ended."""

    def __init__(self, first=b""):
        self.first = first
        self.heard = []
        self.over = False

    def connected(self):
        self.send(self.first)

    def received(self, data):
        self.heard.append(bytes(data))

    def finished(self):
        self.over = True


# -- what commands answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"AT+CWSAP?", ERROR),
        (b'AT+CWSAP="a","",1,0', ERROR),
        (b"AT+CWLIF", ERROR),
        (b"AT+CWDHCPS_CUR?", ERROR),
        (b"AT+CWDHCPS_CUR=0", ERROR),
        (b"AT+CIPAP?", b"".join(b'+CIPAP:%s:"%s"\r\n' % pair for pair in ADDRESSES) + OK),
        (b"AT+CIPAPMAC?", b'+CIPAPMAC:"5e:cf:7f:9a:7c:21"\r\n' + OK),
        (b'AT+MDNS=1,"maix","web",80', b"ip invalid when mdns\r\n" + ERROR),
        (b"AT+MDNS=0", OK),
        (b"AT+MDNS=0,1", b"para error when disable mdns\r\n" + ERROR),
        (b"AT+MDNS=2", b"para error when mdns\r\n" + ERROR),
        (b"AT+MDNS?", ERROR),
        (b'AT+CIPSTART="TCP","192.168.4.2",80', b"no ip\r\n" + ERROR),
        (b"AT+CIPSTART=nonsense", b"no ip\r\n" + ERROR),
    ],
)  # fmt: skip
def test_in_station_mode(bench, line, reply):
    assert bench("1.7.4").boot().ask(line) == reply


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"AT+CWSAP_CUR?", b'+CWSAP_CUR:"ESP_9A7C21","",1,0,4,0\r\n' + OK),
        (b"AT+CWSAP=?", ERROR),
        (b"AT+CWSAP", ERROR),
        (b'AT+CWSAP_CUR="","12345678",1,3', ERROR),
        (b'AT+CWSAP_CUR="a","12345678",0,3', ERROR),
        (b'AT+CWSAP_CUR="a","12345678",14,3', ERROR),
        (b'AT+CWSAP_CUR="a","12345678",1,1', ERROR),
        (b'AT+CWSAP_CUR="a","12345678",1,5', ERROR),
        (b'AT+CWSAP_CUR="a","1234567",1,2', ERROR),
        (b'AT+CWSAP_CUR="a","",13,0', OK),
        (b'AT+CWSAP_CUR="a","12345678",1', ERROR),
        (b'AT+CWSAP_CUR="a","12345678",1,2,0', ERROR),
        (b'AT+CWSAP_CUR="a","12345678",1,2,9', ERROR),
        (b'AT+CWSAP_CUR="a","12345678",1,2,8,2', ERROR),
        (b'AT+CWSAP_CUR="a","12345678",1,2,8,1,0', ERROR),
        (b'AT+CWSAP_CUR="a","12345678",1,2,8,1', OK),
        (b'AT+CWSAP_CUR="a,b\\"c","12345678",1,2', OK),
        (b'AT+CWSAP_CUR="%s","12345678",1,2' % (b"n" * 33), ERROR),
        (b"AT+CWLIF", OK),
        (b"AT+CWLIF?", ERROR),
        (b'AT+CIPAP_CUR="192.168.5.1","192.168.5.2"', OK),
        (b'AT+CIPAP_CUR="192.168.5.1","192.168.5.2","255.255.0.0"', OK),
        (b'AT+CIPAP_CUR="192.168.5"', ERROR),
        (b'AT+CIPAP_CUR="192.168.5.1","x"', ERROR),
        (b"AT+CIPAP_CUR=192.168.5.1", ERROR),
        (b'AT+CIPAPMAC_CUR="1a:fe:36:97:d5:7b"', OK),
        (b'AT+CIPAPMAC_CUR="1b:fe:36:97:d5:7b"', ERROR),
        (b'AT+CIPAPMAC_CUR="ff:ff:ff:ff:ff:ff"', ERROR),
        (b'AT+CIPAPMAC_CUR="00:00:00:00:00:00"', ERROR),
        (b'AT+CIPAPMAC_CUR="1afe3697d57b"', ERROR),
        (b'AT+CIPAPMAC_CUR="5c:cf:7f:9a:7c:21"', ERROR),
        (b"AT+CWDHCPS_CUR?", b"+CWDHCPS_CUR:120,192.168.4.2,192.168.4.101\r\nOK\r\n"),
        (b'AT+CWDHCPS_CUR=1,3,"192.168.4.10","192.168.4.15"', OK),
        (b'AT+CWDHCPS_CUR=1,0,"192.168.4.10","192.168.4.15"', ERROR),
        (b'AT+CWDHCPS_CUR=1,2881,"192.168.4.10","192.168.4.15"', ERROR),
        (b'AT+CWDHCPS_CUR=1,3,"192.168.4.1","192.168.4.15"', ERROR),
        (b'AT+CWDHCPS_CUR=1,3,"192.168.5.10","192.168.5.15"', ERROR),
        (b'AT+CWDHCPS_CUR=1,3,"192.168.4.10","192.168.4.111"', ERROR),
        (b'AT+CWDHCPS_CUR=1,3,"192.168.4.10"', ERROR),
        (b"AT+CWDHCPS_CUR=0", OK),
        (b"AT+CWDHCPS_CUR=2", ERROR),
        (b"AT+CWDHCPS?", ERROR),
        (b'AT+MDNS=1,"maix","web",80', b"opmode mismatch when mdns\r\n" + ERROR),
        (b"AT+WPS=1", b"opmode mismatch when wps\r\n" + ERROR),
        (b"AT+WPS", b"opmode mismatch when wps\r\n" + ERROR),
        (b"AT+CIPSTATUS", b"STATUS:5\r\n" + OK),
        (b"AT+CWLAP", ERROR),
        (b'AT+CWJAP_CUR="home","secret"', ERROR),
        (b"AT+CIPSERVER=1", ERROR),
        (b"AT+CIFSR", b'+CIFSR:APIP,"192.168.4.1"\r\n+CIFSR:APMAC,"5e:cf:7f:9a:7c:21"\r\n' + OK),
    ],
)  # fmt: skip
def test_in_access_point_mode(bench, line, reply):
    assert own(bench, "1.7.4").ask(line) == reply


@pytest.mark.parametrize(
    ("line", "first"),
    [
        (b"AT+CWDHCPS_CUR=0", "1.3"),
        (b"AT+MDNS=0", "1.3"),
        (b"AT+WPS=0", "1.3"),
        (b"AT+CIPDNS_CUR=0", "1.5"),
        (b"AT+CIPDNS_DEF=0", "1.5"),
        (b"AT+CIPSERVERMAXCONN=4", "1.6"),
        (b"AT+CWLIF", "1.1"),
        (b"AT+CIPAPMAC_CUR?", "1.1"),
    ],
)
def test_each_command_has_its_first_version(bench, line, first):
    versions = ["1.1", "1.2", "1.3", "1.5", "1.6", "1.7.4"]
    for version in versions:
        b = own(bench, version, mode=1 if line.startswith(b"AT+WPS") else 3)
        known = versions.index(version) >= versions.index(first)
        assert b.ask(line).endswith(OK if known else ERROR), version


def test_the_address_range_follows_the_modules_own_address(bench):
    b = own(bench, "1.7.4")
    assert b.ask(b'AT+CIPAP_CUR="10.1.2.200"') == OK
    assert b.ask(b"AT+CWDHCPS_CUR?") == b"+CWDHCPS_CUR:120,10.1.2.100,10.1.2.199\r\nOK\r\n"
    assert b.ask(b'AT+CWDHCPS_CUR=1,9,"10.1.2.10","10.1.2.12"') == OK
    assert b.ask(b"AT+CWDHCPS_CUR?") == b"+CWDHCPS_CUR:9,10.1.2.10,10.1.2.12\r\nOK\r\n"
    visitor = phone(b)
    visitor.join()
    b.wait(1000)
    assert visitor.ip == "10.1.2.10"


# -- what is kept -------------------------------------------------------------------------------------------

STORED = [
    (b'AT+CWSAP%s="frame","12345678",5,3,2,1', b"AT+CWSAP_DEF?", b'"frame","12345678",5,3,2,1'),
    (b'AT+CIPAP%s="192.168.9.1"', b"AT+CIPAP_DEF?", b'ip:"192.168.9.1"'),
    (b'AT+CIPAPMAC%s="1a:fe:36:97:d5:7b"', b"AT+CIPAPMAC_DEF?", b'"1a:fe:36:97:d5:7b"'),
    (b"AT+CWDHCP%s=0,0", b"AT+CWDHCP_DEF?", b":2\r\n"),
    (b"AT+CWMODE%s=2", b"AT+CWMODE_DEF?", b":2\r\n"),
]
SUFFIXED = [
    (b'AT+CWDHCPS%s=1,7,"192.168.4.9","192.168.4.11"', b"AT+CWDHCPS_DEF?", b":7,192.168.4.9,192.168.4.11"),
    (b'AT+CIPDNS%s=1,"1.1.1.1","9.9.9.9"', b"AT+CIPDNS_DEF?", b":1.1.1.1\r\n+CIPDNS_DEF:9.9.9.9\r\n"),
]


@pytest.mark.parametrize(("command", "query", "told"), STORED + SUFFIXED)
def test_def_is_kept_over_resets_and_cur_is_not(bench, command, query, told):
    b = bench("1.7.4").boot()
    b.network.listen_on = None
    b.ask(b"AT+CWMODE_DEF=3")
    current = query.replace(b"_DEF", b"_CUR")
    assert b.ask(command % b"_CUR") == OK
    assert told in b.ask(current).replace(b"_CUR", b"_DEF") and told not in b.ask(query)
    b.modem.restart()
    b.wait(600)
    b.ask(b"ATE0")
    assert told not in b.ask(current).replace(b"_CUR", b"_DEF") and told not in b.ask(query)
    assert b.ask(command % b"_DEF") == OK
    assert told in b.ask(current).replace(b"_CUR", b"_DEF") and told in b.ask(query)
    b.modem.restart("power")
    b.wait(600)
    b.ask(b"ATE0")
    assert told in b.ask(current).replace(b"_CUR", b"_DEF") and told in b.ask(query)


@pytest.mark.parametrize(("command", "query", "told"), STORED)
def test_without_a_suffix_it_is_stored_too(bench, command, query, told):
    b = bench("1.1").boot()
    b.ask(b"AT+CWMODE=3")
    assert b.ask(command % b"") == OK and told in b.ask(query)
    assert b.ask(b"AT+RESTORE", 1500).endswith(b"ready\r\n")
    b.ask(b"ATE0")
    b.ask(b"AT+CWMODE_CUR=3")
    assert told not in b.ask(query)


def test_a_snapshot_keeps_the_flash_and_nothing_else(bench):
    b = bench("1.7.4").boot()
    b.ask(b"AT+CWMODE_DEF=3")
    b.ask(b'AT+CWSAP_DEF="frame","12345678",5,3')
    b.ask(b'AT+CIPDNS_DEF=1,"1.1.1.1"')
    state = b.modem.state()
    other = bench("1.7.4")
    other.modem.restore({name: list(v) if isinstance(v, tuple) else v for name, v in state.items()})
    other.boot()
    assert b'"frame","12345678",5,3,4,0\r\n' in other.ask(b"AT+CWSAP?")
    assert other.modem.state() == state
    with pytest.raises(ValueError, match="the modem keeps"):
        other.modem.restore({"baud": 115200})
    assert other.modem.state() == state


def test_name_servers(bench):
    b = bench("1.7.4").online()
    assert b.ask(b"AT+CIPDNS_CUR?") == b"+CIPDNS_CUR:192.168.4.1\r\n" + OK
    for line, reply in (
        (b'AT+CIPDNS_CUR=1,"1.1.1.1"', OK),
        (b'AT+CIPDNS_CUR=1,"1.1.1.1","1.1.1.1"', ERROR),
        (b'AT+CIPDNS_CUR=1,"x"', b"IP1 invalid\r\n" + ERROR),
        (b"AT+CIPDNS_CUR=1,1.1.1.1", b"IP1 ERROR\r\n" + ERROR),
        (b'AT+CIPDNS_CUR=1,"1.1.1.1",2', b"IP2 ERROR\r\n" + ERROR),
        (b'AT+CIPDNS_CUR=1,"1.1.1.1","y"', b"IP2 invalid\r\n" + ERROR),
        (b"AT+CIPDNS_CUR=2", ERROR),
        (b"AT+CIPDNS=1", ERROR),
    ):
        assert b.ask(line) == reply, line
    assert b.ask(b"AT+CIPDNS_CUR?") == b"+CIPDNS_CUR:1.1.1.1\r\n" + OK
    assert b.ask(b"AT+CIPDNS_CUR=1") == OK
    assert b.ask(b"AT+CIPDNS_CUR?") == b"+CIPDNS_CUR:208.67.222.222\r\n" + OK
    assert b.ask(b"AT+CIPDNS_CUR=0") == OK
    assert b.ask(b"AT+CIPDNS_CUR?") == b"+CIPDNS_CUR:192.168.4.1\r\n" + OK


def test_mdns_takes_a_name_a_service_and_a_port(bench):
    b = bench("1.7.4").online()
    for line, reply in (
        (b"AT+MDNS=1", b"get hostname fail when mdns\r\n" + ERROR),
        (b'AT+MDNS=1,"",""', b"servername error when mdns\r\n" + ERROR),
        (b'AT+MDNS=1,"maix"', b"hostname error when mdns\r\n" + ERROR),
        (b'AT+MDNS=1,"maix",web', b"get servername fail when mdns\r\n" + ERROR),
        (b'AT+MDNS=1,"maix","web"', b"servername error when mdns\r\n" + ERROR),
        (b'AT+MDNS=1,"maix","web",0', ERROR),
        (b'AT+MDNS=1,"maix","web",80', OK),
    ):
        assert b.ask(line) == reply, line
    assert b.modem.settings.announced == (b"maix", b"web", 80)
    assert b.ask(b"AT+MDNS=0") == OK and b.modem.settings.announced is None


# -- stations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("profile", "told"), [
    ("1.3", b""), ("1.5", b""), ("1.6", CONNECTED + LEASED), ("1.7.4", CONNECTED + LEASED + LEASED),
])  # fmt: skip
def test_a_station_comes_and_goes(bench, profile, told):
    b = own(bench, profile)
    visitor = phone(b)
    visitor.join()
    b.wait(350)
    assert b.ask(b"AT+CWLIF", 20).endswith(b"0.0.0.0,%s\r\n" % MAC + OK)
    b.wait(600)
    b.read()
    assert visitor.ip == "192.168.4.2" and not visitor.trouble
    assert b.ask(b"AT+CWLIF") == b"192.168.4.2,%s\r\n" % MAC + OK
    visitor.leave()
    b.wait(50)
    assert b.read() == (GONE if told else b"")
    assert b.ask(b"AT+CWLIF") == OK
    visitor.join()
    b.wait(1000)
    assert b.read() == told and visitor.ip == "192.168.4.2"


def test_who_gets_in(bench):
    b = own(bench, key=b"12345678")
    visitor = phone(b)
    for key, ssid, trouble in (
        (b"", None, "wrong key"),
        (b"12345679", b"board", "wrong key"),
        (b"12345678", b"other", "no such network"),
        (b"12345678", b"board", ""),
    ):
        visitor.join(key, ssid)
        b.wait(1000)
        assert visitor.trouble == trouble
        assert (visitor.ip is None) == bool(trouble)
    assert b.ask(b'AT+CWSAP_CUR="board","12345678",5,4,1,1').endswith(OK)
    assert visitor.ip is None  # a change of the network sends everybody away
    visitor.join(b"12345678")
    b.wait(1000)
    assert visitor.trouble == "no such network"  # it is hidden now
    visitor.join(b"12345678", b"board")
    second = phone(b, TABLET)
    b.wait(1000)
    second.join(b"12345678", b"board")
    b.wait(1000)
    assert visitor.ip and second.trouble == "no room for another station"
    assert b.ask(b"AT+CWMODE_CUR=1").endswith(OK) and visitor.ip is None
    visitor.join(b"12345678", b"board")
    b.wait(1000)
    assert visitor.trouble == "no such network"


def test_without_a_dhcp_server_nobody_gets_an_address(bench):
    b = own(bench)
    assert b.ask(b"AT+CWDHCP_CUR=0,0") == OK
    visitor = phone(b)
    visitor.join()
    b.wait(1000)
    assert b.read() == CONNECTED and visitor.trouble == "no address"


def test_a_reset_of_the_module_sends_all_away_without_a_word(bench):
    b = own(bench)
    visitor = phone(b)
    gone = []
    visitor.on_gone = lambda: gone.append(b.clock.now)
    visitor.join()
    b.wait(1000)
    b.read()
    b.modem.restart()
    b.wait(5)
    assert b.read() == b"" and visitor.ip is None and len(gone) == 1


# -- servers for stations -----------------------------------------------------------------------------------


def served(bench, profile="1.7.4", **more):
    """A module that serves port 80 in its own network, and a telephone in it."""
    b = own(bench, profile)
    assert b.ask(b"AT+CIPMUX=1") == OK and b.ask(b"AT+CIPSERVER=1,80") == OK
    visitor = phone(b, **more)
    visitor.join()
    b.wait(1000)
    b.read()
    return b, visitor


def test_segments_of_the_own_network_are_small_in_both_directions(bench, split_frames):
    b, visitor = served(bench)
    client = Telling(b"q" * 1200)
    assert visitor.call(client)
    b.wait(300)
    found, rest = split_frames(b.read().removeprefix(b"0,CONNECT\r\n"))
    assert [len(data) for _, data in found] == [536, 536, 128] and rest == b""
    assert b.send(b"a" * 1200, 0) == b"\r\nRecv 1200 bytes\r\n\r\nSEND OK\r\n"
    assert [len(data) for data in client.heard] == [536, 536, 128]
    b, visitor = served(bench, mtu=1500)
    visitor.call(Telling(b"q" * 1200))
    assert b"\r\n+IPD,0,1200:" in b.until(b"q" * 1200)


def test_a_clients_reset_is_told_as_connect_fail_and_its_end_as_closed(bench):
    b, visitor = served(bench)
    broken, ended = Telling(), Telling()
    visitor.call(broken)
    visitor.call(ended)
    b.wait(50)
    assert b.read() == b"0,CONNECT\r\n1,CONNECT\r\n"
    broken.reset()
    b.wait(50)
    assert b.read() == b"0,CONNECT FAIL\r\n"
    ended.finish()
    b.wait(50)
    assert b.read() == b"1,CLOSED\r\n"


def test_a_sixth_client_is_reset_and_one_beyond_the_set_number_is_sent_away(bench):
    b, visitor = served(bench)
    clients = [Telling() for _ in range(6)]
    for client in clients:
        assert visitor.call(client)
    b.wait(50)
    assert b.read() == b"".join(b"%d,CONNECT\r\n" % n for n in range(5))
    assert clients[5].over and not clients[4].over
    assert b.ask(b"AT+CIPSERVERMAXCONN=2") == ERROR  # not while the server runs
    assert b.ask(b"AT+CIPSERVER=0") == OK + b"".join(b"%d,CLOSED\r\n" % n for n in range(5))
    for line, reply in (
        (b"AT+CIPSERVERMAXCONN=0", ERROR),
        (b"AT+CIPSERVERMAXCONN=6", ERROR),
        (b"AT+CIPSERVERMAXCONN=2", OK),
        (b"AT+CIPSERVERMAXCONN?", b"+CIPSERVERMAXCONN:2\r\nOK\r\n"),
        (b"AT+CIPSERVER=0,80", ERROR),
        (b"AT+CIPSERVER=0", b"no change\r\n" + OK),
        (b"AT+CIPSERVER=2", ERROR),
        (b"AT+CIPSERVER=1,65536", ERROR),
        (b"AT+CIPSTO=60", ERROR),
        (b"AT+CIPSERVER=1,80", OK),
        (b"AT+CIPSTO=7201", ERROR),
        (b"AT+CIPSTO=60", OK),
        (b"AT+CIPSTO?", b"+CIPSTO:60\r\n" + OK),
        (b"AT+CIPMODE=1", b"CIPMUX and CIPSERVER must be 0\r\n" + ERROR),
        (b"AT+CIPMUX=0", b"CIPSERVER must be 0\r\n" + ERROR),
    ):
        assert b.ask(line) == reply, line
    for _ in range(3):
        visitor.call(Telling())
    b.wait(50)
    assert b.read() == b"0,CONNECT\r\n1,CONNECT\r\n"
    assert not b.network.call(81, Script())


def test_links_of_a_station_that_went_away_end_only_when_something_is_sent(bench):
    b, visitor = served(bench)
    visitor.call(Telling())
    visitor.call(Telling())
    b.wait(50)
    b.read()
    visitor.leave()
    b.wait(20_000)
    assert b.read() == GONE  # the module has not noticed that the links are dead
    assert b.ask(b"AT+CIPSEND=1,5") == OK + b"> "
    b.type(b"hello")
    assert b.until(b"FAIL\r\n", 30) == b"\r\nRecv 5 bytes\r\n1,CONNECT FAIL\r\n"
    b.wait(50)
    assert b.read() == b"SEND FAIL\r\n"
    b.wait(170_000)
    assert b.read() == b"0,CLOSED\r\n"  # 180 s of silence


# -- datagrams ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b'4,"UDP","0",0,53,2', b'4,"UDP","0.0.0.0",53,53,2', b'4,"UDP","0.0.0.0",0,53,0'])
def test_a_listener_hears_stations_and_answers_the_last(bench, line):
    b, visitor = served(bench)
    second = phone(b, TABLET)
    second.join()
    b.wait(1000)
    b.read()
    assert b.ask(b"AT+CIPSTART=" + line) == b"4,CONNECT\r\n" + OK
    assert b.ask(b"AT+CIPRECVMODE=1") == OK  # datagrams stay active
    answers = []
    visitor.resolve(QUESTION, lambda data: answers.append(("phone", data)))
    assert b.until(QUESTION) == b"\r\n+IPD,4,%d:" % len(QUESTION) + QUESTION
    second.resolve(QUESTION, lambda data: answers.append(("tablet", data)))
    b.until(QUESTION)
    status = b.ask(b"AT+CIPSTATUS")
    if line.endswith(b"2"):
        assert b'+CIPSTATUS:4,"UDP","192.168.4.3",49152,53,0\r\n' in status
        assert b.send(b"answer", 4).endswith(b"SEND OK\r\n")
        assert answers == [("tablet", b"answer")]
        assert b.ask(b'AT+CIPSEND=4,5,"192.168.4.2",49152', 30) == OK + b"> "
    else:
        assert b'+CIPSTATUS:4,"UDP","0.0.0.0",' in status and not answers
        assert b.ask(b'AT+CIPSEND=4,5,"192.168.4.2",49152', 30) == OK + b"> "
    b.type(b"first")
    b.wait(50)
    assert b.read() == b"\r\nRecv 5 bytes\r\n\r\nSEND OK\r\n"
    assert answers[-1] == ("phone", b"first")


def test_a_resolver_asks_three_times_and_gives_up(bench):
    b, visitor = served(bench)
    answers = []
    visitor.resolve(QUESTION, answers.append)
    b.wait(3500)
    assert answers == [None] and b.read() == b""


# -- both at once -------------------------------------------------------------------------------------------


def both(bench, channel=9, profile="1.7.4"):
    air = Air([AccessPoint("home", "secret", channel=channel), AccessPoint("fast", "secret", channel=36)])
    b = bench(profile, air=air).boot()
    b.network.listen_on = None
    for line in (b"AT+CWMODE_CUR=3", b'AT+CWSAP_CUR="board","12345678",1,4', b"AT+CIPMUX=1", b"AT+CIPSERVER=1,80"):
        assert b.ask(line) == OK, line
    return b


def test_joining_moves_the_own_network_to_the_others_channel_and_keeps_its_links(bench):
    b = both(bench)
    follows, stays = phone(b), phone(b, TABLET, follows=False)
    for visitor in (follows, stays):
        visitor.join(b"12345678")
        b.wait(1000)
    assert b.modem.own.channel == 1
    client = Telling()
    follows.call(client)
    b.wait(50)
    b.read()
    assert b.ask(b'AT+CWJAP_CUR="home","wrong"', 15_000) == b"+CWJAP:2\r\n\r\nFAIL\r\n"
    assert follows.ip and stays.ip
    assert b.ask(b'AT+CWJAP_CUR="home","secret"', 4000).endswith(b"WIFI GOT IP\r\n" + OK)
    assert b.modem.own.channel == 9
    assert follows.ip == "192.168.4.2" and stays.ip is None
    client.send(b"still here")
    assert b.until(b"still here") == b"\r\n+IPD,0,10:still here"
    stays.join(b"12345678")
    b.wait(1000)
    assert stays.ip == "192.168.4.3"
    b.read()
    b.modem.drop_wifi()
    b.wait(100)
    assert b.read() == b"WIFI DISCONNECT\r\n" and not client.over


def test_links_of_a_lost_network_stay_open_and_dead_while_the_own_one_is_on(bench, server):
    b = both(bench)
    b.network.attach("10.0.0.1", 80, server)
    b.ask(b'AT+CWJAP_CUR="home","secret"', 4000)
    assert b.ask(b'AT+CIPSTART=2,"TCP","10.0.0.1",80').endswith(OK)
    b.modem.drop_wifi()
    b.wait(20_000)
    assert b.read() == b"WIFI DISCONNECT\r\n"
    assert b.ask(b'AT+CIPSTART=3,"TCP","10.0.0.1",80', 10) == b""  # nobody answers
    assert b.until(b"CLOSED\r\n", 10) == b"\r\nERROR\r\n3,CLOSED\r\n"
    assert b.ask(b"AT+CIPSEND=2,2") == OK + b"> "
    b.type(b"hi")
    assert b.until(b"FAIL\r\n", 30) == b"\r\nRecv 2 bytes\r\n2,CLOSED\r\nSEND FAIL\r\n"


def test_a_5_ghz_network_is_neither_seen_nor_joined(bench):
    b = both(bench)
    assert b"fast" not in b.ask(b"AT+CWLAP", 3000)
    assert b.ask(b'AT+CWJAP_CUR="fast","secret"', 15_000) == b"+CWJAP:3\r\n\r\nFAIL\r\n"


# -- WPS ----------------------------------------------------------------------------------------------------


def test_wps_joins_where_a_button_was_pushed(bench):
    point = AccessPoint("home", "secret", wps=True)
    b = bench("1.7.4", air=Air([point])).boot()
    assert b.ask(b"AT+WPS=1") == b"wps started\r\n" + OK
    assert b.until(b"GOT IP\r\n", 20) == b"wps success,connecting ap ...\r\nWIFI CONNECTED\r\nWIFI GOT IP\r\n"
    assert b.ask(b"AT+WPS=0") == b"wps stoped\r\n" + OK
    assert b.modem.flash.ssid == b"home" and b'"home"' in b.ask(b"AT+CWJAP?")
    for line, reply in ((b"AT+WPS=2", b"wps command error\r\n"), (b"AT+WPS=x", b""), (b"AT+WPS?", b"")):
        assert b.ask(line) == reply + ERROR


def test_wps_gives_up_after_two_minutes_or_when_told(bench):
    b = bench("1.7.4").boot()
    assert b.ask(b"AT+WPS") == b"wps started\r\n" + OK
    assert b.until(b"fail\r\n", 130) == b"wps fail\r\n"
    b.ask(b"AT+WPS=1")
    assert b.ask(b"AT+WPS=0", 130_000) == b"wps stoped\r\n" + OK


# -- browsers -----------------------------------------------------------------------------------------------


def bridged(b):
    modem: Modem = b.modem
    return Bridge(b.network, phone(b), 0, lambda: modem.own.on, lambda: modem.own.key)


def test_a_browser_of_this_machine_comes_from_a_station(bench):
    b = own(bench, key=b"12345678")
    b.ask(b"AT+CIPMUX=1")
    b.ask(b"AT+CIPSERVER=1,80")
    bridge = bridged(b)
    try:
        with socket.create_connection(("127.0.0.1", bridge.port), timeout=patient(5)) as client:
            client.settimeout(patient(5))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b.until(b"\r\n\r\n", 30) == CONNECTED + LEASED + b"0,CONNECT\r\n\r\n+IPD,0,18:GET / HTTP/1.0\r\n\r\n"
            assert b'+CIPSTATUS:0,"TCP","192.168.4.2",' in b.ask(b"AT+CIPSTATUS")
            assert b.send(b"hello", 0) == b"\r\nRecv 5 bytes\r\n\r\nSEND OK\r\n"
            assert client.recv(10) == b"hello"
            b.ask(b"AT+CWMODE_CUR=1")
            with pytest.raises(ConnectionResetError):
                client.recv(10)
    finally:
        bridge.close()


def test_a_browser_is_reset_while_the_network_is_off_or_nobody_listens(bench):
    b = own(bench, mode=1)
    bridge = bridged(b)
    try:
        for mode in (1, 2):
            assert b.ask(b"AT+CWMODE_CUR=%d" % mode) == OK
            with socket.create_connection(("127.0.0.1", bridge.port), timeout=patient(5)) as client:
                client.settimeout(patient(5))
                b.clock.poll(SECOND)
                b.wait(2000)
                with pytest.raises(ConnectionResetError):
                    client.recv(10)
    finally:
        bridge.close()
