"""The same program on real firmware and on the hosted engine: same output, same files, same panel."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from maixpix.demo.verdicts import psnr

pytestmark = pytest.mark.firmware

# Left out, because the hosted engine is known to differ: the texts of exceptions, digits of floats beyond single
# precision, and the shapes of letters.
CORE = """
print("%.5f" % (1 / 3), 2 ** 100, -7 // 2, -7 % 3, round(2.5), 100.0, 3.5 * 2)
print("%d %5.2f %s %r" % (7, 1 / 3, "a", "b"), "{:>5}|{:<5}|{:x}".format(1, 2, 255))
print(b"\\x00a\\xff", bytes(3), "text".encode(), bytearray(b"ab"))
for bad in ("1//0", "[][1]", "{}['k']", "int('x')", "None.a", "open('/sd/none')"):
    try:
        eval(bad)
    except Exception as error:
        print(bad, type(error).__name__)
import sys, gc
print(sys.implementation[0], sys.version_info[:2], sys.platform, sys.maxsize)
print(hash("a") == hash("a"), sorted({"b": 1, "a": 2}), [i for i in range(10, 0, -3)])
"""

FILES = """
import uos
f = open("/sd/a.txt", "w"); print(f.write("line one\\nline two\\n")); f.close()
f = open("/sd/a.txt"); print(f.readline(), f.read(3), f.tell(), f.seek(0), f.readlines()); f.close()
f = open("/sd/a.txt", "rb"); b = bytearray(5); print(f.readinto(b), b, f.read()); f.close()
print(uos.stat("/sd/a.txt")[0], uos.stat("/sd/a.txt")[6])
uos.mkdir("/sd/d")
for call in (lambda: uos.mkdir("/sd/d"), lambda: uos.remove("/sd/x"), lambda: uos.rmdir("/sd/x"),
             lambda: uos.rename("/sd/x", "/sd/y"), lambda: uos.stat("/sd/x"), lambda: uos.listdir("/sd/x")):
    try:
        print(call())
    except OSError as error:
        print("OSError", error.args)
uos.rename("/sd/a.txt", "/sd/d/b.txt")
print(sorted(e[:2] for e in uos.ilistdir("/sd/d")), uos.getcwd())
"""

DRAWING = """
import lcd, image
lcd.init()
lcd.clear((0, 0, 255))
print(lcd.width(), lcd.height())
img = image.Image(size=(320, 240))
img.draw_rectangle(10, 20, 100, 50, (255, 0, 0), 1, True)
img.draw_circle(200, 120, 40, (255, 255, 0), 1, True)
img.draw_line(0, 0, 319, 239, (0, 255, 0), 1)
print(img.width(), img.height(), img.get_pixel(15, 25), img.get_pixel(0, 0))
lcd.display(img)
lcd.fill_rectangle(0, 220, 50, 10, (0, 255, 255))
"""

TIME = """
import utime
a = utime.ticks_ms(); utime.sleep_ms(500); b = utime.ticks_diff(utime.ticks_ms(), a)
print(499 <= b <= 501)
a = utime.ticks_us(); utime.sleep_us(2000); b = utime.ticks_diff(utime.ticks_us(), a)
print(2000 <= b <= 2500)
import uhashlib, ubinascii, ujson, ustruct
print(ubinascii.hexlify(uhashlib.sha256(b"abc").digest()), ubinascii.crc32(b"abc"), ubinascii.b2a_base64(b"abcd"))
print(ujson.loads('{"a": [1, 2.5, null, true]}'), ujson.dumps([1, "x", None]), ustruct.pack("<HIb", 1, 2, -3))
"""


def program_lines(said: str, wanted: str) -> str:
    """The end of a console that also shows the boot, as long as the other engine's output."""
    return "\n".join(said.rstrip("\n").split("\n")[-len(wanted.rstrip("\n").split("\n")) :]) + "\n"


def same_panel(one: Path, other: Path) -> float:
    """PSNR in dB of two panels."""
    with Image.open(one) as a, Image.open(other) as b:
        assert a.size == b.size
        return psnr(a, b)


@pytest.mark.parametrize("source", [CORE, FILES, TIME, DRAWING], ids=["core", "files", "time", "drawing"])
def test_programs_cannot_tell_the_engines_apart(both: Callable, source: str) -> None:
    (chip, chip_card, chip_panel), (hosted, hosted_card, hosted_panel) = both(source)
    assert program_lines(hosted, chip) == chip
    names = {str(p.relative_to(chip_card)) for p in chip_card.rglob("*")} - {"main.py", "boot.py"}
    assert names == {str(p.relative_to(hosted_card)) for p in hosted_card.rglob("*")} - {"main.py", "boot.py"}
    for name in names:
        if (chip_card / name).is_file():
            assert (chip_card / name).read_bytes() == (hosted_card / name).read_bytes(), name
    if source == DRAWING:
        assert same_panel(chip_panel, hosted_panel) == math.inf
