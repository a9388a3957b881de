"""What docs/k210.md says in the board's own time: no figure here depends on the machine that runs the test."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import SECOND
from virtualboard.k210.engine import K210Engine
from virtualboard.network import Script

pytestmark = pytest.mark.firmware

SIZE, BAUD = 230_000, 1_000_000
BODY = random.Random(11).randbytes(SIZE)
FETCH = """
import sys, utime
sys.path.append("/sd")
from pix import config, fetch, wifi
modem = wifi.bring_up(config.load())
start = utime.ticks_us()
done = fetch.fetch(modem, "http://10.1.2.3/body", "/sd/got.bin")
print("took", utime.ticks_diff(utime.ticks_us(), start), done.bytes)
"""


class Server(Script):
    """Answers at once and closes."""

    def received(self, data: bytes) -> None:
        if b"\r\n\r\n" in data:
            self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE + BODY)
            self.finish()


def test_the_first_prompt_of_a_blank_board(firmware: Path, tmp_path: Path) -> None:
    board = Board(BoardConfig(card=str(tmp_path)))
    engine = K210Engine(board, firmware)
    engine.boot()
    engine.console.wait_for_prompt(60 * SECOND)
    assert board.clock.now < 2.5 * SECOND
    code = "import utime\na = utime.ticks_us(); utime.sleep_ms(500); print(utime.ticks_diff(utime.ticks_us(), a))"
    assert abs(int(engine.repl(code)) - 500_000) <= 1000
    board.power_off()


def test_share_of_the_line_rate(
    boot: Callable[..., K210Engine], board_card: Callable[[Path], Path], tmp_path: Path
) -> None:
    """AT 1.1, 1 Mbaud, connect and request included."""
    card = board_card(tmp_path / "card")
    (card / "pix.json").write_text(json.dumps({"wifi": [["home", "correct horse"]], "baud": BAUD}))
    engine = boot(BoardConfig(card=str(card), at="1.1"))
    engine.board.network.attach("10.1.2.3", 80, Server)
    said = engine.repl(FETCH, 120 * SECOND)
    engine.board.card.flush()
    assert (card / "got.bin").read_bytes() == BODY
    took_us, size = map(int, said[said.index("took") :].split()[1:3])
    assert size == SIZE
    assert 10 * 1_000_000 * SIZE / BAUD / took_us >= 0.97
    assert engine.soc.uarts[1].receiver.lost == 0


def test_probing_for_an_absent_card_stays_cheap(firmware: Path) -> None:
    """Core 1 asks an empty slot byte by byte, 3 x 65535 times: few accesses a byte, and no slice for each."""
    board = Board(BoardConfig())
    engine = K210Engine(board, firmware)
    spi, clocked, accesses = engine.soc.spis[1], [0], [0]
    read, write, exchange = spi.read, spi.write, board.card.spi.exchange

    def counted_read(offset: int) -> int:
        accesses[0] += 1
        return read(offset)

    def counted_write(offset: int, value: int) -> None:
        accesses[0] += 1
        write(offset, value)

    def counted_exchange(data: bytes) -> bytes:
        clocked[0] += len(data)
        return exchange(data)

    spi.read, spi.write, board.card.spi.exchange = counted_read, counted_write, counted_exchange
    engine.boot()
    engine.console.wait_for_prompt(60 * SECOND)
    engine.run(timeout_ns=SECOND // 2)
    clocked[0] = accesses[0] = 0
    slices = engine.slices
    engine.run(timeout_ns=SECOND // 5)
    assert clocked[0] > 1000  # still at it
    assert accesses[0] <= 12 * clocked[0]
    assert engine.slices - slices < clocked[0] // 10
    board.power_off()
