"""The sequences of MaixPy's own C driver (network.ESP8285), byte by byte."""

import re

import pytest

from virtualboard.esp8285 import PROFILES

INIT = (
    (b"AT", rb"OK"),
    (b"ATE0", rb"OK"),
    (b"AT+CIPMODE=0", rb"OK"),
    (b"AT+CWMODE?", rb"\+CWMODE:1\r\n\r\nOK"),
    (b"AT+CIPMUX=0", rb"OK"),
    (b"AT+CWQAP", rb"OK"),
)


@pytest.mark.parametrize("profile", [name for name, profile in PROFILES.items() if not profile.rtos])
def test_whole_session(bench, server, profile):
    b = bench(profile).boot(echo=True)
    for line, accepted in INIT:
        assert re.search(accepted, b.ask(line)), line
    assert re.search(rb"OK|FAIL", b.ask(b'AT+CWJAP="home","secret"', 5000))[0] == b"OK"
    addresses = b.ask(b"AT+CIPSTA_CUR?")
    for word in (b'ip:"192.168.4.50"', b'gateway:"192.168.4.1"', b'netmask:"255.255.255.0"'):
        assert word in addresses
    assert re.search(rb'\+CWJAP_CUR:"home","3c:84:6a:00:00:01"', b.ask(b"AT+CWJAP_CUR?"))
    assert re.match(rb"\+CIPDOMAIN:(\d+\.\d+\.\d+\.\d+)\r\n", b.ask(b'AT+CIPDOMAIN="pictures.test"'))[1] == b"10.0.0.1"

    peer = server(b"y" * 1760, question=40)
    b.network.attach("10.0.0.1", 80, lambda: peer)
    assert b.ask(b'AT+CIPSTART="TCP","10.0.0.1",80') == b"CONNECT\r\n\r\nOK\r\n"
    assert b.ask(b"AT+CIPSEND=40") == b"\r\nOK\r\n> "
    b.type(b"G" * 40)
    b.wait(1000)
    assert b.read() == (
        b"\r\nRecv 40 bytes\r\n\r\nSEND OK\r\n"
        b"\r\n+IPD,1460:" + b"y" * 1460 + b"\r\n+IPD,300:" + b"y" * 300 + b"CLOSED\r\n"
    )
    assert peer.heard == b"G" * 40
    assert b.ask(b"AT+CIPCLOSE") == b"\r\nERROR\r\n"


def test_scan_as_the_driver_splits_it(bench):
    seen = bench("1.1").boot().ask(b"AT+CWLAP", 4000)
    assert seen.endswith(b"\r\n\r\nOK\r\n") and seen.startswith(b"+CWLAP:(4,")


def test_sample_script_raises_the_rate(bench):
    """network_espat.py: EN low 50 ms, AT until OK, UART_CUR at 921600, 20 ms, reopen."""
    b = bench("1.1")
    b.modem.enable(True)
    b.wait(50)
    b.modem.enable(False)
    b.wait(50)
    b.modem.enable(True)
    b.wait(500)
    b.read()
    assert b.ask(b"AT").endswith(b"OK\r\n")
    b.type(b"AT+UART_CUR=921600,8,1,0,0\r\n")
    b.wait(20)
    b.read()
    b.rx.tx_baud = b.tx.rx_baud = 921600
    assert b.ask(b"AT").endswith(b"\r\nOK\r\n")


def test_access_point_commands(bench):
    b = bench("1.1").boot()
    assert b.ask(b"AT+CWMODE=3") == b"\r\nOK\r\n"
    assert b.ask(b'AT+CWSAP="maix","12345678",5,3') == b"\r\nOK\r\n"
    assert b.ask(b"AT+CWSAP?") == b'+CWSAP:"maix","12345678",5,3,4,0\r\n\r\nOK\r\n'
    assert b.ask(b"AT+CIFSR").startswith(b'+CIFSR:APIP,"192.168.4.1"\r\n+CIFSR:APMAC,"5e:cf:7f:9a:7c:21"\r\n')
