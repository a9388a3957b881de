"""Parts that a snapshot keeps: what they give is what makes another one like them."""

from __future__ import annotations

import pytest

from virtualboard.board import Board, BoardConfig


@pytest.fixture
def boards(tmp_path):
    made = [Board(BoardConfig(card=str(tmp_path))) for _ in range(2)]
    yield made
    for board in made:
        board.power_off()


def test_a_panel_goes_on_within_its_command(boards):
    first, second = (board.panel for board in boards)
    first.reset(True)
    for command, parameters in ((0x11, b""), (0x29, b""), (0x3A, b"\x55"), (0x36, b"\xa0"), (0x2C, b"\xf8\x00\x07")):
        first.command(command)
        first.data(parameters)
    second.restore(first.state())
    second.memory = first.memory
    for panel in (first, second):
        panel.data(b"\xe0")
    assert second.memory == first.memory
    assert [second.image().getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (0, 255, 0)]
    with pytest.raises(ValueError, match="has 153600 bytes, not 2"):
        second.memory = b"ab"


def test_a_flash_keeps_its_write_enable(boards):
    first, second = (board.flash for board in boards)
    first.transfer(0x06)
    second.restore(first.state())
    second.transfer(0x02, 0, b"\x00")
    assert second.data[0] == 0 and first.idle and not second.idle


def test_a_camera_keeps_its_registers(boards):
    first, second = (board.camera for board in boards)
    first.sccb_write(0xFF, 1)
    first.sccb_write(0x04, 0x40)
    second.restore(first.state())
    assert second.sccb_read(0x04) == 0x40


def test_the_state_of_another_part_is_refused_and_changes_nothing(boards):
    panel, flash = boards[0].panel, boards[0].flash
    before = dict(panel.state())
    for state in (flash.state(), {**before, "reset": 1}, {"asleep": False}):
        with pytest.raises(ValueError, match="Panel keeps asleep"):
            panel.restore(state)
    assert panel.state() == before


def test_a_card_that_changed_meanwhile_is_as_just_put_in(boards, tmp_path):
    first, second = (board.card.spi for board in boards)
    assert first.state() is None and first.idle
    first.select(True)
    for command in ("400000000095", "48000001aa87", "7700000000ff", "6940000000ff", "7700000000ff", "6940000000ff"):
        first.exchange(b"\xff" + bytes.fromhex(command) + b"\xff" * 8)
    first.select(False)
    kept = first.state()
    assert kept is not None
    assert second.restore(kept) and second.state() == kept
    (tmp_path / "new.txt").write_text("x")
    third = Board(BoardConfig(card=str(tmp_path)))
    assert not third.card.spi.restore(kept) and third.card.spi.state() is None
    third.power_off()
