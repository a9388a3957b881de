"""A small RV64 assembler for the bare-metal test programs: enough to write them as text that can be read.

Only what they use is here: registers by their ABI names, labels, `li` for 32-bit unsigned constants, loads, stores,
branches, CSR instructions and the trap instructions. Encodings: RISC-V unprivileged specification 2.2, chapter 19.
"""

from __future__ import annotations

import re
import struct

_NAMES = [
    "zero",
    "ra",
    "sp",
    "gp",
    "tp",
    "t0",
    "t1",
    "t2",
    "s0",
    "s1",
    "a0",
    "a1",
    "a2",
    "a3",
    "a4",
    "a5",
    "a6",
    "a7",
    "s2",
    "s3",
    "s4",
    "s5",
    "s6",
    "s7",
    "s8",
    "s9",
    "s10",
    "s11",
    "t3",
    "t4",
    "t5",
    "t6",
]
_REG = {name: number for number, name in enumerate(_NAMES)}
_CSR = {"mstatus": 0x300, "mie": 0x304, "mtvec": 0x305, "mepc": 0x341, "mcause": 0x342, "mip": 0x344}
_CSR |= {"mhartid": 0xF14, "mcycle": 0xB00}
_LOADS = {"lb": 0, "lw": 2, "ld": 3, "lbu": 4, "lwu": 6}
_STORES = {"sb": 0, "sw": 2, "sd": 3}
_BRANCHES = {"beq": 0, "bne": 1, "blt": 4, "bge": 5, "bltu": 6, "bgeu": 7}
_ALU = {"add": (0, 0), "sub": (0x20, 0), "or": (0, 6), "and": (0, 7)}
_IMMEDIATE = {"addi": 0, "slti": 2, "xori": 4, "ori": 6, "andi": 7}
_CSR_OPS = {"csrw": (1, None), "csrs": (2, None), "csrc": (3, None), "csrr": (2, "read")}
_FIXED = {"ecall": 0x73, "ebreak": 0x0010_0073, "mret": 0x3020_0073, "wfi": 0x1050_0073, "nop": 0x13}


def assemble(source: str, base: int = 0x8000_0000) -> bytes:
    """Machine code of `source`, which is to run at `base`."""
    lines = [re.sub(r"#.*", "", line).strip() for line in source.splitlines()]
    statements: list[list[str]] = []
    labels: dict[str, int] = {}
    place = base
    for line in lines:
        while (found := re.match(r"(\w+):\s*", line)) is not None:
            labels[found.group(1)] = place
            line = line[found.end() :]
        if line:
            parts = re.split(r"[\s,()]+", line.rstrip(")"))
            statements.append([str(place), *parts])
            place += 16 if parts[0] == "li" else 8 if parts[0] == "la" else 4
    words: list[int] = []
    for at, name, *args in statements:
        words += _encode(int(at), name, args, labels)
    return struct.pack(f"<{len(words)}I", *words)


def _encode(at: int, name: str, args: list[str], labels: dict[str, int]) -> list[int]:
    if name in _FIXED:
        return [_FIXED[name]]
    if name == ".word":
        return [int(args[0], 0)]
    if name == "li":
        # Four instructions, whatever the value: the upper 21 bits (always positive), a shift, the lower 11.
        rd, value = _REG[args[0]], int(args[1], 0) & 0xFFFF_FFFF
        upper = value >> 11
        return [
            (upper >> 12) + (upper >> 11 & 1) << 12 | rd << 7 | 0x37,
            _i(0x13, 0, rd, rd, upper & 0xFFF),
            _i(0x13, 1, rd, rd, 11),
            _i(0x13, 6, rd, rd, value & 0x7FF),
        ]
    if name == "la":
        rd, offset = _REG[args[0]], labels[args[1]] - at
        return [0x17 | rd << 7 | (offset + 0x800 & 0xFFFF_F000), _i(0x13, 0, rd, rd, offset)]
    if name in _LOADS:
        return [_i(0x03, _LOADS[name], _REG[args[0]], _REG[args[2]], int(args[1], 0))]
    if name in _STORES:
        return [_s(_STORES[name], _REG[args[2]], _REG[args[0]], int(args[1], 0))]
    if name in _BRANCHES:
        return [_b(_BRANCHES[name], _REG[args[0]], _REG[args[1]], labels[args[2]] - at)]
    if name == "j":
        return [_jal(0, labels[args[0]] - at)]
    if name == "jr":
        return [_i(0x67, 0, 0, _REG[args[0]], 0)]
    if name in _IMMEDIATE:
        return [_i(0x13, _IMMEDIATE[name], _REG[args[0]], _REG[args[1]], int(args[2], 0))]
    if name in _ALU:
        high, funct3 = _ALU[name]
        return [high << 25 | _REG[args[2]] << 20 | _REG[args[1]] << 15 | funct3 << 12 | _REG[args[0]] << 7 | 0x33]
    if name in _CSR_OPS:
        funct3, read = _CSR_OPS[name]
        if read:
            return [_CSR[args[1]] << 20 | funct3 << 12 | _REG[args[0]] << 7 | 0x73]
        return [_CSR[args[0]] << 20 | _REG[args[1]] << 15 | funct3 << 12 | 0x73]
    raise ValueError(f"the assembler does not know {name!r}")


def _i(opcode: int, funct3: int, rd: int, rs1: int, value: int) -> int:
    return (value & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


def _s(funct3: int, rs1: int, rs2: int, value: int) -> int:
    return (value >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (value & 0x1F) << 7 | 0x23


def _b(funct3: int, rs1: int, rs2: int, offset: int) -> int:
    word = (offset >> 12 & 1) << 31 | (offset >> 5 & 0x3F) << 25 | (offset >> 1 & 0xF) << 8 | (offset >> 11 & 1) << 7
    return word | rs2 << 20 | rs1 << 15 | funct3 << 12 | 0x63


def _jal(rd: int, offset: int) -> int:
    word = (
        (offset >> 20 & 1) << 31 | (offset >> 1 & 0x3FF) << 21 | (offset >> 11 & 1) << 20 | (offset >> 12 & 0xFF) << 12
    )
    return word | rd << 7 | 0x6F
