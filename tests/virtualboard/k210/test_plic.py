"""PLIC by the accesses of the SDK's plic.c: plic_init, plic_set_priority, plic_irq_enable, handle_irq_m_ext."""

from __future__ import annotations

import logging

import pytest

from rig.registers import claim, complete, enable_interrupt, pending
from virtualboard.k210.soc import Soc

FIRST, SECOND, LAST = 11, 12, 64


def test_claims_by_priority_then_number_and_until_completed(soc: Soc) -> None:
    for source, priority in ((SECOND, 1), (FIRST, 1), (LAST, 7)):
        enable_interrupt(soc, source, priority)
        soc.plic.set_level(source, True)
    assert pending(soc)
    assert [claim(soc) for _ in range(4)] == [LAST, FIRST, SECOND, 0]
    assert not pending(soc)  # all are in service
    complete(soc, FIRST)
    assert claim(soc) == FIRST  # its line is still high
    soc.plic.set_level(FIRST, False)
    complete(soc, FIRST)
    assert claim(soc) == 0


def test_a_pulse_asks_once(soc: Soc) -> None:
    enable_interrupt(soc, FIRST)
    soc.plic.pulse(FIRST)
    assert claim(soc) == FIRST
    complete(soc, FIRST)
    assert claim(soc) == 0


def test_priority_zero_and_the_threshold_hold_back(soc: Soc) -> None:
    enable_interrupt(soc, FIRST, 0)
    soc.plic.set_level(FIRST, True)
    assert not pending(soc)
    soc.plic.write(4 * FIRST, 3)
    assert pending(soc)
    soc.plic.write(0x20_0000, 3)
    assert not pending(soc)
    soc.plic.write(0x20_0000, 2)
    assert pending(soc)


def test_cores_have_enables_and_claims_of_their_own(soc: Soc) -> None:
    soc.plic.write(4 * LAST, 1)
    soc.plic.write(0x2100 + 8, 1)  # core 1, third word of enables
    soc.plic.set_level(LAST, True)
    assert [bool(core.mip) for core in soc.cores] == [False, True]
    assert claim(soc) == 0
    assert soc.plic.read(0x20_2004) == LAST


def test_init_leaves_nothing_enabled(soc: Soc) -> None:
    enable_interrupt(soc, FIRST)
    soc.plic.set_level(FIRST, True)
    for word in range(3):
        soc.plic.write(0x2000 + 4 * word, 0)
    for source in range(65):
        soc.plic.write(4 * source, 0)
    assert [soc.plic.read(0x2000 + 4 * word) for word in range(3)] == [0, 0, 0]
    assert soc.plic.read(0x1000) == 1 << FIRST  # the line is still high
    assert not pending(soc)


@pytest.mark.parametrize("offset", [0x104, 0xFFC, 0x100C, 0x200C, 0x2200, 0x20_0008, 0x20_4004])
def test_unknown_registers_warn_once(soc: Soc, caplog: pytest.LogCaptureFixture, offset: int) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            soc.plic.write(offset, 5)
            assert soc.plic.read(offset) == 0
    assert len(caplog.records) == 1
    assert f"plic has no register at {offset:#x} (address {0x0C00_0000 + offset:#x})" in caplog.text
    assert soc.plic.enables == [0, 0]


def test_each_block_and_address_warns_for_itself(soc: Soc, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for device in (soc.timers[0], soc.timers[1], soc.plic):
            for offset in (0xB00, 0xB04, 0xB00):
                device.read(offset)
    assert [record.getMessage().split()[0] for record in caplog.records] == [
        "timer0", "timer0", "timer1", "timer1", "plic", "plic",
    ]  # fmt: skip
