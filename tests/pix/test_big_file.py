"""Megabytes in fixed memory, over good lines and bad ones: the right file or a named error, never a wrong file."""

import json
import random
import re

import pytest
from pix_servers import Origin

from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.hosted.launch import run_app

SCRIPT = """
import gc
from pix import config, fetch, wifi
from pix.errors import PixError
s = config.load()
gc.collect()
before = gc.mem_alloc()
try:
    modem = wifi.bring_up(s)
    r = fetch.fetch(modem, %r, "/sd/big.bin", retries=8)
    print("done", r.bytes, r.elapsed_ms, r.resumed, r.attempts, gc.mem_alloc() - before)
except PixError as e:
    print("error", e.code)
"""


@pytest.fixture
def fetch(tmp_path, board_card):
    card = board_card(tmp_path / "card")

    def run(content, at="1.1", baud=2_000_000, faults=(), seed=0, digest=False, timeout_s=110):
        (card / "pix.json").write_text(json.dumps({"wifi": [["home", "k"]], "baud": baud}))
        origin = Origin(content)
        origin.digest = digest
        try:
            board = BoardConfig(card=str(card), at=at, wifi=[WifiNetwork("home", "k")], faults=list(faults), seed=seed)
            return run_app(board, SCRIPT % origin.url("/big.bin"), timeout_s=timeout_s), card / "big.bin"
        finally:
            origin.close()

    return run


@pytest.mark.parametrize(("at", "size"), [("1.1", 3_000_000), ("1.7.4", 1_000_000)])
def test_megabytes_in_64_kib_of_buffers(fetch, at, size):
    content = random.Random(at).randbytes(size)
    result, file = fetch(content, at)
    assert f"done {size}" in result.console, result.console
    assert file.read_bytes() == content
    used = int(re.search(r"done .* (\d+)$", result.console, re.M)[1])
    assert used <= 64 * 1024


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_a_card_that_stalls_now_and_then(fetch, at):
    content = random.Random(1).randbytes(600_000)
    stall = {"when": {"ms": 1}, "do": "stall-card-every", "bytes": 100_000, "ms": 300}
    result, file = fetch(content, at, 1_000_000, [stall])
    assert file.read_bytes() == content, result.console
    assert re.search(r"done 600000 \d+ 0 1 ", result.console), result.console  # in one attempt: nothing was lost


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
            r"^error (bytes-lost|digest-mismatch|link-lost|timeout|no-modem|send-failed)", result.console, re.M
        ), result.console
