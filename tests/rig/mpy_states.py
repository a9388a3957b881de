"""What every function in a .mpy file of MicroPython 1.11 needs for its locals and its stack (mpy version 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_QSTR = frozenset([0x16, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F, 0x24, 0x25, 0x26, 0x2A, 0x2B, 0x68, 0x69])
_UINT = frozenset([0x14, 0x17, 0x19, 0x1A, 0x22, 0x23, 0x28, 0x29, 0x50, 0x51, 0x53, 0x56, 0x57, 0x58, 0x59, 0x5A])
_UINT |= frozenset(range(0x60, 0x68))
_OFFSET = frozenset([0x35, 0x36, 0x37, 0x38, 0x39, 0x3D, 0x3F, 0x40, 0x43, 0x44, 0x46])
_ONE_MORE = frozenset([0x46, 0x5C, 0x62, 0x63])
_CACHED = frozenset([0x1B, 0x1C, 0x1D, 0x26])
_STATIC = "__init__"
"""The only name that matters here of those that MicroPython has by number."""

_EXCEPTION_WORDS = 3
"""Words for a block of `try` or `with`: handler, stack pointer, the exception before (bc.h, mp_exc_stack_t)."""


@dataclass(frozen=True)
class Function:
    """`args` with self; `words` is what a call needs for locals, stack and exception blocks."""

    name: str
    args: int
    words: int


def functions(data: bytes) -> Iterator[Function]:
    """Every function in the file, inner ones too. Names that MicroPython has by number are "#<number>"."""
    assert data[:2] == b"M\x04", "not of MicroPython 1.11"
    reader = _Reader(data, 4)
    cached = bool(data[2] & 1)
    reader.window = [""] * reader.uint()
    yield from _code(reader, cached)
    assert reader.at == len(data)


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.window: list[str] = []

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def uint(self) -> int:
        value = 0
        while True:
            byte = self.byte()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value

    def name(self) -> str:
        length = self.uint()
        if not length:
            return f"#{self.byte()}"
        if length & 1:
            text = self.window.pop(length >> 1)
        else:
            text = self.data[self.at : self.at + (length >> 1)].decode()
            self.at += length >> 1
            self.window.pop()
        self.window.insert(0, text)
        return text


def _code(reader: _Reader, cached: bool) -> Iterator[Function]:
    kind_and_length = reader.uint()
    assert kind_and_length & 3 == 0, "machine code"
    left = kind_and_length >> 2
    start = reader.at
    state, exceptions = reader.uint(), reader.uint()
    _flags, args, keyword_only, _defaults = (reader.byte() for _ in range(4))
    before = reader.at
    reader.at = before + reader.uint()  # lines of the source, and room for two names
    while reader.byte() != 0xFF:
        pass  # which locals are cells
    left -= reader.at - start
    while left > 0:
        left -= _opcode(reader, cached)
    assert not left
    name, _source = reader.name(), reader.name()
    objects, inner = reader.uint(), reader.uint()
    for _ in range(args + keyword_only):
        reader.name()
    for _ in range(objects):
        if reader.byte() != ord("e"):
            size = reader.uint()
            reader.at += size
    yield Function(name, args + keyword_only, state + _EXCEPTION_WORDS * exceptions)
    for _ in range(inner):
        yield from _code(reader, cached)


def _opcode(reader: _Reader, cached: bool) -> int:
    """Read one; returns its length in memory, where a name has two bytes."""
    code = reader.byte()
    length = 1
    if code in _QSTR:
        reader.name()
        length += 2
        if cached and code in _CACHED:
            reader.byte()
            length += 1
    elif code in _UINT:
        before = reader.at
        reader.uint()
        length += reader.at - before
    elif code in _OFFSET:
        reader.at += 2
        length += 2
    if code in _ONE_MORE:
        reader.byte()
        length += 1
    return length
