# What kind of picture a file is, told from its header before any memory is spent on it, and whether all of it is there.
#
# MaixPy's own loader takes baseline JPEG and some BMP kinds. The rest it refuses late and cryptically, or shows wrong
# without a word: RGB JPEGs, several scans, BMPs with masks or palettes of their own, files that were cut off. All of
# that is refused here by name. Rules: MaixPy-v1 omv/img/picojpeg.c, bmp.c and py_image.c, tried on generated files.

import ustruct

import pix
from pix.errors import PixError
from pix.files import on_card, size_of

_BMP_KINDS = ((8, 0), (16, 3), (24, 0), (24, 3))  # bits, compression
_MASKS = {16: (0xF800, 0x07E0, 0x001F), 24: (0xFF0000, 0x00FF00, 0x0000FF)}
_MOST_SIDE = 16384
_OTHERS = (  # of which the companion makes a JPEG: offset, mark, name
    (0, b"\x89PNG", "a PNG"), (0, b"GIF8", "a GIF"), (8, b"WEBP", "a WebP"), (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"), (4, b"ftyphei", "a HEIC"), (4, b"ftyphev", "a HEIC"), (4, b"ftypmif1", "a HEIC"),
    (4, b"ftypmsf1", "a HEIC"), (4, b"ftypavi", "an AVIF"), (4, b"jP  ", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"), (0, b"\0\0\1\0", "an icon"), (0, b"8BPS", "a PSD"),
)  # fmt: skip


class Kind:
    # format is "jpeg" or "bmp"; width and height in pixels; grey; bytes_needed in the GC heap once loaded; orientation
    # as EXIF has it, 1 to 8; header is pix.jpeg's, None for a BMP.
    def __init__(self, format, width, height, grey=False, header=None):
        self.format = format
        self.width = width
        self.height = height
        self.grey = grey
        self.bytes_needed = width * height * (1 if grey else 2)
        self.orientation = header.orientation if header else 1
        self.header = header


def inspect(path):
    # The Kind of the picture at `path`, from its header. Raises PixError: no such file, not a picture, a kind that the
    # board cannot show right (PNG, progressive JPEG, BMP variants), a damaged header, a BMP that ends too early.
    size = size_of(path)
    if size is None:
        raise PixError("not-picture", "there is no file %s" % path)
    return on_card(path, _inspect, path, size)


def walk(path, kind):
    # Look at the rest of the picture `kind` at `path`. Raises PixError "bad-picture" when a JPEG's codes are not all
    # there.
    if kind.header is not None:
        on_card(path, _walk, path, kind.header)


def _walk(path, header):
    from pix.scan import walk

    try:
        with open(path, "rb") as f:
            walk(f, header)
    finally:
        walk = None
        pix.forget("scan")


def _inspect(path, size):
    with open(path, "rb") as f:
        head = f.read(32)
        if head[:2] == b"\xff\xd8":
            from pix.jpeg import read

            header = read(f)
            return Kind("jpeg", header.width, header.height, header.grey, header)
        if head[:2] == b"BM":
            return _bmp(f, head + f.read(34), size)
    for at, mark, name in _OTHERS:
        if head[at : at + len(mark)] == mark:
            raise PixError("not-jpeg", "this is " + name)
    if not head:
        raise PixError("not-picture", "the file is empty")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:4] == b"<svg" or text[:5] == b"<?xml":
        raise PixError("not-picture", "the file is a drawing (SVG) or other XML")
    if text[:1] == b"<":
        raise PixError("not-picture", "the file is a web page")
    raise PixError("not-picture", "neither JPEG nor BMP")


def _bmp(f, head, size):
    if len(head) < 54:
        raise PixError("bad-picture", "the BMP ends in its header")
    _, told, _, offset, info, width, height, _, depth, compression, _, _, _, colours = ustruct.unpack(
        "<HIIIIIiHHIIIII", head[:50]
    )
    if info < 40:
        raise PixError("bmp-kind", "an OS/2 header")
    if (depth, compression) not in _BMP_KINDS:
        raise PixError("bmp-kind", "%d bits, compression %d" % (depth, compression))
    height = abs(height)  # negative: top-down
    if not 0 < width <= _MOST_SIDE or not 0 < height <= _MOST_SIDE:
        raise PixError("bad-picture", "the BMP header is damaged")
    begin = 14 + info
    if compression == 3:
        begin = max(begin, 66)
        if len(head) < 66 or ustruct.unpack("<III", head[54:66]) != _MASKS[depth]:
            raise PixError("bmp-kind", "%d bits with other masks than MaixPy's" % depth)
    elif depth == 8:
        colours = min(colours or 256, 256)
        begin += 4 * colours
    rows = (width * depth + 31) // 32 * 4 * height
    if offset < begin:
        raise PixError("bad-picture", "the BMP's pixels begin inside its header")
    if told < offset + rows:
        raise PixError("bad-picture", "the BMP header tells a wrong size")
    if size < offset + rows:
        raise PixError("bad-picture", "the BMP ends too early")
    if depth == 8 and not _grey(f, begin - 4 * colours, colours, offset, rows):
        raise PixError("bmp-kind", "8 bits with colours")
    return Kind("bmp", width, height, depth == 8)


def _grey(f, at, colours, offset, rows):
    # MaixPy takes the index for the grey value, so only a plain grey ramp looks right, as far as it is used.
    f.seek(at)
    palette = f.read(4 * colours)
    ramp = 0
    while ramp < colours and palette[4 * ramp : 4 * ramp + 3] == bytes((ramp, ramp, ramp)):
        ramp += 1
    if ramp == colours:
        return True
    f.seek(offset)
    while rows > 0:
        piece = f.read(min(rows, 1024))
        if max(piece) >= ramp:
            return False
        rows -= len(piece)
    return True
