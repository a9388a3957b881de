"""What other people's drivers send to run an access point, a server and a UDP listener, and that it works here.

The lines are those of bportaluri/WiFiEsp (EspDrv.cpp) and jandrassy/WiFiEspAT (EspAtDrv.cpp, WIFIESPAT1), in the order
in which their examples (access point web server, NTP and echo over UDP) lead to them.
"""

import pytest

from virtualboard.network import Script, Visitor

OK = b"\r\nOK\r\n"

WIFIESP = [
    b"AT+CWMODE=1", b"AT+CIPMUX=1", b"AT+CIPDINFO=1", b"AT+CWAUTOCONN=0", b"AT+CWDHCP=1,1",
    b"AT+CWMODE_CUR=2", b"AT+CWDHCP_CUR=2,0", b'AT+CIPAP_CUR="192.168.111.111"',
    b"AT+CWMODE_CUR=2", b'AT+CWSAP_CUR="TwimEsp","12345678",10,4', b"AT+CWDHCP_CUR=0,1", b"AT+CIPSERVER=1,80",
]  # fmt: skip
WIFIESPAT = [
    b"ATE0", b"AT+CIPMUX=1", b"AT+CIPRECVMODE=1", b"AT+CWMODE?", b"AT+CWMODE_CUR=3",
    b'AT+CIPAP_CUR="192.168.111.111","192.168.111.111","255.255.255.0"',
    b'AT+CWSAP_CUR="TwimEsp","12345678",10,4,4,0', b"AT+CIPSERVERMAXCONN=1", b"AT+CIPSERVER=1,80", b"AT+CIPSTO=60",
]  # fmt: skip


@pytest.mark.parametrize(("profile", "lines"), [("1.1", WIFIESP), ("1.5", WIFIESP), ("1.7.4", WIFIESPAT)])
def test_an_access_point_with_a_web_server(bench, profile, lines):
    b = bench(profile).boot()
    b.network.listen_on = None
    for line in lines:
        assert b.ask(line, 300).endswith(OK), line
    visitor = Visitor(b.network, b.modem.own)
    visitor.join(b"12345678")
    b.wait(1000)
    assert visitor.ip == "192.168.111.112"
    b.read()
    client = Script()
    assert visitor.call(client)
    client.send(b"GET /")
    b.wait(100)
    if b"AT+CIPRECVMODE=1" in lines:
        assert b.read() == b"0,CONNECT\r\n\r\n+IPD,0,5\r\n"
        assert b.ask(b"AT+CIPRECVDATA=0,512") == b"\r\n+CIPRECVDATA,5:GET /" + OK
        assert b.ask(b"AT+CIPCLOSEMODE=0,1") == OK  # WiFiEspAT aborts what it closes at once
    else:
        assert b.read().startswith(b"0,CONNECT\r\n\r\n+IPD,0,5,192.168.111.112,")
    assert b.ask(b"AT+CIPCLOSE=0").endswith(b"0,CLOSED\r\n" + OK)


def test_datagrams_of_wifiesp(bench):
    b = bench("1.5").online(mux=True)
    assert b.ask(b"AT+CIPDINFO=1") == OK
    assert b.ask(b'AT+CIPSTART=2,"UDP","0",0,2390,2') == b"2,CONNECT\r\n" + OK
    assert b.network.deliver(2390, b"packet", "10.0.0.7", 5000)
    b.wait(50)
    assert b.read() == b"\r\n+IPD,2,6,10.0.0.7,5000:packet"
    assert b.ask(b'AT+CIPSEND=2,3,"10.0.0.7",5000', 30) == OK + b"> "
    b.type(b"ack")
    b.wait(50)
    assert b.read() == b"\r\nRecv 3 bytes\r\n\r\nSEND OK\r\n"
    assert b.ask(b"AT+CIPCLOSE=2") == b"2,CLOSED\r\n" + OK
