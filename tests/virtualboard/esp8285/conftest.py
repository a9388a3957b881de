"""A modem on a bench: two lanes, one network, and somebody who types."""

import re

import pytest

from virtualboard.clock import MS, SECOND, Clock
from virtualboard.esp8285 import AccessPoint, Air, Modem
from virtualboard.network import Network, Script
from virtualboard.wire import Lane

FRAME = re.compile(rb"\r\n\+IPD,(?:(\d),)?(\d+):")


class Server(Script):
    """Says `answer` when `question` bytes have come, then closes if told to; remembers what it heard."""

    def __init__(self, answer=b"", question=1, close=True):
        self.answer = answer
        self.question = question
        self.close = close
        self.heard = bytearray()
        self.over = False

    def received(self, data):
        before = len(self.heard)
        self.heard += data
        if before < self.question <= len(self.heard):
            self.send(self.answer)
            if self.close:
                self.finish()

    def finished(self):
        self.over = True


class Bench:
    """One modem and the hands of whoever tests it."""

    def __init__(self, profile="1.7.4", air=None, network=None, clock=None, seed=0):
        self.clock = clock or Clock()
        self.rx = Lane(self.clock, "to_modem")
        self.tx = Lane(self.clock, "to_chip")
        self.air = air or Air([AccessPoint("home", "secret")])
        self.network = network or Network(self.clock, {"pictures.test": "10.0.0.1"})
        self.modem = Modem(self.clock, self.rx, self.tx, self.air, self.network, profile, seed)
        self.events = []
        self.modem.on_event = self.events.append

    def boot(self, echo=False):
        """Power on and wait for `ready`; whatever was printed is thrown away."""
        self.modem.enable(True)
        self.wait(600)
        assert self.read().endswith(b"\r\nready\r\n")
        if not echo:
            assert self.ask(b"ATE0").endswith(b"\r\nOK\r\n")
        return self

    def online(self, mux=False, passive=False):
        """Boot and join `home`."""
        self.boot()
        assert self.ask(b'AT+CWJAP_CUR="home","secret"', 5000).endswith(b"WIFI GOT IP\r\n\r\nOK\r\n")
        if mux:
            self.ask(b"AT+CIPMUX=1")
        if passive:
            assert self.ask(b"AT+CIPRECVMODE=1") == b"\r\nOK\r\n"
        return self

    def speed(self, baud):
        """Change the rate on both sides."""
        assert self.ask(b"AT+UART_CUR=%d,8,1,0,0" % baud) == b"\r\nOK\r\n"
        self.rx.tx_baud = self.tx.rx_baud = baud
        return self

    def type(self, data):
        """Send bytes as they are."""
        self.rx.write(data)

    def wait(self, ms):
        """Let virtual time pass."""
        self.clock.advance(round(ms * MS))

    def read(self):
        """Everything that has arrived."""
        return self.tx.take()

    def ask(self, line, ms=100):
        """Send a line, wait, and give what came back."""
        self.rx.write(line + b"\r\n")
        self.wait(ms)
        return self.tx.take()

    def connect(self, port):
        """Open a link to a real server of this machine, which accepts when it gets round to it."""
        self.type(b'AT+CIPSTART="TCP","127.0.0.1",%d\r\n' % port)
        self.until(b"CONNECT\r\n\r\nOK\r\n")

    def send(self, data, link=None, ms=200):
        """CIPSEND with its prompt checked; gives what came back after the payload."""
        prefix = b"" if link is None else b"%d," % link
        assert self.ask(b"AT+CIPSEND=%s%d" % (prefix, len(data)), 30) == b"\r\nOK\r\n> "
        self.type(data)
        self.wait(ms)
        return self.tx.take()

    def until(self, end, seconds=120):
        """Read until the output ends with `end`."""
        out = bytearray()
        deadline = self.clock.now + seconds * SECOND
        while not out.endswith(end):
            assert self.clock.run_until(lambda: self.tx.arrival(1) is not None, deadline), bytes(out[-80:])
            self.clock.advance_to(self.tx.arrival(1))
            out += self.tx.take()
        return bytes(out)


def frames(stream):
    """Split active output into ([(link, payload)], the rest after the last frame)."""
    found = []
    at = 0
    while match := FRAME.match(stream, at):
        size = int(match[2])
        link = None if match[1] is None else int(match[1])
        found.append((link, stream[match.end() : match.end() + size]))
        assert len(found[-1][1]) == size
        at = match.end() + size
    return found, stream[at:]


@pytest.fixture
def bench():
    """Factory of benches; their sockets are closed afterwards."""
    made = []

    def make(*args, **kwargs):
        made.append(Bench(*args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.modem.enable(False)
        each.network.close()
        assert each.network.open_links == 0


@pytest.fixture
def server():
    """The scripted server class."""
    return Server


@pytest.fixture
def split_frames():
    """The frame splitter."""
    return frames
