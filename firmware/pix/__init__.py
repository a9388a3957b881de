# pix: pictures to and from a K210 board, on MaixPy v1 and an ESP8285 with AT firmware.
#
# MaixPy loads a picture into one unbroken block of the heap, and nothing in the heap ever moves. So the block is set
# aside here, before the modules of this package scatter theirs, and handed over while a picture is loaded.

PICTURE_ROOM = 320 * 240 * 2  # bytes of one full RGB565 picture on the usual panel

_room = None


def reserve(size=PICTURE_ROOM):
    # Set the block aside; returns whether that much is there in one piece.
    global _room
    try:
        _room = bytearray(size)
    except MemoryError:
        _room = None
    return _room is not None


def release():
    # Let go of the block: the next picture takes its place.
    global _room
    _room = None


reserve()
