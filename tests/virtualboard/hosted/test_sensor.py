"""sensor: pictures of the camera part through MaixPy's driver."""

import pytest
from PIL import Image as Pil

START = """
import sensor, image, lcd, time
sensor.reset()
sensor.set_pixformat(sensor.RGB565)
sensor.set_framesize(sensor.QVGA)
sensor.skip_frames(time=500)
"""


@pytest.fixture
def scene(tmp_path):
    """A picture whose four quarters differ."""
    out = Pil.new("RGB", (640, 480), (255, 0, 0))
    out.paste((0, 255, 0), (320, 0, 640, 240))
    out.paste((0, 0, 255), (0, 240, 320, 480))
    out.paste((255, 255, 255), (320, 240, 640, 480))
    path = tmp_path / "scene.png"
    out.save(path)
    return str(path)


def test_snapshot_and_show(device, scene):
    ran = device.run(
        START
        + """
img = sensor.snapshot()
print(img.width(), img.height(), img.format(), [img.get_pixel(x, y) for x, y in ((80, 60), (240, 60), (80, 180))])
lcd.init(); lcd.display(img)
print(sensor.width(), sensor.get_id() == sensor.OV2640)
""",
        settings={"camera": scene},
    )
    assert ran.lines == ["[MAIXPY]: find ov2640", "320 240 2 [(255, 0, 0), (0, 255, 0), (0, 0, 255)]", "320 True"]
    assert ran.board.panel.image().getpixel((240, 180)) == (255, 255, 255)


def test_jpeg_of_a_snapshot(device, scene):
    ran = device.run(
        START
        + """
jpg = sensor.snapshot().compressed(quality=80)
with open('/sd/snap.jpg', 'wb') as f: f.write(jpg)
sensor.snapshot().save('/sd/saved.jpg', quality=80)
""",
        settings={"camera": scene},
    )
    assert ran.code == 0, ran.text
    for name in ("snap.jpg", "saved.jpg"):
        with Pil.open(device.card / name) as picture:
            assert picture.size == (320, 240)
            red, green, blue = picture.convert("RGB").getpixel((80, 60))
            assert red > 230 and green < 30 and blue < 30


def test_mirror_and_window_and_grey(device, scene):
    ran = device.run(
        START
        + """
sensor.set_hmirror(0)
print(sensor.snapshot().get_pixel(80, 60))
sensor.set_hmirror(1); sensor.set_vflip(1)
print(sensor.snapshot().get_pixel(80, 60))
sensor.set_windowing((160, 120))
print(sensor.snapshot().width())
sensor.set_pixformat(sensor.GRAYSCALE)
img = sensor.snapshot()
print(img.format(), img.size())
try:
    sensor.set_windowing((161, 120))
except ValueError as e:
    print(e)
""",
        settings={"camera": scene},
    )
    assert ran.lines[1:] == ["(0, 255, 0)", "(0, 0, 255)", "160", "4 19200", "Failed to set windowing!"]


def test_frame_buffer_is_reused(device, scene):
    ran = device.run(
        START
        + """
a = sensor.snapshot()
kept = a.copy()
a.set_pixel(0, 0, (1, 2, 3))
b = sensor.snapshot()
print(a.get_pixel(0, 0) == b.get_pixel(0, 0), kept.get_pixel(0, 0))
t = time.ticks_ms(); sensor.snapshot(); sensor.snapshot(); print(time.ticks_diff(time.ticks_ms(), t) >= 50)
""",
        settings={"camera": scene},
    )
    assert ran.lines[1:] == ["True (255, 0, 0)", "True"]


def test_no_camera(device):
    ran = device.run(
        """
        import sensor
        def attempt(f):
            try:
                f()
            except Exception as e:
                print(type(e).__name__, e)
        attempt(sensor.reset)
        attempt(lambda: sensor.set_pixformat(sensor.RGB565))
        attempt(lambda: sensor.set_framesize(sensor.QVGA))
        attempt(sensor.snapshot)
        sensor.skip_frames(time=1)
        """,
        settings={"no_camera": True},
    )
    assert ran.lines[:5] == [
        "[MAIXPY]: no sensor",
        "OSError Reset Failed",
        "OSError Pixel format is not supported!",
        "OSError [Errno 5] EIO",
        "TypeError not found sensor",
    ]
    assert ran.engine.ended == "crash"


def test_order_and_memory(device):
    ran = device.run(
        """
        import sensor
        sensor.reset()
        def attempt(f):
            try:
                f()
            except Exception as e:
                print(type(e).__name__, e)
        attempt(sensor.snapshot)
        attempt(lambda: sensor.set_pixformat(sensor.JPEG))
        attempt(lambda: sensor.set_framesize(sensor.UXGA))
        sensor.set_pixformat(sensor.RGB565); sensor.set_framesize(sensor.VGA)
        print(sensor.snapshot().size())
        sensor.run(0)
        attempt(sensor.snapshot)
        """
    )
    assert ran.lines[1:] == [
        "RuntimeError Not init!",
        "OSError Pixel format is not supported!",
        "OSError [Errno 5] EIO",
        "614400",
        "RuntimeError Sensor timeout!",
    ]
