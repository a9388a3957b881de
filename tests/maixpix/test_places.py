"""maixpix.board.places: files behind a serial line that changes what goes over it."""

import binascii
import contextlib
import hashlib
import io
import sys
import types
import zlib

import pytest

from maixpix.board.link import BoardError
from maixpix.board.places import BoardPlace
from maixpix.errors import UserError

PATH = "maixpix/a/ready"
DATA = bytes(range(256)) * 2


class Line:
    """A link to this process. `way_in` and `way_out` change what goes over it."""

    def __init__(self):
        self.prepared = set()
        self.names = {}
        self.way_in = self.way_out = lambda text: text

    def run(self, code, timeout_s=10):
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                exec(self.way_in(code), self.names)
        except Exception as error:  # noqa: BLE001 - whatever the damaged code raises
            raise BoardError(repr(error), repr(error)) from None
        return self.way_out(said.getvalue().replace("\n", "\r\n"))


@pytest.fixture
def line(monkeypatch):
    def crc32(data, before=0):
        return zlib.crc32(data.encode() if isinstance(data, str) else data, before)

    parts = {"hexlify": binascii.hexlify, "a2b_base64": binascii.a2b_base64, "b2a_base64": binascii.b2a_base64}
    uos = types.SimpleNamespace(stat=lambda path: (0,) * 6 + (len(DATA),), remove=lambda path: None)
    monkeypatch.setitem(sys.modules, "uos", uos)
    monkeypatch.setitem(sys.modules, "ubinascii", types.SimpleNamespace(crc32=crc32, **parts))
    monkeypatch.setitem(sys.modules, "uhashlib", hashlib)
    return Line()


def damages(text):
    """`text` with each letter flipped in a bit, doubled and lost."""
    for at, letter in enumerate(text):
        for other in (chr(ord(letter) ^ 1), chr(ord(letter) ^ 4), chr(ord(letter) ^ 64), letter * 2, ""):
            yield text[:at] + other + text[at + 1 :]


def test_a_command_is_run_as_it_was_sent_or_not_at_all(line):
    place = BoardPlace(line, "/sd")
    removed, sent = [], []
    line.names["_d"] = removed.append
    line.way_in = lambda code: sent.append(code) or code
    place.remove(PATH)
    refused = 0
    for code in damages(sent[0]):
        line.way_in = lambda _, code=code: code
        with contextlib.suppress(UserError):
            place.remove(PATH)
            refused -= 1
        refused += 1
    assert {*removed} == {f"/sd/{PATH}"} and refused > len(sent[0])


def test_what_the_board_tells_comes_as_it_is_or_not_at_all(line):
    place = BoardPlace(line, "/sd")
    line.names["open"] = lambda path, mode: io.BytesIO(DATA)
    answers = []
    line.way_out = lambda text: answers.append(text) or text
    assert place.read(PATH) == DATA
    for told in answers:
        for text in damages(told):
            line.way_out = lambda answer, text=text, told=told: text if answer == told else answer
            with contextlib.suppress(UserError):
                assert place.read(PATH) == DATA


def test_what_came_damaged_is_asked_for_again(line):
    place = BoardPlace(line, "/sd")
    line.names["open"] = lambda path, mode: io.BytesIO(DATA)
    asked = []
    line.way_out = lambda text: asked.append(text) or (text if len(asked) > 2 else text.replace("A", "B"))
    assert place.read(PATH) == DATA


def test_what_the_firmware_prints_in_between_is_not_the_answer(line):
    place = BoardPlace(line, "/flash")
    line.names["open"] = lambda path, mode: io.BytesIO(DATA)
    line.way_out = lambda text: "[MaixPy]:SPIFFS Error Code -10002\r\n" + text
    assert place.read(PATH) == DATA
