# The header of a JPEG as MaixPy's decoder reads it, and what that decoder gets wrong without a word.
#
# It takes baseline JPEG of 8 bits in one scan, grey or YCbCr, the chroma as it is or halved; it has two tables of each
# kind, keeps what it read for the picture before, ignores what is wrong inside a segment and skips up to the next
# marker. So a header is read here the same way, and whatever would be refused late or shown wrong is refused by name.
# Rules: MaixPy-v1 omv/img/picojpeg.c, tried on generated files.

from micropython import const

from pix.errors import PixError

_SOF0 = const(0xC0)
_SOF2 = const(0xC2)
_DHT = const(0xC4)
_JPG = const(0xC8)
_DAC = const(0xCC)
_SOI = const(0xD8)
_EOI = const(0xD9)
_SOS = const(0xDA)
_DQT = const(0xDB)
_DRI = const(0xDD)
_APP0 = const(0xE0)
_APP1 = const(0xE1)
_APP14 = const(0xEE)
_MOST_SEGMENTS = const(4000)
_MOST_SIDE = const(16384)
_WINDOW = const(256)

_BROKEN = ()  # a Huffman table that the decoder would not take: what it had before counts instead


class Header:
    # `width` and `height` in pixels; `grey`; `orientation` as EXIF tells it, 1 when upright or not told. For the walk
    # along the scan: `scan_at`, its offset in the file; `interval`, units of the scan between restart markers, 0 for
    # none; `units` in all; `tables`, for each block of a unit its (DC, AC) Huffman tables as bytes: 16 counts, values.
    def __init__(self):
        self.width = 0
        self.height = 0
        self.grey = False
        self.orientation = 1
        self.scan_at = 0
        self.interval = 0
        self.units = 0
        self.tables = ()


def read(f):
    # The Header of the JPEG in the open file `f`. Raises PixError "progressive", "jpeg-kind" for what MaixPy cannot
    # decode, "bad-picture" for a damaged header; OSError of the card.
    return _Reader(f).run()


class _Reader:
    def __init__(self, f):
        self.f = f
        self.found = Header()
        self.components = ()  # of each: id, factors, quantiser
        self.huffman = [None] * 4  # DC 0, DC 1, AC 0, AC 1: None, _BROKEN or the table
        self.quantisers = 0  # bits of those that are there
        self.jfif = False
        self.exif = False
        self.adobe = -1  # transform of Adobe's APP14

    def run(self):
        f = self.f
        at = 2
        for _ in range(_MOST_SEGMENTS):
            at, marker = self.marker(at)
            if marker == _SOF2:
                raise PixError("progressive")
            if marker in (0x01, _JPG, _SOI, _EOI) or 0xD0 <= marker <= 0xD7:
                raise PixError("bad-picture", "marker %02X in the JPEG's header" % marker)
            if 0xC0 <= marker <= 0xCF and marker not in (_SOF0, _DHT):
                arithmetic = marker > _JPG
                raise PixError("jpeg-kind", "arithmetic coding" if arithmetic else "coding %02X" % marker)
            f.seek(at)
            length = _word(self.bytes(2), 0)
            if marker == _SOS:
                self.scan(length, at)
                return self.found
            if marker == _SOF0:
                at = self.frame(length, at)
            elif marker == _DHT:
                at = self.codes(length, at)
            elif marker == _DQT:
                at = self.steps(length, at)
            elif marker == _DRI:
                if length == 4:
                    self.found.interval = _word(self.bytes(2), 0)
                    at += 2
                at += 2
            else:
                self.application(marker, length, at)
                at += max(2, length)
        raise PixError("bad-picture", "the JPEG header never ends")

    def marker(self, at):
        # The offset behind the next marker at or after `at`, and its second byte. What lies between is skipped.
        f = self.f
        seen = False  # an FF
        while True:
            f.seek(at)
            piece = f.read(_WINDOW)
            if not piece:
                raise PixError("bad-picture", "the JPEG ends in its header")
            i = 0
            while i < len(piece):
                if not seen:
                    i = piece.find(b"\xff", i)
                    if i < 0:
                        break
                elif piece[i] != 0xFF:
                    if piece[i]:
                        return at + i + 1, piece[i]
                    seen = False
                    i += 1
                    continue
                seen = True
                i += 1
            at += len(piece)

    def bytes(self, n):
        piece = self.f.read(n)
        if len(piece) < n:
            raise PixError("bad-picture", "the JPEG ends in its header")
        return piece

    def frame(self, length, at):
        # SOF0. Returns the offset behind it, as the other readers of segments do.
        if self.components:
            raise PixError("bad-picture", "the JPEG has two frames")
        head = self.bytes(6)
        found = self.found
        found.height = _word(head, 1)
        found.width = _word(head, 3)
        count = head[5]
        if head[0] != 8 or count not in (1, 3):
            raise PixError("jpeg-kind", "%d colours of %d bits" % (count, head[0]))
        if not 0 < found.height <= _MOST_SIDE or not 0 < found.width <= _MOST_SIDE or length != 8 + 3 * count:
            raise PixError("bad-picture", "the JPEG frame header is damaged")
        self.components = self.bytes(3 * count)
        found.grey = count == 1
        factors = bytes([self.components[3 * i + 1] for i in range(count)])
        if count == 1:
            right = factors[0] == 0x11
        else:
            right = factors[0] in (0x11, 0x21, 0x12, 0x22) and factors[1:] == b"\x11\x11"
        if not right:
            raise PixError("jpeg-kind", "its chroma sampling")
        across = found.width + 8 * (factors[0] >> 4) - 1 >> (4 if factors[0] & 0x20 else 3)
        down = found.height + 8 * (factors[0] & 15) - 1 >> (4 if factors[0] & 2 else 3)
        found.units = across * down
        return at + length

    def codes(self, length, at):
        # DHT. A table of an unknown number or with too many codes ends it: the decoder skips the rest.
        end = at + length
        at += 2
        while at < end:
            head = self.bytes(17)
            number = head[0]
            if number & 0x0F > 1 or number > 0x1F:
                return at + 1
            i = number >> 3 & 2 | number & 1
            count = sum(head) - number
            self.huffman[i] = _BROKEN
            if count > (255 if i & 2 else 12):
                return at + 17
            values = self.bytes(count)
            at += 17 + count
            if at <= end:
                self.huffman[i] = head[1:] + values
        return at

    def steps(self, length, at):
        # DQT.
        end = at + length
        at += 2
        while at < end:
            self.f.seek(at)
            number = self.bytes(1)[0]
            if number & 0x0F > 1:
                return at + 1
            self.quantisers |= 1 << (number & 1)
            at += 129 if number >> 4 else 65
        return at

    def application(self, marker, length, at):
        # What an APPn tells of colours and of the way the camera was held.
        if marker == _APP0 and length >= 16:
            self.jfif = self.jfif or self.f.read(5) == b"JFIF\0"
        elif marker == _APP14 and length >= 14:
            data = self.f.read(12)
            if data[:5] == b"Adobe":
                self.adobe = data[11]
        elif marker == _APP1 and length > 20 and not self.exif and self.f.read(6) == b"Exif\0\0":
            # Of several the first counts, as in viewers: a second one is a leftover of some editor.
            from pix.exif import orientation

            self.exif = True
            self.found.orientation = orientation(self.f, at + 8, at + length)

    def scan(self, length, at):
        # SOS, and whether all is there that it needs.
        components = self.components
        if not components:
            raise PixError("bad-picture", "the JPEG has no frame header")
        count = len(components) // 3
        head = self.bytes(1)
        if length != 6 + 2 * head[0]:
            raise PixError("bad-picture", "the JPEG scan header is damaged")
        if head[0] < count:
            raise PixError("jpeg-kind", "several scans")
        chosen = self.bytes(2 * count) if head[0] == count else b""
        ids = [components[3 * i] for i in range(count)]
        wanted = {chosen[2 * i]: chosen[2 * i + 1] for i in range(len(chosen) // 2)}
        for name in ids:
            if name not in wanted or len(wanted) < count:
                raise PixError("bad-picture", "the JPEG scan names other colours than its frame")
        if count == 3 and not self.jfif and (self.adobe == 0 or (self.adobe < 0 and ids == [82, 71, 66])):
            raise PixError("jpeg-kind", "RGB colours")
        tables = []
        for i in range(count):
            if components[3 * i + 2] > 1 or not self.quantisers >> components[3 * i + 2] & 1:
                raise PixError("jpeg-kind", "its quantiser tables")
            number = wanted[ids[i]]
            if number & 0xEE:
                raise PixError("jpeg-kind", "its Huffman tables")
            pair = self.huffman[number >> 4], self.huffman[2 + (number & 1)]
            if not pair[0] or not pair[1]:
                raise PixError("jpeg-kind", "its Huffman tables")
            factors = components[3 * i + 1]
            tables.extend([pair] * ((factors >> 4) * (factors & 15)))
        self.found.tables = tables
        self.found.scan_at = at + length


def _word(data, at):
    return data[at] << 8 | data[at + 1]
