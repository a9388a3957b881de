"""MicroPython's small library modules, with what exists there and nothing more (v1.11-64 as MaixPy builds it)."""

from __future__ import annotations

import array as _array
import base64
import binascii
import cmath
import collections
import hashlib
import heapq
import json
import math
import random
import re
import struct
import types
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from virtualboard.hosted.buffers import raw
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.errors import ERRNO
from virtualboard.hosted.streams import StringIO, bytes_io_class

Timed = Callable[..., Callable[..., Any]]


def make_module(name: str, **members: Any) -> types.ModuleType:
    """A module object with just these members."""
    module = types.ModuleType(name)
    module.__dict__.clear()
    module.__dict__.update({"__name__": name, **members})
    return module


def timed(chip: Chip, function: Callable[..., Any], ns: int | None = None) -> Callable[..., Any]:
    """`function` as a C function: each call costs processor time."""
    cost = chip.costs.call if ns is None else ns

    def call(*args: Any, **kwargs: Any) -> Any:
        chip.charge(cost)
        return function(*args, **kwargs)

    call.__name__ = getattr(function, "__name__", "function")
    return call


def factories(chip: Chip, seed: int) -> Mapping[str, Callable[[], types.ModuleType]]:
    """Makers of the modules, by their strong names."""
    return {
        "ubinascii": lambda: _binascii(chip),
        "ujson": lambda: _json(chip),
        "ustruct": lambda: _struct(chip),
        "ure": lambda: _re(chip),
        "urandom": lambda: _random(chip, seed),
        "ucollections": _collections,
        "uerrno": lambda: make_module("uerrno", errorcode={v: k for k, v in ERRNO.items()}, **ERRNO),
        "uhashlib": lambda: make_module("uhashlib", sha256=_sha256_class(chip)),
        "uheapq": lambda: make_module("uheapq", heappush=heapq.heappush, heappop=heapq.heappop, heapify=heapq.heapify),
        "uzlib": _zlib,
        "uio": lambda: make_module("uio", StringIO=StringIO, BytesIO=bytes_io_class(chip)),
        "array": lambda: make_module("array", array=_array.array),
        "math": lambda: _some("math", math, _MATH),
        "cmath": lambda: _some("cmath", cmath, "e pi cos exp log phase polar rect sin sqrt"),
        "uctypes": lambda: make_module("uctypes", sizeof=_unsupported("uctypes.sizeof")),
    }


_MATH = (
    "e pi sqrt pow exp log cos sin tan acos asin atan atan2 ceil copysign fabs floor fmod frexp ldexp modf isfinite "
    "isinf isnan trunc radians degrees"
)


def _some(name: str, source: types.ModuleType, names: str) -> types.ModuleType:
    return make_module(name, **{item: getattr(source, item) for item in names.split()})


def _unsupported(name: str) -> Callable[..., Any]:
    def missing(*args: Any) -> Any:
        raise NotImplementedError(f"{name} is not in the hosted engine; use the k210 engine")

    return missing


# -- ubinascii --------------------------------------------------------------------------------------------


def _binascii(chip: Chip) -> types.ModuleType:
    def hexlify(data: Any, sep: Any = None, /) -> bytes:
        text = binascii.hexlify(raw(data))
        if sep is None:
            return text
        return raw(sep).join(text[i : i + 2] for i in range(0, len(text), 2))

    def unhexlify(data: Any, /) -> bytes:
        text = raw(data)
        if len(text) % 2:
            raise ValueError("odd-length string")
        try:
            return binascii.unhexlify(text)
        except binascii.Error:
            raise ValueError("non-hex digit found") from None

    def a2b_base64(data: Any, /) -> bytes:
        try:
            return base64.b64decode(raw(data))
        except binascii.Error:
            raise ValueError("incorrect padding") from None

    def b2a_base64(data: Any, /) -> bytes:
        return base64.b64encode(raw(data)) + b"\n"

    def crc32(data: Any, start: int = 0, /) -> int:
        return zlib.crc32(raw(data), start)

    functions = (hexlify, unhexlify, a2b_base64, b2a_base64, crc32)
    return make_module("ubinascii", **{f.__name__: timed(chip, f) for f in functions})


# -- ujson ------------------------------------------------------------------------------------------------


def _json(chip: Chip) -> types.ModuleType:
    def dumps(value: Any, /) -> str:
        text = json.dumps(value, ensure_ascii=False, default=str)
        chip.charge(len(text) * 100)
        return text

    def dump(value: Any, stream: Any, /) -> None:
        stream.write(dumps(value))

    def loads(text: Any, /) -> Any:
        source = text if isinstance(text, str) else raw(text).decode()
        chip.charge(len(source) * 200)
        try:
            return json.loads(source, strict=False)
        except json.JSONDecodeError:
            repaired = source.rstrip()
            # The parser of v1.11 does not ask for the last closing brace.
            for tail in ("}", "]"):
                try:
                    return json.loads(repaired + tail, strict=False)
                except json.JSONDecodeError:
                    continue
            raise ValueError("syntax error in JSON") from None
        except RecursionError:
            raise RuntimeError("maximum recursion depth exceeded") from None

    def load(stream: Any, /) -> Any:
        return loads(stream.read())

    return make_module("ujson", **{f.__name__: timed(chip, f) for f in (dump, dumps, load, loads)})


# -- ustruct ----------------------------------------------------------------------------------------------


def _struct(chip: Chip) -> types.ModuleType:
    def unpack_from(layout: str, data: Any, offset: int = 0, /) -> tuple[Any, ...]:
        try:
            if offset < 0:
                offset += len(data)
            return struct.unpack_from(layout, data, offset)
        except struct.error:
            raise ValueError("buffer too small") from None

    def unpack(layout: str, data: Any, /) -> tuple[Any, ...]:
        return unpack_from(layout, data, 0)

    def pack(layout: str, *values: Any) -> bytes:
        try:
            return struct.pack(layout, *values)
        except struct.error:
            raise OverflowError("value does not fit") from None

    def pack_into(layout: str, buffer: Any, offset: int, *values: Any) -> None:
        try:
            struct.pack_into(layout, buffer, offset, *values)
        except struct.error:
            raise ValueError("buffer too small") from None

    functions = (struct.calcsize, pack, pack_into, unpack, unpack_from)
    return make_module("ustruct", **{f.__name__: timed(chip, f) for f in functions})


# -- ure --------------------------------------------------------------------------------------------------


class _Match:
    def __init__(self, match: re.Match[Any]) -> None:
        self._match = match

    def group(self, index: int, /) -> Any:
        return self._match.group(index)


class _Pattern:
    def __init__(self, pattern: Any) -> None:
        try:
            self._regex = re.compile(_pattern_1_11(pattern))
        except re.error:
            raise ValueError("Error in regex") from None

    def match(self, text: Any, /) -> _Match | None:
        found = self._regex.match(text)
        return _Match(found) if found else None

    def search(self, text: Any, /) -> _Match | None:
        found = self._regex.search(text)
        return _Match(found) if found else None

    def sub(self, replacement: Any, text: Any, count: int = 0, /) -> Any:
        return self._regex.sub(replacement, text, count)

    def split(self, text: Any, maximum: int = 0, /) -> list[Any]:
        return self._regex.split(text, maximum)


def _pattern_1_11(pattern: Any) -> Any:
    """Braces are ordinary characters there; `(?...)` is an error."""
    as_bytes = isinstance(pattern, (bytes, bytearray))
    text = bytes(pattern).decode("latin-1") if as_bytes else pattern
    if "(?" in text and not text.startswith("(?:"):
        raise ValueError("Error in regex")
    if "(?:" in text:
        raise ValueError("Error in regex")
    text = re.sub(r"(?<!\\)([{}])", r"\\\1", text)
    return text.encode("latin-1") if as_bytes else text


def _re(chip: Chip) -> types.ModuleType:
    def match(pattern: Any, text: Any, /) -> _Match | None:
        return _Pattern(pattern).match(text)

    def search(pattern: Any, text: Any, /) -> _Match | None:
        return _Pattern(pattern).search(text)

    def sub(pattern: Any, replacement: Any, text: Any, count: int = 0, /) -> Any:
        return _Pattern(pattern).sub(replacement, text, count)

    cost = 20_000
    return make_module(
        "ure",
        compile=timed(chip, _Pattern, cost),
        match=timed(chip, match, cost),
        search=timed(chip, search, cost),
        sub=timed(chip, sub, cost),
        DEBUG=4096,
    )


# -- the others -------------------------------------------------------------------------------------------


def _random(chip: Chip, seed: int) -> types.ModuleType:
    source = random.Random(seed)

    def getrandbits(count: int, /) -> int:
        if not 0 < count <= 32:
            raise ValueError("")
        return source.getrandbits(count)

    functions: dict[str, Callable[..., Any]] = {
        "getrandbits": getrandbits,
        "seed": source.seed,
        "randrange": source.randrange,
        "randint": source.randint,
        "choice": source.choice,
        "random": source.random,
        "uniform": source.uniform,
    }
    return make_module("urandom", **{name: timed(chip, f) for name, f in functions.items()})


class _Deque:
    """`deque(iterable, maxlen)`: append and popleft only."""

    def __init__(self, iterable: Any, maxlen: int, flags: int = 0, /) -> None:
        self._items: collections.deque[Any] = collections.deque(iterable)
        self._limit = maxlen
        self._strict = flags & 1

    def append(self, item: Any, /) -> None:
        if len(self._items) >= self._limit:
            if self._strict:
                raise IndexError("full")
            self._items.popleft()
        self._items.append(item)

    def popleft(self) -> Any:
        if not self._items:
            raise IndexError("empty")
        return self._items.popleft()

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return bool(self._items)


def _collections() -> types.ModuleType:
    def namedtuple(name: str, fields: Any, /) -> Any:
        return collections.namedtuple(name, fields)  # type: ignore[misc]

    return make_module("ucollections", namedtuple=namedtuple, deque=_Deque, OrderedDict=collections.OrderedDict)


def _sha256_class(chip: Chip) -> type:
    class sha256:
        """SHA-256 on the chip's block: `digest` works once an object (`moduhashlib_maixpy.c`)."""

        def __init__(self, data: Any = b"", /) -> None:
            self._hash = hashlib.sha256()
            self._digest: bytes | None = None
            if data:
                self.update(data)

        def update(self, data: Any, /) -> None:
            block = raw(data)
            chip.charge(chip.costs.call + len(block) * chip.costs.sha256_byte)
            self._hash.update(block)

        def digest(self) -> bytes:
            chip.charge(chip.costs.call)
            return self._hash.digest()

    return sha256


def _zlib() -> types.ModuleType:
    def decompress(data: Any, wbits: int = 15, /) -> bytes:
        try:
            return zlib.decompress(raw(data), wbits if wbits else 15)
        except zlib.error:
            raise ValueError(-3) from None

    return make_module("uzlib", decompress=decompress, DecompIO=_unsupported("uzlib.DecompIO"))
