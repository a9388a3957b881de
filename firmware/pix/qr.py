# QR codes for the panel: bytes, error correction M, versions 1 to 10 (213 bytes), ISO/IEC 18004.
#
#     code = matrix("http://192.168.4.50/")     # rows, one byte a module: 1 is dark
#     draw(code, left, top, side)

from micropython import const

from pix.errors import PixError

_QUIET = const(2)  # modules of white around it on the panel; the standard wants 4, readers are content with 2
_DARK = const(1)
_FIXED = const(2)  # belongs to the pattern and not to the data

# For each version: bytes of correction a block, blocks, data bytes of each, blocks with one more, places of the marks.
_VERSIONS = (
    (10, 1, 16, 0, ()),
    (16, 1, 28, 0, (6, 18)),
    (26, 1, 44, 0, (6, 22)),
    (18, 2, 32, 0, (6, 26)),
    (24, 2, 43, 0, (6, 30)),
    (16, 4, 27, 0, (6, 34)),
    (18, 4, 31, 0, (6, 22, 38)),
    (22, 2, 38, 2, (6, 24, 42)),
    (22, 3, 36, 2, (6, 26, 46)),
    (26, 4, 43, 1, (6, 28, 50)),
)


def matrix(text, mask=None):
    # The code for `text` (str or bytes), a list of rows (bytearray), 1 for dark modules. `mask` 0 to 7; the one that is
    # easiest to read unless given. Raises PixError "internal" for more than 213 bytes.
    data = text.encode() if isinstance(text, str) else text
    for version in range(1, len(_VERSIONS) + 1):
        _, blocks, size, longer, _ = _VERSIONS[version - 1]
        room = blocks * size + longer * (size + 1)
        if len(data) + (2 if version < 10 else 3) <= room:
            break
    else:
        raise PixError("internal", "%d bytes do not fit into a QR code" % len(data))
    rows = _pattern(version)
    _place(rows, _interleaved(_padded(data, version, room), version))
    if mask is None:
        best = None
        for tried in range(8):
            _apply(rows, tried)
            _format(rows, tried)
            cost = _cost(rows)
            if best is None or cost < best:
                best = cost
                mask = tried
            _apply(rows, tried)  # takes it away again
    _apply(rows, mask)
    _format(rows, mask)
    for row in rows:
        for x in range(len(row)):
            row[x] &= _DARK
    return rows


def draw(rows, left, top, side):
    # Draw the code into a square of `side` pixels of the panel, as large as whole pixels allow. Raises PixError
    # "too-big" when a module would have no pixel.
    import image
    import lcd

    count = len(rows) + 2 * _QUIET
    scale = side // count
    if not scale:
        raise PixError("too-big", "a code of %d modules" % count)
    width = count * scale
    left += (side - width) // 2
    top += (side - width) // 2
    strip = image.Image(size=(width, scale))
    for y in range(count):
        strip.draw_rectangle(0, 0, width, scale, color=(255, 255, 255), fill=True)
        if _QUIET <= y < count - _QUIET:
            row = rows[y - _QUIET]
            for x in range(len(row)):
                if row[x]:
                    strip.draw_rectangle((x + _QUIET) * scale, 0, scale, scale, color=(0, 0, 0), fill=True)
        lcd.display(strip, oft=(left, top + y * scale))


def _padded(data, version, room):
    # Mode, length, data, end and padding: `room` bytes.
    digits = 8 if version < 10 else 16
    value = 4 << digits | len(data)
    bits = 4 + digits
    out = bytearray(room)
    at = 0
    for byte in data:
        value = (value << 8 | byte) & 0xFFFFFFF
        bits += 8
        while bits >= 8:
            bits -= 8
            out[at] = value >> bits & 0xFF
            at += 1
    while bits >= 8:
        bits -= 8
        out[at] = value >> bits & 0xFF
        at += 1
    out[at] = value << (8 - bits) & 0xFF  # four bits are left, and four of zeros end it
    pad = 0xEC
    for i in range(at + 1, room):
        out[i] = pad
        pad ^= 0xEC ^ 0x11
    return out


def _interleaved(data, version):
    # The data's blocks and their correction, byte by byte in turn.
    correction, blocks, size, longer, _ = _VERSIONS[version - 1]
    parts = []
    at = 0
    for i in range(blocks + longer):
        end = at + size + (1 if i >= blocks else 0)
        parts.append(data[at:end])
        at = end
    divisor = _divisor(correction)
    checks = [_remainder(part, divisor) for part in parts]
    out = bytearray()
    for i in range(size + (1 if longer else 0)):
        for part in parts:
            if i < len(part):
                out.append(part[i])
    for i in range(correction):
        for check in checks:
            out.append(check[i])
    return out


def _times(a, b):
    # In the field of 256 elements by x^8 + x^4 + x^3 + x^2 + 1.
    out = 0
    while b:
        if b & 1:
            out ^= a
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return out


def _divisor(degree):
    out = bytearray(degree)
    out[degree - 1] = 1
    root = 1
    for _ in range(degree):
        for i in range(degree):
            out[i] = _times(out[i], root) ^ (out[i + 1] if i + 1 < degree else 0)
        root = _times(root, 2)
    return out


def _remainder(data, divisor):
    out = bytearray(len(divisor))
    for byte in data:
        factor = byte ^ out[0]
        for i in range(len(out)):
            out[i] = (out[i + 1] if i + 1 < len(out) else 0) ^ _times(divisor[i], factor)
    return out


def _pattern(version):
    # The modules that are the same for all data of a version; all places of the format are taken.
    size = 17 + 4 * version
    rows = [bytearray(size) for _ in range(size)]
    for i in range(size):
        rows[6][i] = rows[i][6] = _FIXED | (_DARK if not i & 1 else 0)
    for top, left in ((3, 3), (3, size - 4), (size - 4, 3)):
        for dy in range(-4, 5):
            for dx in range(-4, 5):
                if 0 <= top + dy < size and 0 <= left + dx < size:
                    ring = max(abs(dx), abs(dy))
                    rows[top + dy][left + dx] = _FIXED | (_DARK if ring != 2 and ring != 4 else 0)
    marks = _VERSIONS[version - 1][4]
    for y in marks:
        for x in marks:
            if (y == 6 and (x == 6 or x == size - 7)) or (x == 6 and y == size - 7):
                continue
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    rows[y + dy][x + dx] = _FIXED | (_DARK if max(abs(dx), abs(dy)) != 1 else 0)
    _format(rows, 0)
    if version >= 7:
        rest = version
        for _ in range(12):
            rest = rest << 1 ^ (rest >> 11) * 0x1F25
        bits = version << 12 | rest
        for i in range(18):
            value = _FIXED | bits >> i & 1
            rows[size - 11 + i % 3][i // 3] = rows[i // 3][size - 11 + i % 3] = value
    return rows


def _format(rows, mask):
    # Correction M and the mask, twice.
    size = len(rows)
    rest = mask
    for _ in range(10):
        rest = rest << 1 ^ (rest >> 9) * 0x537
    bits = (mask << 10 | rest) ^ 0x5412
    for i in range(15):
        value = _FIXED | bits >> i & 1
        if i < 6:
            rows[i][8] = value
        elif i < 8:
            rows[i + 1][8] = value
        elif i == 8:
            rows[8][7] = value
        else:
            rows[8][14 - i] = value
        if i < 8:
            rows[8][size - 1 - i] = value
        else:
            rows[size - 15 + i][8] = value
    rows[size - 8][8] = _FIXED | _DARK


def _place(rows, data):
    # The bits of `data`, in columns of two from the right, up and down in turn.
    size = len(rows)
    i = 0
    right = size - 1
    while right > 0:
        if right == 6:
            right = 5
        for step in range(size):
            y = size - 1 - step if (right + 1) & 2 == 0 else step
            for x in (right, right - 1):
                if not rows[y][x] & _FIXED and i < len(data) * 8:
                    rows[y][x] = data[i >> 3] >> (7 - (i & 7)) & 1
                    i += 1
        right -= 2


def _apply(rows, mask):
    # Turn over the data modules that the mask names; a second time undoes it.
    for y in range(len(rows)):
        row = rows[y]
        for x in range(len(row)):
            if not row[x] & _FIXED and _masked(mask, x, y):
                row[x] ^= _DARK


def _masked(mask, x, y):
    if mask == 0:
        return not (x + y) & 1
    if mask == 1:
        return not y & 1
    if mask == 2:
        return not x % 3
    if mask == 3:
        return not (x + y) % 3
    if mask == 4:
        return not (x // 3 + y // 2) & 1
    if mask == 5:
        return not x * y % 2 + x * y % 3
    if mask == 6:
        return not (x * y % 2 + x * y % 3) & 1
    return not ((x + y) % 2 + x * y % 3) & 1


def _cost(rows):
    # How hard it is to read: runs of one colour, squares of it, and how far from half of it is dark (7.8.3 without the
    # search for marks in the data, which costs more than it brings on codes this small).
    size = len(rows)
    cost = dark = 0
    for y in range(size):
        across = down = 0
        for x in range(size):
            here = rows[y][x] & _DARK
            dark += here
            across = across + 1 if x and here == rows[y][x - 1] & _DARK else 1
            down = down + 1 if x and rows[x][y] & _DARK == rows[x - 1][y] & _DARK else 1
            for run in (across, down):
                cost += 3 if run == 5 else 1 if run > 5 else 0
            if x and y and here == rows[y][x - 1] & _DARK == rows[y - 1][x] & _DARK == rows[y - 1][x - 1] & _DARK:
                cost += 3
    return cost + abs(20 * dark - 10 * size * size) // (size * size) * 10
