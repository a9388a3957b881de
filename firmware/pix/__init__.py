# pix: pictures to and from a K210 board, on MaixPy v1 and an ESP8285 with AT firmware.
#
# MaixPy loads a picture into one unbroken block of the heap, a receive ring is another, and nothing in the heap ever
# moves: once the modules of this package are loaded (from source), the longest free block has some 39 kB of 290. So
# both blocks are set aside here, before anything else comes, and handed over when they are needed.
#
# They lie at the end of the heap. MicroPython gives out the first free place that is large enough (gc.c), so small
# objects come to lie in a block that is handed over only when there is no place for them anywhere before it.

import gc
import sys

import uio
from micropython import const

PICTURE = 320 * 240 * 2  # bytes of one full RGB565 picture on the usual panel
RING = 49152  # 0.49 s at 1 Mbaud; with all else in use it keeps a fetch within 64 KiB of heap
SMALL_RING = 24576  # 0.25 s at 1 Mbaud, for apps whose modules and a picture do not fit the heap with more

_OFTEN = const(16384)  # bytes that are allocated between two collections
_STEP = const(4096)  # what lies free in small pieces is guessed to within this
_MORE = 4096  # for the small objects that come to lie in a freed block before the large one does

BYTE_CODE = "__file__" not in globals()  # only modules from source have one (MicroPython 1.11 builtinimport.c)

# What runs here, told by pix.start: the folder of the version below `home`, and what names its content.
home = ""
slot = ""
version = ""
trial = False  # it came through the air and has not confirmed itself yet (pix.update)

_aside = {}


def set_aside(size):
    # Keep a block of `size` bytes, and a little more where there is, for later; returns whether that much is there in
    # one piece.
    return _keep(size, _MORE) or _keep(size, 0)


def _keep(size, more):
    hand_over(size)
    try:
        # A stream and not a bytearray: closing it frees the block in any case, while a stale pointer somewhere on the
        # stack may keep a bytearray alive over many collections (MicroPython objstringio.c, gc.c).
        _aside[size] = uio.BytesIO(size + more)
    except MemoryError:
        return False
    return True


def hand_over(size):
    # Free a block that was set aside. The next allocation of that size takes its place.
    block = _aside.pop(size, None)
    if block is not None:
        block.close()


def forget(*names):
    # Give back the memory of modules that are seldom needed; the next import loads them again. From source that would
    # take more room than they do, so only byte code is forgotten.
    for name in names if BYTE_CODE else ():
        if sys.modules.pop("pix." + name, None) is not None:
            globals().pop(name, None)
    gc.collect()


def shrink_ring(size):
    # From now on the ring has `size` bytes at most, and the heap the rest; nothing happens while one is in use. And
    # garbage is collected often, which costs 5 ms each time: what stays must not be scattered over the whole heap.
    global RING
    gc.threshold(_OFTEN)
    if RING > size and RING in _aside:
        hand_over(RING)
        RING = size
        set_aside(RING)


def _set_aside_both():
    # What lies before them is filled while they are set aside.
    size = gc.mem_free() - PICTURE - RING - 2 * _MORE
    while size > 0:
        try:
            filler = uio.BytesIO(size)
        except MemoryError:
            filler = None
        if filler is not None:
            done = _keep(RING, _MORE) and _keep(PICTURE, _MORE)
            filler.close()
            if done:
                return
        size -= _STEP
    set_aside(PICTURE)
    set_aside(RING)


_set_aside_both()
