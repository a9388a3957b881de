# pix: pictures to and from a K210 board, on MaixPy v1 and an ESP8285 with AT firmware.
#
# MaixPy loads a picture into one unbroken block of the heap, a receive ring is another, and nothing in the heap ever
# moves: once the modules of this package are loaded (from source), the longest free block has some 39 kB of 290. So
# both blocks are set aside here, before anything else comes, and handed over when they are needed.

import uio

PICTURE = 320 * 240 * 2  # bytes of one full RGB565 picture on the usual panel
RING = 49152  # 0.49 s at 1 Mbaud; with all else in use it keeps a fetch within 64 KiB of heap

_MORE = 4096  # for the small objects that come to lie in a freed block before the large one does

# What runs here, told by pix.start: the folder of the version below `home`, and what names its content.
home = ""
slot = ""
version = ""
trial = False  # it came through the air and has not confirmed itself yet (pix.update)

_aside = {}


def set_aside(size):
    # Keep a block of `size` bytes and a little more for later; returns whether that much is there in one piece.
    hand_over(size)
    try:
        # A stream and not a bytearray: closing it frees the block in any case, while a stale pointer somewhere on the
        # stack may keep a bytearray alive over many collections (MicroPython objstringio.c, gc.c).
        _aside[size] = uio.BytesIO(size + _MORE)
    except MemoryError:
        return False
    return True


def hand_over(size):
    # Free a block that was set aside. The next allocation of that size takes its place.
    block = _aside.pop(size, None)
    if block is not None:
        block.close()


def shrink_ring(size):
    # From now on the ring has `size` bytes at most, and the heap the rest; nothing happens while one is in use.
    global RING
    if RING > size and RING in _aside:
        hand_over(RING)
        RING = size
        set_aside(RING)


set_aside(PICTURE)
set_aside(RING)
