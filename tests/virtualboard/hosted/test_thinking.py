"""How far away servers are and how long they think, as the stock driver and the command line see it."""

from __future__ import annotations

import contextlib
import re
import socketserver
import threading
import time

import pytest

from maixpix.cli import run as maixpix

PROGRAM = """
import time, usocket, network
from machine import UART
from fpioa_manager import fm
fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
nic = network.ESP8285(UART(UART.UART2, 115200, read_buf_len=10240))
nic.connect('home', 'correct horse')
s = usocket.socket()
a = time.ticks_ms()
s.connect(('127.0.0.1', %d))
b = time.ticks_ms()
s.send(b'ask')
answer = s.recv(6)
print('took', time.ticks_diff(b, a), time.ticks_diff(time.ticks_ms(), b), answer)
"""


@pytest.fixture
def server():
    """Answers "answer" to the first words of a connection, after `think_s` of real time."""

    class Think(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(100)
            time.sleep(server.think_s)
            self.request.sendall(b"answer")
            with contextlib.suppress(ConnectionResetError):  # a board whose power goes resets what is open
                self.request.recv(1)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Think) as server:
        server.think_s = 0.0
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def took(server, capsys, *options):
    """Milliseconds of the board's time that connecting took, and question and answer."""
    assert maixpix(["board", "--exec", PROGRAM % server.server_address[1], *options]) == 0
    connect, answer = re.search(r"took (\d+) (\d+) b'answer'", capsys.readouterr().out).groups()
    return int(connect), int(answer)


def test_a_servers_thinking_is_seen_and_the_grace_hides_it(server, capsys):
    server.think_s = 0.04
    _, seen = took(server, capsys)
    _, hidden = took(server, capsys, "--grace", "20000")
    assert seen - hidden >= 38


def test_every_round_trip_is_as_long_as_told(server, capsys):
    near = took(server, capsys, "--grace", "20000", "--latency", "10")
    far = took(server, capsys, "--grace", "20000", "--rtt", "110")
    assert [b - a for a, b in zip(near, far, strict=True)] == pytest.approx([100, 100], abs=2)


@pytest.mark.parametrize("option", [("--latency", "0"), ("--latency", "soon"), ("--grace", "-1")])
def test_what_is_no_time_is_refused(option, capsys):
    assert maixpix(["board", *option]) == 2
    assert "Invalid value" in capsys.readouterr().err
