# What kind of picture a file is, told from its header before any memory is spent on it.
#
# MaixPy's own loader takes baseline JPEG and some BMP kinds; the rest it refuses late, cryptically or not at all (a
# progressive JPEG becomes an image of 0x0, a cut-off file is shown half grey). Rules: MaixPy-v1 omv/img/picojpeg.c,
# bmp.c and py_image.c.

import ustruct
from micropython import const

from pix.errors import PixError
from pix.files import on_card, size_of

_SOF0 = const(0xC0)
_SOF2 = const(0xC2)
_DHT = const(0xC4)
_JPG = const(0xC8)
_DAC = const(0xCC)
_SOS = const(0xDA)
_EOI = const(0xD9)
_MAX_SEGMENTS = const(200)


class Kind:
    # format is "jpeg" or "bmp"; width and height in pixels; bytes_needed in the GC heap once loaded.
    def __init__(self, format, width, height, grey=False):
        self.format = format
        self.width = width
        self.height = height
        self.bytes_needed = width * height * (1 if grey else 2)


def inspect(path):
    # The Kind of the picture at `path`. Raises PixError: no such file, not a picture, a kind that the board cannot
    # show (PNG, progressive JPEG, BMP variants), or a file that ends too early.
    size = size_of(path)
    if size is None:
        raise PixError("not-picture", "there is no file %s" % path)
    return on_card(path, _inspect, path, size)


def _inspect(path, size):
    with open(path, "rb") as f:
        head = f.read(32)
        if head[:2] == b"\xff\xd8":
            return _jpeg(f, size)
        if head[:2] == b"BM":
            return _bmp(f, head + f.read(22), size)
    for at, mark, name in ((0, b"\x89PNG", "PNG"), (0, b"GIF8", "GIF"), (8, b"WEBP", "WebP")):
        if head[at : at + 4] == mark:
            raise PixError("not-jpeg", "this is a " + name)
    if not head:
        raise PixError("not-picture", "the file is empty")
    if head[:1] == b"<" or head[:2] == b"\r\n":
        raise PixError("not-picture", "the file is a web page")
    raise PixError("not-picture", "neither JPEG nor BMP")


def _jpeg(f, size):
    at = 2
    for _ in range(_MAX_SEGMENTS):
        f.seek(at)
        head = f.read(10)
        if len(head) < 4:
            raise PixError("bad-picture", "the JPEG ends in its header")
        if head[0] != 0xFF:
            raise PixError("bad-picture", "the JPEG header is damaged")
        marker = head[1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _SOS or marker == _EOI:
            raise PixError("bad-picture", "the JPEG has no frame header")
        if marker == _SOF2:
            raise PixError("progressive")
        if 0xC0 <= marker <= 0xCF and marker not in (_DHT, _JPG, _DAC):
            if marker != _SOF0:
                raise PixError("jpeg-kind", "arithmetic coding" if marker > _JPG else "coding %02X" % marker)
            return _frame(f, head, size)
        at += 2 + (head[2] << 8 | head[3])
    raise PixError("bad-picture", "the JPEG header never ends")


def _frame(f, head, size):
    # head: FF C0, length, precision, height, width, component count; then 3 bytes a component.
    if len(head) < 10:
        raise PixError("bad-picture", "the JPEG ends in its header")
    height = head[5] << 8 | head[6]
    width = head[7] << 8 | head[8]
    count = head[9]
    components = f.read(3 * count) if count <= 4 else b""
    if head[4] != 8 or count not in (1, 3):
        raise PixError("jpeg-kind", "%d colours of %d bits" % (count, head[4]))
    if width == 0 or height == 0 or len(components) < 3 * count:
        raise PixError("bad-picture", "the JPEG frame header is damaged")
    if count == 3:
        if components[1] not in (0x11, 0x21, 0x12, 0x22) or components[4] != 0x11 or components[7] != 0x11:
            raise PixError("jpeg-kind", "its chroma sampling")
    # The decoder would show a cut-off file half grey and say nothing.
    f.seek(max(0, size - 64))
    if f.read(64).find(b"\xff\xd9") < 0:
        raise PixError("bad-picture", "the JPEG ends too early")
    return Kind("jpeg", width, height, count == 1)


def _bmp(f, head, size):
    if len(head) < 54:
        raise PixError("bad-picture", "the BMP ends in its header")
    _, told, _, offset, info, width, height, _, depth, compression, _, _, _, colours = ustruct.unpack(
        "<HIIIIIiHHIIIII", head[:50]
    )
    height = abs(height)  # negative: top-down
    if (depth, compression) not in ((8, 0), (16, 3), (24, 0)):
        raise PixError("bmp-kind", "%d bits, compression %d" % (depth, compression))
    if depth == 8 and not _grey_palette(f, 14 + info, colours):
        raise PixError("bmp-kind", "8 bits with colours")
    if not 0 < width <= 16384 or not 0 < height <= 16384:
        raise PixError("bad-picture", "the BMP header is damaged")
    rows = (width * depth + 31) // 32 * 4 * height
    if told < offset + rows:
        raise PixError("bad-picture", "the BMP header tells a wrong size")
    if size < offset + rows:
        raise PixError("bad-picture", "the BMP ends too early")
    return Kind("bmp", width, height, depth == 8)


def _grey_palette(f, at, colours):
    # MaixPy takes the index for the grey value, so only a plain grey ramp looks right.
    f.seek(at)
    palette = f.read(1024)
    if colours not in (0, 256) or len(palette) < 1024:
        return False
    for i in range(256):
        if palette[4 * i : 4 * i + 3] != bytes((i, i, i)):
            return False
    return True
