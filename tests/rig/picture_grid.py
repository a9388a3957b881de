"""A grid of picture files: every feature that MaixPy's readers tell apart, undamaged and damaged.

`grid()` gives some six hundred files with their pictures, the same at every call. What a board makes of them is
judged by `is_right`.
"""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image, ImageChops, ImageStat

from rig import jpeg_maker as jm
from rig.jpeg_maker import EOI, JFIF, Table, adobe, exif, join, make, segment, split, weave

SIZE = (64, 48)


@dataclass(frozen=True)
class Case:
    """One file; `picture` is what it shows (of a damaged one: what it showed), None when it is no picture."""

    title: str
    """What is special about it, with the extension of the file's name."""
    data: bytes
    picture: Image.Image | None
    damaged: bool = False
    orientation: int = 1
    """As its EXIF tells it."""
    number: int = 0

    @property
    def name(self) -> str:
        """The file's name in the grid, for a card."""
        stem, dot, extension = self.title.rpartition(".")
        return f"{self.number:04d}{dot}{extension if stem else ''}"


def scene(size: tuple[int, int] = SIZE) -> Image.Image:
    """Colours that change smoothly, another one in every corner."""
    green = Image.linear_gradient("L").resize(size)
    red = Image.linear_gradient("L").rotate(90).resize(size)
    return Image.merge("RGB", (red, green, Image.radial_gradient("L").resize(size)))


def other_scene() -> Image.Image:
    """Another picture of the same size."""
    red, green, blue = scene().split()
    return Image.merge("RGB", (ImageChops.invert(blue), red.transpose(Image.Transpose.FLIP_TOP_BOTTOM), green))


def is_right(shown: Image.Image, wanted: Image.Image) -> bool:
    """Whether `shown`, of 16 bits a pixel and without smoothed chroma, is the picture `wanted`."""
    if shown.size != wanted.size:
        return False
    difference = ImageChops.difference(shown.convert("RGB"), wanted.convert("RGB"))
    return max(ImageStat.Stat(difference).mean) < 8 and max(high for _, high in difference.getextrema()) <= 48


def by_pillow(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """What Pillow writes."""
    out = io.BytesIO()
    if kind == "JPEG":
        options.setdefault("quality", 90)
    picture.save(out, kind, **options)
    return out.getvalue()


def grid() -> list[Case]:
    """All files."""
    made = [*_jpeg_good(), *_jpeg_damaged(), *_bmp_good(), *_bmp_damaged(), *_others()]
    return [replace(case, number=number) for number, case in enumerate(made)]


# -- JPEG, undamaged ----------------------------------------------------------------------------------------


def _jpeg_good() -> Iterator[Case]:
    picture = scene()
    grey = picture.convert("L")
    sampled = {"444": (1, 1), "422": (2, 1), "440": (1, 2), "420": (2, 2)}
    for size in ((1, 1), (2, 3), (7, 9), (8, 8), (15, 17), (16, 16), (17, 15), (33, 31), (64, 48), (96, 72)):
        part = scene(size)
        for name, first in sampled.items():
            wanted = _coarse(part, *first)
            yield Case(f"{name} of {size}.jpg", make(part, factors=(first, (1, 1), (1, 1))), wanted)
        yield Case(f"grey of {size}.jpg", make(part, colours="L"), part.convert("L"))
    for quality in (1, 10, 35, 50, 75, 95, 100):
        data = by_pillow(picture, quality=quality)
        yield Case(f"quality {quality}.jpg", data, Image.open(io.BytesIO(data)).convert("RGB"))
    yield Case("optimised.jpg", by_pillow(picture, optimize=True), picture)
    yield Case("progressive.jpg", by_pillow(picture, progressive=True), picture)
    yield Case("progressive grey.jpg", by_pillow(grey, progressive=True), grey)
    yield from _factors(picture, grey)
    yield from _colour_spaces(picture, grey)
    yield from _tables(picture)
    yield from _restarts(picture)
    yield from _frames(picture)
    yield from _padding(picture)


def _coarse(picture: Image.Image, h: int, v: int) -> Image.Image:
    """`picture` as it is when its chroma has one sample for `h` times `v` pixels."""
    whole = Image.new("YCbCr", (-(-picture.width // h) * h, -(-picture.height // v) * v))
    bands = []
    for band in picture.convert("YCbCr").split():
        part = jm.extended(band, whole.size)
        if bands:
            small = part.resize((whole.width // h, whole.height // v), Image.Resampling.BOX)
            part = small.resize(whole.size, Image.Resampling.NEAREST)
        bands.append(part)
    return Image.merge("YCbCr", bands).crop((0, 0, *picture.size)).convert("RGB")


def _factors(picture: Image.Image, grey: Image.Image) -> Iterator[Case]:
    one = (1, 1)
    for first in ((4, 1), (1, 4), (4, 2), (2, 4), (3, 1), (1, 3), (3, 2), (4, 4)):
        if first[0] * first[1] <= 8:
            yield Case(f"luma {first}.jpg", make(picture, factors=(first, one, one)), picture)
    for chroma in (((1, 2), (1, 2)), ((2, 1), (2, 1)), ((1, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 1), (1, 1))):
        yield Case(f"chroma {chroma}.jpg", make(picture, factors=((2, 2), *chroma)), picture)
    yield Case("all 2x1.jpg", make(picture, factors=((2, 1),) * 3), picture)
    yield Case("chroma finer.jpg", make(picture, factors=(one, (2, 1), one)), picture)
    for factors in (0x21, 0x12, 0x22, 0x41, 0x44):
        parts = split(make(picture, colours="L"))
        at = parts.index(0xC0)
        frame = parts.head[at]
        yield Case(
            f"grey told {factors:02x}.jpg",
            join(parts.change(at, frame[:11] + bytes((factors,)) + frame[12:])),
            grey,
        )


def _colour_spaces(picture: Image.Image, grey: Image.Image) -> Iterator[Case]:
    letters, odd = (82, 71, 66), (5, 200, 9)
    for name, before in {"": b"", "jfif": JFIF, "adobe 0": adobe(0), "jfif adobe 0": JFIF + adobe(0)}.items():
        for ids in ((1, 2, 3), letters, odd, (0, 1, 2)):
            # How readers decide: JFIF, then Adobe's transform, then the letters (libjpeg's jdapimin.c).
            rgb = "jfif" not in name and ("adobe" in name or ids == letters)
            yield Case(
                f"{'RGB' if rgb else 'YCC'} {name} {ids}.jpg",
                make(picture, colours="RGB" if rgb else "YCbCr", ids=ids, before=before),
                picture,
            )
    for transform in (1, 2):
        for first in (b"", JFIF):
            yield Case(f"adobe {transform} {len(first)}.jpg", make(picture, before=first + adobe(transform)), picture)
    yield Case("RGB 2x1.jpg", make(picture, colours="RGB", before=adobe(0), factors=((2, 1), (1, 1), (1, 1))), picture)
    yield Case("RGB interval.jpg", make(picture, colours="RGB", before=adobe(0), interval=2), picture)
    yield Case("RGB adobe behind.jpg", make(picture, colours="RGB", before=b"", behind_frame=adobe(0)), picture)
    yield Case("RGB pillow.jpg", by_pillow(picture, keep_rgb=True), picture)
    yield Case("YCC letters adobe 1.jpg", make(picture, ids=letters, before=adobe(1)), picture)
    yield Case("YCC ids 3 2 1.jpg", make(picture, ids=(3, 2, 1)), picture)
    yield Case("YCC short adobe.jpg", make(picture, before=segment(0xEE, b"Adobe\0")), picture)
    yield Case("YCC letters, JFXX only.jpg", make(picture, before=segment(0xE0, b"JFXX\0\x10")), picture)
    yield Case(
        "RGB, JFXX only.jpg", make(picture, colours="RGB", ids=letters, before=segment(0xE0, b"JFXX\0\x10")), picture
    )
    yield Case(
        "RGB, JFIF is not APP0.jpg", make(picture, colours="RGB", ids=letters, before=segment(0xE1, JFIF[4:])), picture
    )
    yield Case("grey adobe 0.jpg", make(picture, colours="L", before=adobe(0)), grey)
    yield Case("grey odd id.jpg", make(picture, colours="L", ids=(82,)), grey)
    for mode, extra in (("CMYK", b""), ("CMYK", adobe(0)), ("CMYK", adobe(2))):
        four = ((1, 1),) * 4
        data = make(picture, colours=mode, ids=(1, 2, 3, 4), factors=four, before=extra)
        yield Case(f"{mode} {extra[-1:].hex()}.jpg", data, picture)
    yield Case("CMYK pillow.jpg", by_pillow(picture.convert("CMYK")), picture)


def _tables(picture: Image.Image) -> Iterator[Case]:
    one = make(picture)
    yield Case("DHT in one.jpg", make(picture, one_dht=True), picture)
    yield Case("DHT first.jpg", make(picture, tables_first=True), picture)
    yield Case("DHT ids swapped.jpg", make(picture, dc=(1, 0, 0), ac=(1, 0, 0)), picture)
    for count in (13, 14, 16):
        table = Table((0, 0, 0, min(count, 14), count - min(count, 14)) + (0,) * 11, tuple(range(count)))
        for tables, name in (({0: table, 1: table}, "both"), ({0: jm.DC_PLAIN, 1: table}, "second")):
            for one_dht in (False, True):
                data = make(picture, dc_tables=tables, one_dht=one_dht)
                yield Case(f"DC of {count} {name} {one_dht}.jpg", data, picture)
    for used in ((0, 2, 2), (2, 2, 2), (0, 3, 3)):
        tables = dict.fromkeys(used, jm.DC_PLAIN)
        codes = dict.fromkeys(used, jm.AC_PLAIN)
        yield Case(f"DHT ids {used}.jpg", make(picture, dc=used, ac=used, dc_tables=tables, ac_tables=codes), picture)
        yield Case(f"DC ids {used}.jpg", make(picture, dc=used, dc_tables=tables), picture)
    spare = {0: jm.DC_PLAIN, 1: jm.DC_STEEP, 2: jm.DC_PLAIN}
    yield Case("DHT unused 2.jpg", make(picture, dc_tables=spare), picture)
    yield Case("DHT unused 2 in one.jpg", make(picture, dc_tables=spare, one_dht=True), picture)
    parts = split(one)
    bare = [piece for piece in parts.head if piece[1] != 0xC4]
    yield Case("no DHT.jpg", join(jm.Parts(tuple(bare), parts.scan, parts.tail)), picture)
    yield Case("DHT twice.jpg", join(parts.put(parts.index(0xC4), parts.head[parts.index(0xC4)])), picture)
    yield Case("16 bit DQT.jpg", make(picture, wide_steps=True), picture)
    for used in ((0, 1, 2), (1, 2, 2), (2, 3, 3), (0, 0, 3)):
        yield Case(f"DQT ids {used}.jpg", make(picture, quantiser=used), picture)
    yield Case("DQT one.jpg", make(picture, quantiser=(0, 0, 0)), picture)
    yield Case("DQT swapped.jpg", make(picture, quantiser=(1, 0, 0)), picture)
    dqt = [piece for piece in parts.head if piece[1] == 0xDB]
    rest = [piece for piece in parts.head if piece[1] != 0xDB]
    spare_table = b"\x03" + bytes((9,)) * 64

    def with_dqt(*pieces: bytes, behind: bool = False) -> bytes:
        head = rest[:]
        at = len(head) - 1 if behind else 1
        head[at:at] = pieces
        return join(jm.Parts(tuple(head), parts.scan, parts.tail))

    tables = [piece[4:] for piece in dqt]
    yield Case("DQT in one.jpg", with_dqt(segment(0xDB, b"".join(tables))), picture)
    yield Case("DQT behind SOF.jpg", with_dqt(*dqt, behind=True), picture)
    yield Case("DQT twice.jpg", with_dqt(*dqt, *dqt), picture)
    yield Case("DQT 3 alone.jpg", with_dqt(segment(0xDB, spare_table), *dqt), picture)
    yield Case("DQT 3 last.jpg", with_dqt(segment(0xDB, b"".join([*tables, spare_table]))), picture)
    yield Case("DQT 3 first.jpg", with_dqt(segment(0xDB, b"".join([spare_table, *tables]))), picture)
    yield Case("DQT 3 between.jpg", with_dqt(segment(0xDB, tables[0] + spare_table + tables[1])), picture)


def _restarts(picture: Image.Image) -> Iterator[Case]:
    for interval in (1, 2, 3, 7, 8, 12, 47, 48, 65535):
        yield Case(f"DRI {interval}.jpg", make(picture, interval=interval), picture)
    yield Case("DRI 420.jpg", make(picture, interval=2, factors=((2, 2), (1, 1), (1, 1))), picture)
    yield Case("DRI grey.jpg", make(picture, interval=5, colours="L"), picture.convert("L"))
    yield Case("DRI pad 0.jpg", make(picture, interval=5, padding=0), picture)
    yield Case("DRI pillow.jpg", by_pillow(picture, restart_marker_rows=1), picture)
    parts = split(make(picture))
    dri = segment(0xDD, b"\0\0")
    yield Case("DRI 0.jpg", join(parts.put(len(parts.head) - 1, dri)), picture)
    whole = split(make(picture, interval=4))
    filled = b"".join(
        piece if not i else b"\xff\xff" + bytes((0xFF, 0xD0 + (i - 1) % 8)) + piece
        for i, piece in enumerate(whole.intervals())
    )
    yield Case("DRI fill.jpg", join(jm.Parts(whole.head, filled)), picture)


def _frames(picture: Image.Image) -> Iterator[Case]:
    for sof in (0xC1, 0xC3, 0xC5, 0xC9, 0xCA, 0xCB, 0xCD):
        yield Case(f"SOF {sof:02x}.jpg", make(picture, sof=sof), picture)
    for scans in (((0,), (1,), (2,)), ((0, 1), (2,)), ((0,), (1, 2)), ((2,), (1,), (0,)), ((1, 2), (0,))):
        for first in ((1, 1), (2, 2)):
            factors = (first, (1, 1), (1, 1))
            yield Case(f"scans {scans} {first}.jpg", make(picture, scans=scans, factors=factors), picture)
    yield Case("scans interval.jpg", make(picture, scans=((0,), (1,), (2,)), interval=4), picture)
    parts = split(make(picture))
    at = parts.index(0xC0)
    frame = parts.head[at]
    yield Case("12 bits.jpg", join(parts.change(at, frame[:4] + b"\x0c" + frame[5:])), picture)
    dnl = b"\xff\xdc\x00\x04" + SIZE[1].to_bytes(2, "big")
    yield Case("DNL.jpg", join(jm.Parts(parts.head, parts.scan, dnl + EOI)), picture)
    no_height = join(jm.Parts(parts.change(at, frame[:5] + b"\0\0" + frame[7:]).head, parts.scan, dnl + EOI))
    yield Case("DNL height 0.jpg", no_height, picture)
    sos = parts.head[-1]
    yield Case("SOS 0 0.jpg", join(parts.change(len(parts.head) - 1, sos[:-3] + b"\0\0\0")), picture)
    yield Case("2 components.jpg", make(picture, colours="LA", factors=((1, 1),) * 2), picture.convert("L"))


def _padding(picture: Image.Image) -> Iterator[Case]:
    parts = split(make(picture))
    whole = join(parts)
    for count in (1, 3, 200, 300, 2000):
        yield Case(f"fill {count}.jpg", whole[:20] + b"\xff" * count + whole[20:], picture)
    for count in (1, 250, 1000):
        yield Case(f"COM x {count}.jpg", join(parts.put(1, *[segment(0xFE, b"note")] * count)), picture)
    tricky = b"\xff\xd8\xff\xda\xff\xd9\xff\xc2" * 8
    for content in (b"", tricky, bytes(65533)):
        yield Case(f"COM {len(content)}.jpg", join(parts.put(1, segment(0xFE, content))), picture)
    for marker in (0xE1, 0xE2, 0xED, 0xEF):
        yield Case(f"APP {marker:02x}.jpg", join(parts.put(1, segment(marker, tricky * 1000))), picture)
    yield Case("ICC x 3.jpg", join(parts.put(1, *[segment(0xE2, b"ICC_PROFILE\0" + bytes(65000))] * 3)), picture)
    small = by_pillow(scene((16, 12)))
    yield Case("thumbnail.jpg", join(parts.put(1, segment(0xE1, b"Exif\0\0" + small))), picture)
    yield Case("no APP0.jpg", join(parts.change(0)), picture)
    for order in ("little", "big"):
        for orientation in range(9):
            yield Case(
                f"EXIF {orientation} {order}.jpg",
                make(picture, before=exif(orientation, order)),
                picture,
                orientation=max(1, orientation),
            )
    yield Case("EXIF 6 behind JFIF.jpg", make(picture, before=JFIF + exif(6)), picture, orientation=6)
    yield Case("EXIF 3, then 8.jpg", make(picture, before=exif(3) + exif(8)), picture, orientation=3)
    yield Case("EXIF 2, then one of nothing.jpg", make(picture, before=exif(2) + exif(0)), picture, orientation=2)
    for count in (1, 62, 63, 64, 96, 1000, 50000):
        yield Case(f"{count} zeros behind.jpg", whole + bytes(count), picture)
    yield Case("noise behind.jpg", whole + random.Random(3).randbytes(5000), picture)
    yield Case("picture behind.jpg", whole + by_pillow(other_scene()), picture)
    yield Case("half an EOI.jpg", whole[:-1], picture)
    yield Case("no EOI.jpg", whole[:-2], picture)
    yield Case("newline for EOI.jpg", whole[:-2] + b"\n", picture)
    yield Case("newline behind.jpg", whole + b"\r\n", picture)
    grey = split(make(picture, colours="L", interval=6))
    yield Case("grey no EOI.jpg", join(jm.Parts(grey.head, grey.scan, b"")), picture.convert("L"))
    last = split(make(picture, interval=6))
    yield Case("DRI no EOI.jpg", join(jm.Parts(last.head, last.scan, b"")), picture)
    for filler in (bytes(1), bytes(7), bytes(200), b"\xff" * 3, b"\xff" * 500):
        data = join(jm.Parts(parts.head, parts.scan, filler + EOI))
        yield Case(f"{filler[:1].hex()} x {len(filler)} before EOI.jpg", data, picture)
    yield Case("COM behind the scan.jpg", join(jm.Parts(parts.head, parts.scan, segment(0xFE, b"x") + EOI)), picture)
    yield Case("pad 0.jpg", make(picture, padding=0), picture)


# -- JPEG, damaged ------------------------------------------------------------------------------------------


def _jpeg_damaged() -> Iterator[Case]:
    picture = scene()
    for name, data in _damages(picture):
        yield Case(f"{name}.jpg", data, picture, damaged=True)


def _damages(picture: Image.Image) -> Iterator[tuple[str, bytes]]:
    plain, striped = split(make(picture)), split(make(picture, interval=4))
    foreign = split(make(other_scene()))
    yield from _header_damages(plain)
    for name, parts in (
        ("", plain),
        (" DRI", striped),
        (" 420", split(make(picture, factors=((2, 2), (1, 1), (1, 1))))),
    ):
        whole = join(parts)
        start = len(whole) - len(parts.scan) - 2
        for share in (0, 10, 50, 90, 99):
            end = start + len(parts.scan) * share // 100
            yield f"cut {share}{name}", whole[:end]
            yield f"cut {share} EOI{name}", whole[:end] + EOI
        half = len(parts.scan) // 2
        yield f"half zeros{name}", whole[: start + half] + bytes(half) + EOI
        for size in (1, 7, 100):
            yield f"hole {size}{name}", whole[: start + half] + whole[start + half + size :]
            yield f"zeros {size}{name}", whole[: start + half] + bytes(size) + whole[start + half + size :]
            yield f"double {size}{name}", whole[: start + half] + whole[start + half - size :]
        piece = foreign.scan[half - 200 : half]
        yield f"foreign{name}", whole[: start + half - 200] + piece + whole[start + half :]
        dice = random.Random(len(whole))
        for number in range(12):
            at = start + dice.randrange(len(parts.scan))
            yield f"flip {number}{name}", whole[:at] + bytes((whole[at] ^ 1 << dice.randrange(8),)) + whole[at + 1 :]
    yield from _restart_damages(striped)


def _header_damages(parts: jm.Parts) -> Iterator[tuple[str, bytes]]:
    whole = join(parts)
    start = len(whole) - len(parts.scan) - 2
    for at in (2, 3, 4, 12, 30, 100, start - 20, start - 3):
        yield f"header cut {at}", whole[:at]
    dice = random.Random(7)
    for number in range(40):
        at = dice.randrange(2, start)
        yield f"header flip {number}", whole[:at] + bytes((whole[at] ^ 1 << dice.randrange(8),)) + whole[at + 1 :]
    frame = parts.index(0xC0)
    sof = parts.head[frame]
    yield "TEM", join(parts.put(1, b"\xff\x01"))
    yield "RST in the header", join(parts.put(1, b"\xff\xd3"))
    yield "JPG", join(parts.put(1, segment(0xC8, b"")))
    yield "DAC", join(parts.put(1, segment(0xCC, b"\0\0")))
    yield "SOF twice", join(parts.put(frame, sof))
    yield "SOI twice", join(parts.put(0, jm.SOI))
    yield "EOI early", join(parts.put(1, EOI))
    yield "SOS before SOF", join(parts.put(1, parts.head[-1]))
    yield "DHP", join(parts.put(frame, segment(0xDE, sof[4:])))
    yield "stray bytes", join(parts.put(1, b"stray"))
    yield "stray 00", join(parts.put(1, b"\0" * 9))
    for more in (40, -4):
        app = parts.head[0]
        length = int.from_bytes(app[2:4], "big") + more
        yield f"APP0 {more}", join(parts.change(0, app[:2] + length.to_bytes(2, "big") + app[4:]))
    yield "APP0 length 0", join(parts.change(0, b"\xff\xe0\0\0"))
    sos = parts.head[-1]
    swapped = sos[:5] + sos[7:9] + sos[5:7] + sos[9:]
    yield "SOS order", join(parts.change(len(parts.head) - 1, swapped))
    yield "SOS foreign id", join(parts.change(len(parts.head) - 1, sos[:5] + b"\x07" + sos[6:]))
    yield "SOS long", join(parts.change(len(parts.head) - 1, segment(0xDA, sos[4:] + b"\0")))
    for name, height, width in (
        ("2 x", 96, 64),
        ("half", 24, 64),
        ("wider", 48, 80),
        ("giant", 3000, 4000),
        ("0", 48, 0),
    ):
        told = sof[:5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + sof[9:]
        yield f"size {name}", join(parts.change(frame, told))
    yield "size 17000", join(parts.change(frame, sof[:5] + (17000).to_bytes(2, "big") + sof[7:]))
    yield "SOF long", join(parts.change(frame, segment(0xC0, sof[4:] + b"\0")))
    yield "ids twice", join(parts.change(frame, sof[:10] + b"\1" + sof[11:13] + b"\1" + sof[14:]))
    dht = parts.index(0xC4)
    table = parts.head[dht]
    yield "DHT short", join(parts.change(dht, table[:2] + (len(table) - 7).to_bytes(2, "big") + table[4:]))
    yield "DHT full", join(parts.change(dht, segment(0xC4, table[4:5] + b"\x08" + table[6:])))
    dqt = parts.index(0xDB)
    yield "DQT short", join(parts.change(dqt, parts.head[dqt][:2] + b"\0\x30" + parts.head[dqt][4:]))
    yield "no DQT", join(parts.change(dqt))
    yield "DRI short", join(parts.put(dqt, b"\xff\xdd\0\3\0"))
    yield "no SOI", whole[2:]
    yield "newline before SOI", b"\n" + whole


def _restart_damages(parts: jm.Parts) -> Iterator[tuple[str, bytes]]:
    pieces = parts.intervals()

    def again(scan: bytes) -> bytes:
        return join(jm.Parts(parts.head, scan))

    yield "RST lost", again(weave(pieces[:4]) + pieces[4] + weave(pieces)[len(weave(pieces[:5])) :])
    yield "RST wrong", again(parts.scan.replace(b"\xff\xd2", b"\xff\xd5", 1))
    yield "RST all wrong", again(parts.scan.replace(b"\xff\xd0", b"\xff\xd7"))
    yield "interval lost", again(weave(pieces[:3] + pieces[4:]))
    yield "interval lost with its number", again(weave([*pieces[:3], b"", *pieces[4:]]))
    yield "intervals swapped", again(weave([*pieces[:3], pieces[4], pieces[3], *pieces[5:]]))
    yield "interval doubled", again(weave([*pieces[:3], pieces[2], *pieces[3:]]))
    yield "intervals too few", again(weave(pieces[:6]))
    yield "intervals too many", again(weave([*pieces, pieces[-1]]))
    dri = parts.index(0xDD)
    yield "DRI lost", join(parts.change(dri))
    yield "DRI 0 told", join(parts.change(dri, segment(0xDD, b"\0\0")))
    yield "DRI too long", join(parts.change(dri, segment(0xDD, b"\0\4\0")))
    yield "DRI other", join(parts.change(dri, segment(0xDD, b"\0\5")))
    plain = split(make(scene()))
    yield "DRI without RST", join(plain.put(len(plain.head) - 1, segment(0xDD, b"\0\4")))


# -- BMP ----------------------------------------------------------------------------------------------------

_GREY_RAMP = b"".join(bytes((i, i, i, 0)) for i in range(256))
_MASKS = {
    "565": (0xF800, 0x07E0, 0x001F), "555": (0x7C00, 0x03E0, 0x001F), "444": (0x0F00, 0x00F0, 0x000F),
    "BGR565": (0x001F, 0x07E0, 0xF800),
}  # fmt: skip


@dataclass(frozen=True)
class Bmp:
    """A BMP to be made of `picture`; the fields of the file's header unless told otherwise."""

    picture: Image.Image
    depth: int = 24
    compression: int = 0
    header: int = 40
    top_down: bool = False
    mirrored: bool = False
    masks: tuple[int, int, int] | None = None
    palette: bytes = b""
    colours: int = 0
    gap: int = 0
    planes: int = 1
    image_size: int | None = None
    size_error: int = 0
    offset_error: int = 0
    size_told: int | None = None
    behind: bytes = b""
    shows: Image.Image | None = None
    """What its palette makes of the picture, where that is something else."""

    def data(self) -> bytes:
        width, height = self.picture.size
        rows = [self._row(y) for y in range(height)]
        if not self.top_down:
            rows.reverse()
        body = b"".join(rows)
        masks = b"".join(mask.to_bytes(4, "little") for mask in self.masks or ())
        info = struct.pack(
            "<IiiHHIIiiII", self.header, -width if self.mirrored else width, -height if self.top_down else height,
            self.planes, self.depth, self.compression, len(body) if self.image_size is None else self.image_size,
            2835, 2835, self.colours, 0,
        )  # fmt: skip
        if self.header == 12:
            info = struct.pack("<IHHHH", 12, width, height, 1, self.depth)
        inside = self.header > 40
        extra = (masks if inside else b"").ljust(max(0, self.header - 40), b"\0")
        rest = extra + (b"" if inside else masks) + self.palette + b"\xee" * self.gap
        offset = 14 + len(info) + len(rest)
        total = offset + len(body) if self.size_told is None else self.size_told
        head = b"BM" + (total + self.size_error).to_bytes(4, "little") + bytes(4)
        return head + max(0, offset + self.offset_error).to_bytes(4, "little") + info + rest + body + self.behind

    def _row(self, y: int) -> bytes:
        line = self.picture.crop((0, y, self.picture.width, y + 1))
        if self.mirrored:
            line = line.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.depth == 8:
            row = line.tobytes() if line.mode in "LP" else line.convert("L").tobytes()
        elif self.depth == 24:
            row = line.convert("RGB").tobytes("raw", "BGR")
        elif self.depth == 32:
            row = line.convert("RGB").tobytes("raw", "BGRX")
        elif self.depth == 16:
            values = line.convert("RGB").tobytes()
            row = b"".join(self._packed(values[at : at + 3]) for at in range(0, len(values), 3))
        else:
            row = bytes((line.width * self.depth + 7) // 8)
        return row.ljust((self.picture.width * self.depth + 31) // 32 * 4, b"\0")

    def _packed(self, pixel: bytes) -> bytes:
        value = 0
        for part, mask in zip(pixel, self.masks or _MASKS["555"], strict=True):
            low = (mask & -mask).bit_length() - 1
            value |= (part * (mask >> low) // 255) << low
        return value.to_bytes(2, "little")


def _bmp_good() -> Iterator[Case]:
    picture = scene()
    grey = picture.convert("L")
    for name, made in _bmps(picture, grey):
        yield Case(f"{name}.bmp", made.data(), made.shows or made.picture)
    yield Case(
        "one grey pixel.bmp", Bmp(grey.crop((5, 5, 6, 6)), 8, palette=_GREY_RAMP).data(), grey.crop((5, 5, 6, 6))
    )
    pillow = {"pillow.bmp": picture, "pillow grey.bmp": grey, "pillow 1 bit.bmp": grey.convert("1")}
    for name, source in pillow.items():
        yield Case(name, by_pillow(source, "BMP"), source)
    yield Case("pillow palette.bmp", by_pillow(picture.quantize(64), "BMP"), picture.quantize(64).convert("RGB"))
    yield Case("pillow 32.bmp", by_pillow(picture.convert("RGBA"), "BMP"), picture)


def _bmps(picture: Image.Image, grey: Image.Image) -> Iterator[tuple[str, Bmp]]:
    for header in (40, 52, 56, 64, 108, 124):
        for top_down in (False, True):
            yield f"24 {header} {top_down}", Bmp(picture, header=header, top_down=top_down)
            yield f"565 {header} {top_down}", Bmp(picture, 16, 3, header, top_down, masks=_MASKS["565"])
            if header != 64:
                yield f"8 {header} {top_down}", Bmp(grey, 8, 0, header, top_down, palette=_GREY_RAMP)
    for width in (1, 2, 3, 5, 62, 63):
        yield f"24 width {width}", Bmp(scene((width, 9)))
        yield f"565 width {width}", Bmp(scene((width, 9)), 16, 3, masks=_MASKS["565"])
        yield f"8 width {width}", Bmp(scene((width, 9)).convert("L"), 8, palette=_GREY_RAMP)
    for name in ("555", "444", "BGR565"):
        for header in (40, 56, 124):
            yield f"{name} {header}", Bmp(picture, 16, 3, header, masks=_MASKS[name])
    true = (0xFF0000, 0x00FF00, 0x0000FF)
    for header in (40, 56, 108, 124):
        yield f"24 BITFIELDS {header}", Bmp(picture, 24, 3, header, masks=true)
    yield "24 gap", Bmp(picture, gap=33)
    yield "24 palette", Bmp(picture, palette=bytes(64), colours=16)
    yield "24 behind", Bmp(picture, behind=bytes(999))
    yield "24 image size 0", Bmp(picture, image_size=0)
    yield "24 planes 0", Bmp(picture, planes=0)
    yield "24 size too great", Bmp(picture, size_error=999)
    yield "24 size 0", Bmp(picture, size_told=0)
    for less in (1, 3, 100):
        yield f"24 size less {less}", Bmp(picture, size_error=-less)
    yield "24 mirrored", Bmp(picture, mirrored=True)
    yield "8 mirrored", Bmp(grey, 8, mirrored=True, palette=_GREY_RAMP, top_down=True)
    for count in (200, 17, 1, 255, 256):
        few = grey.point(lambda value, count=count: value * (count - 1) // 255)
        yield f"8 ramp of {count}", Bmp(few, 8, palette=_GREY_RAMP[: 4 * count], colours=count)
    colours = picture.quantize(256)
    yield "8 colour", Bmp(colours, 8, palette=bytes(_swapped(colours)).ljust(1024, b"\0"), shows=picture)
    inverse = b"".join(_GREY_RAMP[4 * i : 4 * i + 4] for i in range(255, -1, -1))
    yield "8 inverse", Bmp(grey.point(lambda value: 255 - value), 8, palette=inverse, shows=grey)
    sixteen = grey.point(lambda value: value // 17)
    yield (
        "8 sixteen greys",
        Bmp(sixteen, 8, palette=b"".join(bytes((17 * i,) * 3 + (0,)) for i in range(16)), colours=16, shows=grey),
    )
    yield (
        "8 tail of palette odd",
        Bmp(grey.point(lambda value: value // 2), 8, palette=_GREY_RAMP[:512] + bytes(512), colours=256),
    )
    for depth, compression in ((1, 0), (4, 0), (32, 0), (32, 3), (16, 0), (8, 1), (4, 2), (24, 4)):
        masks = true if compression == 3 else None
        yield f"{depth} {compression} kind", Bmp(picture, depth, compression, masks=masks, palette=_GREY_RAMP)
    yield "core header", Bmp(picture, header=12)


def _swapped(picture: Image.Image) -> Iterator[int]:
    """The palette as BMP has it."""
    values = picture.getpalette() or []
    for at in range(0, len(values), 3):
        yield from (values[at + 2], values[at + 1], values[at], 0)


def _bmp_damaged() -> Iterator[Case]:
    picture = scene()
    grey = picture.convert("L")
    kinds = {
        "24": Bmp(picture).data(), "24 top": Bmp(picture, top_down=True).data(),
        "565": Bmp(picture, 16, 3, masks=_MASKS["565"]).data(), "8": Bmp(grey, 8, palette=_GREY_RAMP).data(),
        "8 top": Bmp(grey, 8, palette=_GREY_RAMP, top_down=True).data(),
    }  # fmt: skip
    for name, data in kinds.items():
        for share in (20, 50, 90, 99):
            yield Case(f"{name} cut {share}.bmp", data[: len(data) * share // 100], picture, damaged=True)
        yield Case(f"{name} a byte short.bmp", data[:-1], picture, damaged=True)
    for cut in (2, 10, 14, 30, 53, 54):
        yield Case(f"24 header cut {cut}.bmp", kinds["24"][:cut], picture, damaged=True)
    for error in (-20, -54, -1):
        yield Case(f"24 offset {error}.bmp", Bmp(picture, offset_error=error).data(), picture, damaged=True)
    yield Case(
        "565 offset -12.bmp", Bmp(picture, 16, 3, masks=_MASKS["565"], offset_error=-12).data(), picture, damaged=True
    )
    yield Case("8 offset -100.bmp", Bmp(grey, 8, palette=_GREY_RAMP, offset_error=-100).data(), grey, damaged=True)
    yield Case("24 offset 9999.bmp", Bmp(picture, offset_error=9945).data(), picture, damaged=True)


# -- everything else ----------------------------------------------------------------------------------------


def _others() -> Iterator[Case]:
    picture = scene()
    grey = picture.convert("L")
    jpeg, bmp = by_pillow(picture), Bmp(picture).data()
    for name in ("x.bmp", "x.png", "x.JPG", "x.jpeg", "x", "x.ppm", "x.pgm", "x.raw"):
        yield Case(name, jpeg, picture)
    yield Case("grey.ppm", by_pillow(grey), grey)
    yield Case("grey.pgm", by_pillow(grey), grey)
    for name in ("b.jpg", "b.ppm", "b.pgm"):
        yield Case(name, bmp, picture)
    for kind in ("PNG", "GIF", "PPM", "WEBP", "TIFF", "ICO"):
        yield Case(f"{kind} as.jpg", by_pillow(picture, kind), picture)
    for name, data in {
        "empty": b"", "one byte": b"\xff", "B": b"B", "text": b"hello", "page": b"<html>", "zeros": bytes(500),
        "SOI": b"\xff\xd8", "SOI EOI": b"\xff\xd8\xff\xd9", "BM": b"BM", "gzip": b"\x1f\x8b\x08" + bytes(50),
    }.items():  # fmt: skip
        yield Case(f"{name}.jpg", data, None, damaged=True)
