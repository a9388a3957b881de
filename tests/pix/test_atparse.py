"""The tokenizer alone: any split gives the same events, damage never passes for an item."""

import builtins
import types
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

PIX = Path(__file__).resolve().parents[2] / "firmware" / "pix"


def _load(name):
    """A module of pix without I/O, and those that it imports."""
    module = types.ModuleType(name)
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _find}
    source = PIX / f"{name}.py"
    exec(compile(source.read_text(encoding="utf-8"), str(source), "exec"), module.__dict__)
    return module


def _find(name, *args):
    return types.SimpleNamespace(const=lambda value: value) if name == "micropython" else _load(name[4:])


at, lines, versions = _load("atparse"), _load("atline"), _load("atvers")
NAMES = {at.LINE: "line", at.PROMPT: "prompt", at.FRAME: "frame", at.DATA: "data", at.WAITING: "waiting"}


def events(stream, splits=(), strict=False, read_by_hint=False):
    """Events of `stream`, payload bytes in place; fed in pieces cut at `splits`, or as the driver reads."""
    tok = at.Tokenizer()
    tok.strict = strict
    out = []
    ends = [*sorted(s for s in splits if s < len(stream)), len(stream)]
    at_byte = 0
    while at_byte < len(stream):
        end = min(at_byte + tok.hint(), len(stream)) if read_by_hint else next(e for e in ends if e > at_byte)
        if tok.remaining:
            if read_by_hint:
                end = min(at_byte + tok.remaining, len(stream))
            count = min(tok.remaining, end - at_byte)
            piece = stream[at_byte : at_byte + count]
            if out and out[-1][0] == "payload" and not out[-1][2]:
                out[-1] = ("payload", out[-1][1] + piece, tok.remaining == count)
            else:
                out.append(("payload", piece, tok.remaining == count))
            tok.took(count)
            at_byte += count
            continue
        used = tok.feed(stream, at_byte, end)
        if read_by_hint and tok.event in (at.FRAME, at.DATA):
            assert used == end, "the hint ran into a payload"
        at_byte = used
        if tok.event == at.DAMAGED:
            out.append(("damaged",))
            break
        if tok.event == at.LINE:
            out.append(("line", tok.line))
        elif tok.event == at.PROMPT:
            out.append(("prompt",))
        elif tok.event:
            out.append((NAMES[tok.event], tok.link if tok.event != at.DATA else 0, tok.length))
    return out, tok


SESSION = (
    b"4,CONNECT\r\n\r\nOK\r\n\r\nOK\r\n> \r\nRecv 18 bytes\r\n\r\nSEND OK\r\n"
    b"\r\n+IPD,4,21:\r\nOK\r\n+IPD,4,5:CLOSED"
    b"\r\n+IPD,3,1:xWIFI DISCONNECT\r\n3,CLOSED\r\n"
    b"\r\n+IPD,4,6:\x00\r\n> \xff4,CLOSED\r\n"
)
SESSION_EVENTS = [
    ("line", b"4,CONNECT"),
    ("line", b"OK"),
    ("line", b"OK"),
    ("prompt",),
    ("line", b"Recv 18 bytes"),
    ("line", b"SEND OK"),
    ("frame", 4, 21),
    ("payload", b"\r\nOK\r\n+IPD,4,5:CLOSED", True),
    ("frame", 3, 1),
    ("payload", b"x", True),
    ("line", b"WIFI DISCONNECT"),
    ("line", b"3,CLOSED"),
    ("frame", 4, 6),
    ("payload", b"\x00\r\n> \xff", True),
    ("line", b"4,CLOSED"),
]

PASSIVE = (
    b"\r\n+IPD,4,1460\r\n\r\n+IPD,4,2920\r\n"
    b"\r\n+CIPRECVDATA,7:\r\n+IPD,\r\nOK\r\n"
    b"\r\n+IPD,4,952\r\n4,CLOSED\r\n\r\nERROR\r\n+CIPRECVLEN:0,0,0,0,12\r\n\r\nOK\r\n"
)
PASSIVE_EVENTS = [
    ("waiting", 4, 1460),
    ("waiting", 4, 2920),
    ("data", 0, 7),
    ("payload", b"\r\n+IPD,", True),
    ("line", b"OK"),
    ("waiting", 4, 952),
    ("line", b"4,CLOSED"),
    ("line", b"ERROR"),
    ("line", b"+CIPRECVLEN:0,0,0,0,12"),
    ("line", b"OK"),
]


@pytest.mark.parametrize(("stream", "expected"), [(SESSION, SESSION_EVENTS), (PASSIVE, PASSIVE_EVENTS)])
@pytest.mark.parametrize("strict", [False, True])
def test_every_single_split(stream, expected, strict):
    assert events(stream, strict=strict)[0] == expected
    for split in range(1, len(stream)):
        assert events(stream, (split,), strict)[0] == expected
    assert events(stream, range(len(stream)), strict)[0] == expected


@pytest.mark.parametrize(("stream", "expected"), [(SESSION, SESSION_EVENTS), (PASSIVE, PASSIVE_EVENTS)])
def test_reading_by_the_hint_never_runs_into_a_payload(stream, expected):
    assert events(stream, strict=True, read_by_hint=True)[0] == expected


PAYLOAD = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.sampled_from(
        [b"OK\r\n", b"\r\n+IPD,4,5:", b"CLOSED\r\n", b"> ", b"\r\nready\r\n", b"+++", b"\x00" * 9, b"\r", b"\n"]
    ),
)
ITEM = st.one_of(
    st.tuples(st.just("frame"), st.integers(0, 4), PAYLOAD),
    st.tuples(st.just("data"), st.just(0), PAYLOAD),
    st.tuples(st.just("waiting"), st.integers(0, 4), st.integers(1, 2920)),
    st.just(("prompt",)),
    st.sampled_from([b"OK", b"ERROR", b"SEND OK", b"busy p...", b"busy s...", b"Recv 5 bytes", b"4,12,SEND OK"]).map(
        lambda text: ("led", text)
    ),
    st.sampled_from(
        [b"0,CLOSED", b"4,CONNECT", b"WIFI GOT IP", b"DHCP TIMEOUT", b"SEND FAIL", b"+CIPDOMAIN:10.0.0.1", b"12,11"]
    ).map(lambda text: ("bare", text)),
)


def printed(items):
    stream, expected = b"", []
    for item in items:
        if item[0] == "frame":
            stream += b"\r\n+IPD,%d,%d:" % (item[1], len(item[2])) + item[2]
            expected += [("frame", item[1], len(item[2])), ("payload", item[2], True)]
        elif item[0] == "data":
            stream += b"\r\n+CIPRECVDATA,%d:" % len(item[2]) + item[2]
            expected += [("data", 0, len(item[2])), ("payload", item[2], True)]
        elif item[0] == "waiting":
            stream += b"\r\n+IPD,%d,%d\r\n" % item[1:]
            expected.append(item)
        elif item[0] == "prompt":
            stream += b"> "
            expected.append(item)
        else:
            stream += (b"\r\n" if item[0] == "led" else b"") + item[1] + b"\r\n"
            expected.append(("line", item[1]))
    return stream, expected


@given(st.lists(ITEM, max_size=12), st.lists(st.integers(0, 600), max_size=8))
@settings(max_examples=200)
def test_any_items_in_any_split(items, splits):
    stream, expected = printed(items)
    for strict in (False, True):
        assert events(stream, splits, strict)[0] == expected
    assert events(stream, strict=True, read_by_hint=True)[0] == expected


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5), st.booleans())
@settings(max_examples=200)
def test_noise_never_breaks_it(noise, splits, strict):
    found, tok = events(noise, splits, strict)
    assert 0 <= tok.remaining <= 8192
    assert found == events(noise, range(len(noise)), strict)[0]


BODY = bytes(range(128, 188))  # holds nothing that looks like an item
FRAMES = b"".join(b"\r\n+IPD,4,20:" + BODY[i : i + 20] for i in (0, 20, 40)) + b"4,CLOSED\r\n"


@pytest.mark.parametrize("change", ["drop", "double"])
@pytest.mark.parametrize("position", range(len(FRAMES)))
def test_one_byte_more_or_less_is_noticed_or_harmless(change, position):
    byte = FRAMES[position : position + 1]
    stream = FRAMES[:position] + (b"" if change == "drop" else byte * 2) + FRAMES[position + 1 :]
    found, tok = events(stream, strict=True)
    proven = b""
    for index, event in enumerate(found[:-1]):
        if event[0] == "payload" and event[2] and found[index + 1][0] != "damaged":
            proven += event[1]
    assert BODY.startswith(proven)
    whole = found[-1] == ("line", b"4,CLOSED")
    assert whole <= (proven == BODY)
    assert whole or found[-1] == ("damaged",) or tok.partial()


@pytest.mark.parametrize("style", [b"AT+GMR\r\n", b"AT+GMR\r\r\n"])
def test_echo_of_either_kind_is_a_line(style):
    stream = style + b"AT version:1.1.0.0(x)\r\nSDK version:1.5.4\r\ncompile time:y\r\nOK\r\n"
    lines = [event[1] for event in events(stream)[0]]
    assert lines == [b"AT+GMR", b"AT version:1.1.0.0(x)", b"SDK version:1.5.4", b"compile time:y", b"OK"]


def test_boot_noise_does_not_hide_ready():
    noise = bytes(range(256)).replace(b"\n", b"").replace(b":", b"") * 3
    found, _ = events(noise + b"\r\n\r\nready\r\n")
    assert found[-1] == ("line", b"ready")


def test_a_long_line_is_cut_without_strictness_and_damage_with():
    stream = b"+CWLAP:" + b"x" * 400 + b"\r\n\r\nOK\r\n"
    found, _ = events(stream)
    assert found == [("line", stream[:256]), ("line", b"OK")]
    assert events(stream, strict=True)[0] == [("damaged",)]


@pytest.mark.parametrize("prompt", [b"> ", b">"])
def test_prompt_of_both_generations(prompt):
    assert events(b"\r\nOK\r\n" + prompt + b"\r\nRecv 3 bytes\r\n", strict=True)[0] == [
        ("line", b"OK"),
        ("prompt",),
        ("line", b"Recv 3 bytes"),
    ]


@pytest.mark.parametrize(
    "header",
    [
        b"+IPD,4,5:",  # no CR LF in front
        b"\r\n+IPD,5,5:",
        b"\r\n+IPD,,5:",
        b"\r\n+IPD,4,:",
        b"\r\n+IPD,4,05:",
        b"\r\n+IPD,44,5:",
        b"\r\n+IPD,4,99999:",
        b"\r\n+IPD,4,0:",
        b"\r\n+CIPRECVDATA,:",
        b"\r\n+CIPRECVDATA,4,5:",
        b"\r\n\r\n+IPD,4,5:",
    ],
)
def test_malformed_headers_are_damage(header):
    found, tok = events(header + b"hello\r\n", strict=True)
    assert found == [("damaged",)]
    assert tok.remaining == 0


@pytest.mark.parametrize(
    "line", [b"CLOSED", b"0,CLOSE", b"5,CLOSED", b"OK", b"Recv x bytes", b"hello", b"SEND O", b","]
)
def test_what_is_no_item_behind_a_payload_is_damage(line):
    found, _ = events(b"\r\n+IPD,4,2:hi" + line + b"\r\n")
    assert found == [("frame", 4, 2), ("payload", b"hi", True), ("damaged",)]


def test_the_longest_legal_lines_are_well_formed():
    assert lines.well_formed(b'+CIPSTATUS:4,"TCP","255.255.255.255",65535,65535,0', 0)
    assert not lines.well_formed(b'+CIPSTATUS:4,"TCP"', 1)


@pytest.mark.parametrize("byte", [0x00, 0x1F, 0x7F, 0x80, 0xB1, 0xFF])
@pytest.mark.parametrize("line", [b"+CIPDOMAIN:10.0.0.1", b'+CIPSTATUS:4,"TCP"', b'+CIPSTA_CUR:ip:"10.0.0.1"'])
def test_only_names_of_networks_hold_any_byte(line, byte):
    assert lines.well_formed(line, 0)
    assert not lines.well_formed(line[:14] + bytes((byte,)) + line[15:], 0)
    assert lines.well_formed(b'+CWLAP:(4,"caf' + bytes((byte,)) + b'",-50,"3c:84:6a:00:00:01",6)', 0)


def test_lines_that_were_cut_are_not_well_formed():
    whole = b'+CIPSTATUS:4,"TCP","192.168.4.2",80,1234,0'
    assert [lines.well_formed(whole[:end], 0) for end in range(11, 14)] == [False, False, True]
    assert not lines.well_formed(b'+CIPSTATUS:7,"TCP"', 0)
    assert [lines.well_formed(b"+CIPDOMAIN:10.0.0.1"[:end], 0) for end in range(11, 20)] == [False] * 8 + [True]


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_whatever_a_line_holds_it_tells_something(junk):
    for line in (junk, b"+CIPSTATUS:" + junk, b"+CWLAP:(" + junk, b'+CIPSTA_CUR:ip:"' + junk, b"AT version:" + junk):
        assert lines.open_link(line) in (-1, 0, 1, 2, 3, 4)
        assert isinstance(lines.address(line), str)
        assert isinstance(lines.station_address(line), str)
        assert isinstance(lines.scanned_name(line), bytes)
        assert all(number >= 0 for number in versions.version(line))
        assert lines.number(line, 0, len(line)) >= -1
        if line:
            lines.well_formed(line, 0)
            lines.well_formed(line, 1)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (b"192.168.4.2", "192.168.4.2"),
        ("255.255.255.255", "255.255.255.255"),
        ("010.0.0.001", "010.0.0.001"),
        ("10.0.0", ""),
        ("10.0.0.256", ""),
        ("10.0..1", ""),
        ("1\u00b2.0.0.1", ""),
        (b"10.0.0.\xb1", ""),
        (b"", ""),
        ("pictures.lan", ""),
    ],
)
def test_addresses(text, address):
    assert lines.address(text) == address


def test_versions():
    assert versions.version(b"AT version:1.7.4.0(May 11 2020)\nSDK version:3.0.4") == (1, 7)
    assert versions.version(b"AT version:1.") == (0, 0)
    assert versions.version(b"1.7.4") == (0, 0)
    assert versions.version(b"AT version:1.\xb7.4.0") == (0, 0)
