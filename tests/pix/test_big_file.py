"""Megabytes in fixed memory, over good lines and bad ones: the right file or a named error, never a wrong file."""

import json
import random
import re

import pytest

from rig.app_board import run
from rig.servers import Origin
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.hosted.heap import Heap
from virtualboard.launch import RUN_LIMIT_S, run_app

SCRIPT = """
import utime
from pix import config, fetch, wifi
from pix.errors import PixError
%s
s = config.load()
print("snap")
utime.sleep_ms(10)
try:
    modem = wifi.bring_up(s)
    print("snap")
    utime.sleep_ms(10)
    r = fetch.fetch(modem, %r, "/sd/big.bin", progress, retries=8)
    print("done", r.bytes, r.elapsed_ms, r.resumed, r.attempts)
except PixError as e:
    print("error", e.code)
"""


NOTHING = "progress = None"
GREEDY = """
def progress(done, total):
    bytearray(24 * 1024)  # gone at once
"""
RING = 49152 + 4096  # pix.RING, set aside before anything is measured, with what is added to it


@pytest.fixture
def fetch(tmp_path, board_card):
    card = board_card(tmp_path / "card")

    def start(content, at="1.1", baud=2_000_000, faults=(), seed=0, digest=False, timeout_s=RUN_LIMIT_S):
        (card / "pix.json").write_text(json.dumps({"wifi": [["home", "k"]], "baud": baud}))
        origin = Origin(content)
        origin.digest = digest
        try:
            board = BoardConfig(card=str(card), at=at, wifi=[WifiNetwork("home", "k")], faults=list(faults), seed=seed)
            script = SCRIPT % (NOTHING, origin.url("/big.bin"))
            return run_app(board, script, timeout_s=timeout_s), card / "big.bin"
        finally:
            origin.close()

    return start


class Live:
    """What is in use in the heap of the board in this process, garbage not counted; `peak` is the most of it since the
    last `begin`, beyond what was in use at the first."""

    def __init__(self, monkeypatch):
        self._heap = None
        self._most = 0
        self._start = None
        alloc = Heap.alloc

        def noted(heap, size):
            address = alloc(heap, size)
            self._heap = heap
            self._most = max(self._most, self._now())
            return address

        monkeypatch.setattr(Heap, "alloc", noted)

    def _now(self):
        return self._heap.used - sum(size for _, size in self._heap._garbage)

    def begin(self):
        self._most = self._now()
        if self._start is None:
            self._start = self._most

    @property
    def peak(self):
        return self._most - self._start


@pytest.fixture
def peak(tmp_path, board_card, monkeypatch):
    """peak(content, at, progress) -> (bytes of buffers, modem's included, at the worst moment of a fetch, the file)."""
    card = board_card(tmp_path / "card")
    (card / "pix.json").write_text(json.dumps({"wifi": [["home", "k"]], "baud": 2_000_000}))
    live = Live(monkeypatch)

    def start(content, at, progress):
        origin = Origin(content)
        try:
            board = BoardConfig(card=str(card), at=at, wifi=[WifiNetwork("home", "k")])
            outcome = run(board, SCRIPT % (progress, origin.url("/big.bin")), on_snap=live.begin)
        finally:
            origin.close()
        assert len(outcome.snaps) == 2 and f"done {len(content)}" in outcome.console, outcome.console
        return live.peak + RING, card / "big.bin"

    return start


@pytest.mark.parametrize(("at", "size"), [("1.1", 3_000_000), ("1.7.4", 1_000_000)])
def test_megabytes_in_64_kib_of_buffers(peak, at, size):
    content = random.Random(at).randbytes(size)
    used, file = peak(content, at, NOTHING)
    assert file.read_bytes() == content
    assert 48 * 1024 < used <= 64 * 1024


def test_a_buffer_that_is_gone_again_counts(peak):
    used, _ = peak(bytes(20_000), "1.1", GREEDY)
    assert used > (64 + 8) * 1024


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_a_card_that_stalls_now_and_then(fetch, at):
    content = random.Random(1).randbytes(600_000)
    stall = {"when": {"ms": 1}, "do": "stall-card-every", "bytes": 100_000, "ms": 300}
    result, file = fetch(content, at, 1_000_000, [stall])
    assert file.read_bytes() == content, result.console
    assert re.search(r"done 600000 \d+ 0 1$", result.console, re.M), result.console  # in one attempt: nothing was lost


TWICE = """
from pix import config, fetch, wifi
modem = wifi.bring_up(config.load())
for n in range(2):
    r = fetch.fetch(modem, %r, "/sd/big%%d.bin" %% n, retries=8)
    print("done", r.bytes, r.attempts, modem.passive, r.elapsed_ms)
"""


@pytest.mark.parametrize("baud", [2_000_000, 4_000_000])
def test_a_card_that_stalls_longer_than_the_ring_lasts(tmp_path, board_card, baud):
    """At these rates the ring lasts 0.25 and 0.12 s: the first stall is noticed and costs what was not proven, and from
    then on the module keeps what comes meanwhile."""
    card = board_card(tmp_path / "card")
    (card / "pix.json").write_text(json.dumps({"wifi": [["home", "k"]], "baud": baud}))
    content = random.Random(baud).randbytes(600_000)
    stall = {"when": {"ms": 1}, "do": "stall-card-every", "bytes": 100_000, "ms": 300}
    origin = Origin(content)
    try:
        board = BoardConfig(card=str(card), at="1.7.4", wifi=[WifiNetwork("home", "k")], faults=[stall])
        console = run_app(board, TWICE % origin.url("/big.bin"), timeout_s=RUN_LIMIT_S).console
    finally:
        origin.close()
    assert [(card / f"big{n}.bin").read_bytes() for n in range(2)] == [content] * 2, console
    assert re.findall(r"done 600000 (\d) (\w+)", console) == [("2", "True"), ("1", "True")], console


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("proof", ["framing", "digest"])
def test_a_line_that_spoils_bytes(fetch, at, seed, proof):
    """Lost bytes are found by counting; a changed one, or a loss made up by a doubling, only by a digest."""
    content = random.Random(seed).randbytes(100_000)
    kinds = ["drop"] if proof == "framing" else ["drop", "double", "flip"]
    faults = [{"when": {"lane": "to_chip", "chance": 2e-5}, "do": what} for what in kinds]
    result, file = fetch(content, at, 1_000_000, faults, seed, digest=proof == "digest")
    if file.exists():
        assert file.read_bytes() == content, result.console
        assert "done 100000" in result.console
    else:
        assert re.search(
            r"^error (bytes-lost|digest-mismatch|bad-head|link-lost|timeout|no-modem|send-failed)", result.console, re.M
        ), result.console
