# A walk along the Huffman codes of a JPEG's scan: is everything there that its header promises?
#
# MaixPy's decoder never looks for the end. Behind a marker, and behind the end of the file, it reads ones for ever: the
# rest of a picture that was cut off is flat, and nothing tells. So the codes are counted here, without decoding them:
# every block has to be there, restart markers in order where they belong, and nothing but padding behind the last code.
# What lies behind the marker that ends the scan is of no importance, and the marker itself may be missing.

from array import array

from micropython import const

from pix.errors import PixError

_BLOCK = const(1024)  # bytes read at a time
_LOOK = const(10)  # bits of a code that are looked up at once
_LENGTH = const(31)  # an entry of a table: bits of code and number; above that, places further in the block
_STEP = const(5)
_END = const(128)  # places further: no more in this block
_WRONG = const(64)  # and for what no block may hold
_NEWLINE = const(2)  # bytes that may be left where the file ends without a marker
_PLAIN = const(4)  # zero bytes in a row
_TABLE = "a Huffman table of the JPEG is damaged"
_DAMAGED = "the codes of the JPEG are damaged or cut off"


def walk(f, header):
    # Walk along the scan of the open file `f`, as pix.jpeg's `header` tells it. Raises PixError "bad-picture" when it
    # is damaged; OSError of the card. What it costs: docs/decoder.md.
    made = {}
    blocks = []
    for pair in header.tables:
        for kind in (0, 1):
            if (pair[kind], kind) not in made:
                made[pair[kind], kind] = _Codes(pair[kind], kind)
        dc = made[pair[0], 0]
        ac = made[pair[1], 1]
        blocks.append((dc.short, ac.short, dc, ac))
    run = _Run(f, header.scan_at)
    left = header.units
    number = 0
    while left:
        units = min(left, header.interval or left)
        run.count(units, blocks)
        left -= units
        unused, told = run.rest()
        marker = run.marker()
        if left and (unused or marker != 0xD0 + number):
            raise PixError("bad-picture", "a restart marker of the JPEG is missing or wrong")
        number = number + 1 & 7
    if marker is not None and 0xD0 <= marker <= 0xD7:
        # Behind a last interval that is whole some programs write one.
        told = run.rest()[1]
        marker = run.marker()
    if told > (_NEWLINE if marker is None else 0):
        raise PixError("bad-picture", "the JPEG has more codes than its size needs")


class _Codes:
    # A Huffman table (16 counts, values) to look up in; `kind` 0 for DC, 1 for AC. `short` has an entry for whatever
    # the next 10 bits are, 0 for longer codes.
    def __init__(self, table, kind):
        self._read(table, kind)

    def _read(self, table, kind):
        self._entries = array("H")
        self._long = []  # of each length from 11: first number of 16 bits behind its codes, shift, place of its first
        short = self.short = array("H", bytes(2 << _LOOK))
        filled = 0
        code = 0
        at = 16
        for length in range(1, 17):
            first = at - 16 - code
            count = table[length - 1]
            for i in range(at, at + count):
                entry = _entry(table[i], length, kind)
                self._entries.append(entry)
                if length <= _LOOK:
                    most = filled + (1 << _LOOK - length)
                    if most > 1 << _LOOK:
                        raise PixError("bad-picture", _TABLE)
                    while filled < most:
                        short[filled] = entry
                        filled += 1
            at += count
            code += count
            if code > 1 << length:
                raise PixError("bad-picture", _TABLE)
            if length > _LOOK:
                self._long.append((code << 16 - length, 16 - length, first))
            code <<= 1

    def find(self, bits):
        # The entry for a code of more than 10 bits, from the next 16.
        for behind, shift, first in self._long:
            if bits < behind:
                return self._entries[(bits >> shift) + first]
        raise PixError("bad-picture", _DAMAGED)


def _entry(value, length, kind):
    # For a code of `length` bits that means `value`.
    size = value & 15
    run = value >> 4
    if kind == 0:
        further = 1
    elif size:
        further = run + 1
    else:
        further = _END if run == 0 else 16 if run == 15 else _WRONG
    return further << _STEP | length + size


class _Run:
    # The codes of a scan from one marker to the next.
    def __init__(self, f, at):
        f.seek(at)
        self._f = f
        self._raw = b""  # read, with its stuffing, and not yet used
        self._begin()

    def _begin(self):
        self._data = b""  # codes without stuffing, used up to `_at`
        self._at = 0
        self._held = 0  # the last bytes before that as a number, of which `_bits` bits are not used
        self._bits = 0
        self._ended = False  # `_data` has the last of them
        self._ones = 0  # bytes put behind it for those who look ahead

    def count(self, units, blocks):
        # Walk along `units` times `blocks`.
        held = self._held
        bits = self._bits
        data = self._data
        at = self._at
        last = len(data) - 3
        for _ in range(units):
            for dc_short, ac_short, dc, ac in blocks:
                short = dc_short
                place = 0
                while place < 64:
                    while bits < 32:
                        while at > last:
                            data = self._more(data[at:])
                            at = 0
                            last = len(data) - 3
                        held = (held & 0xFFFFFFFF) << 24 | data[at] << 16 | data[at + 1] << 8 | data[at + 2]
                        at += 3
                        bits += 24
                    entry = short[held >> bits - _LOOK & 1023]
                    if not entry:
                        entry = (ac if place else dc).find(held >> bits - 16 & 0xFFFF)
                    bits -= entry & _LENGTH
                    place += entry >> _STEP
                    short = ac_short
                if 64 < place < _END:
                    raise PixError("bad-picture", _DAMAGED)
        self._held = held
        self._bits = bits
        self._data = data
        self._at = at

    def rest(self):
        # How many whole bytes are left up to the marker, and how many of them are more than zeros or ones at an end.
        # Raises PixError when more was used than there was.
        whole = self._bits >> 3
        before = self._data[max(0, self._at - whole - _PLAIN) : max(0, self._at - whole)]
        data = (self._held & (1 << 8 * whole) - 1).to_bytes(whole, "big") + self._data[self._at :]
        if len(data) < self._ones:
            raise PixError("bad-picture", _DAMAGED)
        data = data[: len(data) - self._ones]
        unused = 0
        # Zeros behind zeros that were taken for codes do not fill: a part of the file was never written.
        told = len(data) if before == bytes(_PLAIN) else 0
        while True:
            unused += len(data)
            told += len(data.strip(b"\x00\xff"))
            if self._ended:
                return unused, told
            data = self._next()

    def marker(self):
        # The second byte of the marker behind the codes, None where the file ends. What follows it is the next run.
        raw = self._raw
        while True:
            raw = raw.lstrip(b"\xff")
            if raw:
                break
            raw = self._f.read(_BLOCK)
            if not raw:
                return None
        self._raw = raw[1:]
        self._begin()
        return raw[0]

    def _more(self, tail):
        # `tail` and what comes behind it; where the codes end, ones for those who look ahead.
        if self._ended:
            if self._ones:
                raise PixError("bad-picture", _DAMAGED)
            self._ones = 8
            return tail + b"\xff" * 8
        return tail + self._next()

    def _next(self):
        # The next piece of the codes without its stuffing, empty at most at their end.
        raw = self._raw
        if len(raw) < 2:
            raw += self._f.read(_BLOCK)
        at = len(raw)
        if len(raw) < 2:
            self._ended = True
            at = 0 if raw == b"\xff" else at
        elif raw.count(b"\xff") != raw.count(b"\xff\x00"):
            at = raw.find(b"\xff")
            while at + 1 < len(raw) and raw[at + 1] == 0:
                at = raw.find(b"\xff", at + 2)
                if at < 0:
                    at = len(raw)
            self._ended = at + 1 < len(raw)
        self._raw = raw[at:]
        return raw[:at].replace(b"\xff\x00", b"\xff")
