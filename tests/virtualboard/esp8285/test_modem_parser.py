"""The parser of commands, and that no bytes whatever break the receiver."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtualboard.clock import Clock
from virtualboard.esp8285 import PROFILES, AccessPoint, Air, Modem
from virtualboard.esp8285.parser import Arguments, BadArgument, Command, split_command
from virtualboard.network import Network
from virtualboard.wire import Lane


def quoted(text):
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"\r", Command(b"", "execute", b"")),
        (b"E0\r", Command(b"E", "setup", b"0\r")),
        (b"+GMR\r", Command(b"+GMR", "execute", b"")),
        (b"+CIPSTA_CUR?\r", Command(b"+CIPSTA_CUR", "query", b"")),
        (b"+CWMODE=?\r", Command(b"+CWMODE", "test", b"")),
        (b"+CWMODE=1\r", Command(b"+CWMODE", "setup", b"1\r")),
        (b"+GMR", None),
        (b"+GMR1\r", None),
        (b"+GMR?x\r", None),
    ],
)
def test_split(line, command):
    assert split_command(line) == command


@given(st.binary(max_size=64).filter(lambda text: b"\r" not in text))
def test_strings_survive_quoting(text):
    args = Arguments(quoted(text) + b",7\r")
    assert args.string(64) == text
    args.comma()
    assert args.number() == 7
    args.end()


@pytest.mark.parametrize("text", [b'"a\r', b"a\r", b'"a"b\r', b'"', b'"a\\', b"", b'"' + b"x" * 65 + b'"\r'])
def test_bad_strings(text):
    with pytest.raises(BadArgument):
        Arguments(text).string(64)


@pytest.mark.parametrize("text", [b"\r", b"12345678901\r", b"-1\r", b"1x\r", b"1"])
def test_bad_numbers(text):
    with pytest.raises(BadArgument):
        Arguments(text).number()


WORDS = st.sampled_from(
    [
        b"AT",
        b"at",
        b"\r\n",
        b"\n",
        b"+CIPSEND=",
        b"+CIPSTART=",
        b"5",
        b",",
        b'"',
        b"\\",
        b"TCP",
        b"?",
        b"=",
        b"+++",
        b"E0",
        b"+CWJAP=",
        b"+CIPRECVDATA=",
        b"+CIPMUX=1",
        b"+CIPCLOSE",
        b"+RST",
        b"+CWLAP",
        b"+UART_CUR=",
    ]
)


@settings(max_examples=150)
@given(
    profile=st.sampled_from(sorted(PROFILES)),
    pieces=st.lists(st.tuples(st.one_of(WORDS, st.binary(max_size=40)), st.integers(0, 3_000_000)), max_size=40),
)
def test_no_bytes_break_the_receiver(profile, pieces):
    clock = Clock()
    rx, tx = Lane(clock, "to_modem"), Lane(clock, "to_chip")
    network = Network(clock)
    modem = Modem(clock, rx, tx, Air([AccessPoint("home", "x")]), network, profile)
    modem.enable(True)
    clock.advance(600_000_000)
    for data, pause in pieces:
        rx.write(data)
        clock.advance(pause)
    clock.advance(20_000_000_000)  # whatever runs comes to its end
    tx.take()
    rx.tx_baud, tx.rx_baud = rx.rx_baud, tx.tx_baud
    for line in (b"\r\n", b"ATE0\r\n"):
        rx.write(line)
        clock.advance(20_000_000_000)
    tx.take()
    rx.write(b"AT\r\n")
    clock.advance(100_000_000)
    answer = tx.take()
    modem.enable(False)
    network.close()
    assert answer == b"\r\nOK\r\n"


@settings(max_examples=60)
@given(line=st.binary(max_size=120).filter(lambda line: b"\n" not in line), profile=st.sampled_from(sorted(PROFILES)))
def test_every_line_after_at_gets_one_final_answer(line, profile):
    clock = Clock()
    rx, tx = Lane(clock, "to_modem"), Lane(clock, "to_chip")
    modem = Modem(clock, rx, tx, Air(), Network(clock), profile)
    modem.enable(True)
    clock.advance(600_000_000)
    rx.write(b"ATE0\r\n")
    clock.advance(100_000_000)
    tx.take()
    rx.write(b"AT+X" + line + b"\r\n")
    clock.advance(100_000_000)
    assert tx.take() == b"\r\nERROR\r\n"
