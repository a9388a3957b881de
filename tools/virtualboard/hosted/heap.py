"""The GC heap as far as it decides what fits: 32-byte blocks, first fit, nothing moves, garbage stays until collected.

Only blocks worth modelling are accounted: byte buffers, pictures, rings, compiled modules. What is small lies in a
fixed base that equals what unmodified firmware uses after `import lcd, image`.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

BLOCK = 32
"""Bytes a block on a 64-bit port (4 words of 8; MicroPython `gc.c`)."""

PIECE = 512
"""Bytes of one of the small blocks that a module is made of."""

HEAP_SIZE = 512 * 1024
"""Default of MaixPy's `gc_heap_size`."""

BASE_FREE = 497_536
"""`gc.mem_free()` of v0.6.2 minimum after `import lcd, image` on a fresh heap."""


class Heap:
    """First-fit allocator over `size` bytes. `peak` is the most that was ever in use beyond the base, `kept` what was
    in use after the last collection."""

    def __init__(self, size: int = HEAP_SIZE) -> None:
        self.size = size
        self.base = min(HEAP_SIZE - BASE_FREE, size // 2)
        self._free: list[tuple[int, int]] = [(self.base, size - self.base)]  # (address, bytes), by address
        self._garbage: list[tuple[int, int]] = []
        self.used = 0
        self.peak = 0
        self.kept = 0
        self.collections = 0
        self.finalisers: list[Callable[[], Any]] = []
        """What objects that nobody refers to any more still have to do; it happens at the next collection."""

    def alloc(self, size: int) -> int | None:
        """Address of `size` contiguous bytes, or None. Collects once when there is no room, as `gc_alloc` does."""
        need = -(-max(1, size) // BLOCK) * BLOCK
        address = self._take(need)
        if address is None:
            self.collect()
            address = self._take(need)
        if address is not None:
            self.used += need
            self.peak = max(self.peak, self.used)
        return address

    def release(self, address: int, size: int) -> None:
        """The block is no longer referred to; it is free again after the next collection."""
        self._garbage.append((address, -(-max(1, size) // BLOCK) * BLOCK))

    def give_back(self, address: int, size: int) -> None:
        """The block is free at once, as where C code frees its own."""
        size = -(-max(1, size) // BLOCK) * BLOCK
        self.used -= size
        self._merge([(address, size)])

    def own_pieces(self, owner: Any, size: int) -> bool:
        """The same as `own` for what lies about in small blocks: objects, names, byte code."""
        pieces: list[tuple[int, int]] = []
        while size > 0:
            address = self.alloc(min(size, PIECE))
            if address is None:
                for piece in pieces:
                    self.give_back(*piece)
                return False
            pieces.append((address, min(size, PIECE)))
            size -= PIECE
        self._release_with(owner, pieces)
        return True

    def own(self, owner: Any, size: int) -> bool:
        """Allocate `size` bytes that live as long as `owner`; False when they do not fit."""
        address = self.alloc(size)
        if address is None:
            return False
        self._release_with(owner, [(address, size)])
        return True

    def _release_with(self, owner: Any, blocks: list[tuple[int, int]]) -> None:
        """Release `blocks` when `owner` is gone. Weakly: the registry of finalizers would keep the heap, and by its
        finalisers the whole board, for ever."""
        weakref.finalize(owner, _release, weakref.ref(self), blocks).atexit = False

    def collect(self) -> None:
        """Make garbage free again."""
        self.collections += 1
        gc.collect()
        due, self.finalisers = self.finalisers, []
        for action in due:
            action()
        garbage, self._garbage = self._garbage, []
        self.used -= sum(size for _, size in garbage)
        self.kept = self.used
        self._merge(garbage)

    def _merge(self, blocks: list[tuple[int, int]]) -> None:
        merged: list[tuple[int, int]] = []
        for address, size in sorted(self._free + blocks):
            if merged and merged[-1][0] + merged[-1][1] == address:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            else:
                merged.append((address, size))
        self._free = merged

    @property
    def free(self) -> int:
        """Bytes free in total (`gc.mem_free()`); garbage counts as used."""
        return sum(size for _, size in self._free)

    @property
    def largest(self) -> int:
        """Bytes of the largest block that could be allocated now."""
        return max((size for _, size in self._free), default=0)

    def _take(self, need: int) -> int | None:
        for i, (address, size) in enumerate(self._free):
            if size >= need:
                if size == need:
                    del self._free[i]
                else:
                    self._free[i] = (address + need, size - need)
                return address
        return None


def _release(heap: weakref.ref[Heap], blocks: list[tuple[int, int]]) -> None:
    there = heap()
    if there is not None:
        for address, size in blocks:
            there.release(address, size)
