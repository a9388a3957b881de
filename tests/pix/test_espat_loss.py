"""Every byte of a session lost or doubled, either way: the right bytes or an error, and never a wrong trusted prefix.

One board serves all sessions of a test, so each one also shows that the driver came back from the one before.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rig.modem_bench import SERVER, Bench, Once

BODY = random.Random(7).randbytes(100)
FRAME = 34
# no-modem: a burst that eats every answer for two seconds; the next connect starts the module again.
CODES = {"no-modem", "ok", "bytes-lost", "send-failed", "link-lost", "connect-timeout", "refused"}


class Sessions:
    """Fetches of BODY over one board; `run` spoils one and tells how it ended."""

    def __init__(self, profile):
        self.bench = Bench(profile)
        self.modem = self.bench.bring_up(recover=True)
        self.bench.modem.frame_limit = FRAME
        self.heard = []
        self.bench.serve(80, self._script)

    def _script(self):
        self.heard = []
        return Once(BODY, heard=self.heard)

    def run(self, lane_name="to_chip", first=None, count=1, change="drop", to_the_end=True):
        """Returns (code or "ok", bytes read, trusted, bytes of the session on the lane)."""
        lane = getattr(self.bench, lane_name)
        base = lane.delivered

        def mangle(index, byte):
            if first is None or not base + first <= index < base + first + count:
                return bytes((byte,))
            return {"drop": b"", "double": bytes((byte, byte)), "flip": bytes((byte ^ 0x10,))}[change]

        lane.mangle = mangle
        out = bytearray()
        view = memoryview(bytearray(100))
        link = None
        code = "ok"
        try:
            link = self.modem.connect(SERVER, 80, timeout_ms=8000)
            link.timeout_ms = 5000
            link.write(b"GET / HTTP/1.0\r\n\r\n")
            while to_the_end or len(out) < len(BODY):
                got = link.readinto(view if to_the_end else view[: len(BODY) - len(out)])
                if not got:
                    break
                out += view[:got]
            if not to_the_end and len(out) == len(BODY):
                link.prove()
        except self.bench.PixError as error:
            code = error.code
        trusted = link.trusted if link else 0
        if link:
            link.close()
        lane.mangle = None
        return code, bytes(out), trusted, lane.delivered - base

    def check(self, *args, **kwargs):
        code, out, trusted, _ = self.run(*args, **kwargs)
        assert code in CODES, (code, args)
        assert trusted <= len(out)
        assert BODY.startswith(out[:trusted]), (code, trusted, args)
        if code == "ok" and len(out) == len(BODY):
            assert out == BODY, args
        elif code == "ok":
            # A body that ends early in good order: HTTP compares the length. It must still be all right so far.
            assert BODY.startswith(out), args
        return code


@pytest.fixture(scope="module", params=["1.1", "1.7.4"])
def sessions(request):
    made = Sessions(request.param)
    yield made
    made.bench.close()


def whole(sessions, lane, to_the_end=True):
    code, out, trusted, length = sessions.run(lane, to_the_end=to_the_end)
    assert (code, out, trusted) == ("ok", BODY, len(BODY))
    return length


@pytest.mark.parametrize("change", ["drop", "double"])
def test_every_byte_from_the_module(sessions, change):
    length = whole(sessions, "to_chip", to_the_end=change == "drop")
    assert length > len(BODY) + 3 * 12
    codes = [sessions.check("to_chip", first, change=change, to_the_end=change == "drop") for first in range(length)]
    assert codes.count("bytes-lost") > len(BODY), "every byte of the body that is missing or doubled must be noticed"
    whole(sessions, "to_chip")


@pytest.mark.parametrize("change", ["drop", "double", "flip"])
def test_every_byte_to_the_module(sessions, change):
    length = whole(sessions, "to_modem")
    codes = []
    for first in range(length):
        codes.append(sessions.check("to_modem", first, change=change))
        if codes[-1] == "ok" and change != "flip":
            assert b"".join(sessions.heard) == b"GET / HTTP/1.0\r\n\r\n", first
    assert codes.count("ok") > 0
    whole(sessions, "to_modem")


@given(st.integers(0, 600), st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_bursts(sessions, first, count):
    sessions.check("to_chip", first, count)


@given(st.integers(0, 60), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_damage_while_connecting_and_sending(sessions, first, count):
    sessions.check("to_chip", first, count, change="flip")
