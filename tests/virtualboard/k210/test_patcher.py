"""What the patcher replaces, and what it must leave alone."""

from __future__ import annotations

import struct

import pytest

from rig.asm import assemble
from virtualboard.k210.patcher import CsrWrite, Patcher, load_double, store_word


def words(code: bytes | bytearray) -> tuple[int, ...]:
    return struct.unpack(f"<{len(code) // 4}I", code)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("csrr a0, mcycle", load_double(10, -2048)),
        ("csrr t6, mhartid", load_double(31, 16)),
        ("csrr s0, mip", load_double(8, 8)),
        ("wfi", store_word(-2040)),
        ("mret", store_word(-2036)),
        ("csrs mstatus, a5", store_word(-2032)),
    ],
)
def test_replaces(line: str, expected: int) -> None:
    assert words(Patcher().patch(assemble(line))) == (expected,)


@pytest.mark.parametrize(
    "line", ["csrr a0, mcause", "csrw mtvec, a0", "ecall", "csrs mie, a0", "nop", "csrr a1, mstatus"]
)
def test_leaves(line: str) -> None:
    code = assemble(line)
    assert bytes(Patcher().patch(code)) == code


def test_load_encoding_is_what_the_assembler_makes() -> None:
    assert words(assemble("ld a3, 16(zero)")) == (load_double(13, 16),)
    assert words(assemble("sw zero, -2032(zero)")) == (store_word(-2032),)


def test_sites_are_numbered_by_kind_and_shared() -> None:
    patcher = Patcher()
    out = words(patcher.patch(assemble("csrs mstatus, a5\ncsrc mstatus, a5\ncsrs mstatus, a5\ncsrw mstatus, a0")))
    assert patcher.sites == [CsrWrite(2, 15), CsrWrite(3, 15), CsrWrite(1, 10)]
    assert out[0] == out[2] != out[1]
    assert patcher.counts == {"mstatus": 4}


def test_instructions_at_odd_halfwords_are_found_and_odd_bytes_are_not() -> None:
    wfi = struct.pack("<I", 0x10500073)
    assert Patcher().patch(b"\x01\x00" + wfi) == b"\x01\x00" + struct.pack("<I", store_word(-2040))
    assert Patcher().patch(b"\x01" + wfi + b"\x00") == b"\x01" + wfi + b"\x00"
    assert Patcher().patch(wfi[:3]) == wfi[:3]
