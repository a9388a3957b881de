"""The host's end of the console: everybody hears everything."""

from __future__ import annotations

import pytest

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import SECOND
from virtualboard.host.console import ConsoleLine, ConsoleLog


def test_a_second_end_of_the_same_cable_is_refused_and_the_first_goes_on_hearing():
    board = Board(BoardConfig())
    first = ConsoleLog(board)
    with pytest.raises(ValueError, match="has its host's end already"):
        ConsoleLine(board)
    board.console_tx.write(b"heard")
    board.clock.advance(SECOND)
    assert first.text == "heard"
    board.power_off()


def test_several_listen_at_one_end():
    board = Board(BoardConfig())
    line = ConsoleLine(board)
    heard = [bytearray() for _ in range(3)]
    for each in heard:
        line.listen(lambda _when, data, each=each: each.extend(data))
    board.console_tx.write(b"all")
    board.clock.advance(SECOND)
    assert heard == [b"all"] * 3
    board.power_off()
