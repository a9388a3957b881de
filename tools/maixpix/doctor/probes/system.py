# ruff: noqa: ANN001, ANN201, ANN202, PTH123, UP031
# Doctor's probe, device code (MicroPython 1.11): firmware, memory, file systems, panel, camera.
# Every function prints one JSON object; the host words it.

import gc

import ujson
import uos
import utime


def firmware():
    import sys

    import image

    name = uos.uname()
    found = {"release": name[2], "version": name[3], "machine": name[4], "platform": sys.platform}
    found["numbers"] = list(sys.implementation[1])
    found["full"] = hasattr(image.Image, "find_blobs")
    try:
        import _thread

        found["threads"] = _thread is not None
    except ImportError:
        found["threads"] = False
    print(ujson.dumps(found))


def memory():
    gc.collect()
    found = {"free": gc.mem_free(), "used": gc.mem_alloc()}
    try:
        from Maix import utils

        found["heap"] = utils.gc_heap_size()
        found["system"] = utils.heap_free()
    except (ImportError, AttributeError):
        pass
    print(ujson.dumps(found))


def storage(root):
    # Size, room, and a file of 32 kB written and read back in 4 kB pieces, then removed.
    found = {"present": root[1:] in uos.listdir("/")}
    if found["present"]:
        try:
            s = uos.statvfs(root)
            found["cluster"] = s[0]
            found["clusters"] = s[2]
            found["free"] = s[0] * s[3]
            _speed(root + "/pix.tmp", found)
        except OSError as e:
            found["error"] = str(e)
            found["full"] = bool(e.args) and e.args[0] == 28  # ENOSPC
    print(ujson.dumps(found))


def _speed(path, found):
    piece = bytearray(4096)
    for i in range(len(piece)):
        piece[i] = (i * 7 + (i >> 8)) & 255
    t = utime.ticks_us()
    try:
        with open(path, "wb") as f:
            for i in range(8):
                piece[0] = i
                f.write(piece)
        found["write_us"] = utime.ticks_diff(utime.ticks_us(), t)
        back = bytearray(4096)
        t = utime.ticks_us()
        good = True
        with open(path, "rb") as f:
            for i in range(8):
                piece[0] = i
                good = f.readinto(back) == 4096 and back == piece and good
        found["read_us"] = utime.ticks_diff(utime.ticks_us(), t)
        found["same"] = good
    finally:
        try:
            uos.remove(path)
        except OSError:
            pass


def pads(tx, rx, enable):
    # The modem's pads: the board's own /flash/config.json (MaixPy's board_info) wins where it says something.
    found = [tx, rx, enable]
    try:
        from board import board_info

        for i, name in enumerate(("WIFI_TX", "WIFI_RX", "WIFI_EN")):
            found[i] = getattr(board_info, name, found[i])
    except ImportError:
        pass
    print("\n@" + ujson.dumps(found))


def panel(options, direction, backlight, rotation):
    # A test card: eight bars, their names, and the size the panel claims.
    import lcd

    lcd.init(**options)
    if direction:
        lcd.direction(direction)
    if backlight is not None:
        from fpioa_manager import fm
        from Maix import GPIO

        fm.register(backlight, fm.fpioa.GPIOHS25)
        GPIO(GPIO.GPIOHS25, GPIO.OUT).value(0)
    if rotation:
        lcd.rotation(rotation)
    w, h = lcd.width(), lcd.height()
    colours = (lcd.WHITE, lcd.YELLOW, lcd.CYAN, lcd.GREEN, lcd.MAGENTA, lcd.RED, lcd.BLUE, lcd.BLACK)
    step = w // 8
    for i in range(8):
        lcd.fill_rectangle(i * step, 0, step - 1, h * 3 // 4, colours[i])
    lcd.draw_string(8, h - 32, "maixpix doctor %dx%d" % (w, h), lcd.WHITE, lcd.BLACK)
    print(ujson.dumps({"width": w, "height": h}))


def camera():
    import sensor

    found = {}
    try:
        # Without a sensor every later call can crash the firmware, so nothing follows a failed reset.
        sensor.reset()
        sensor.set_pixformat(sensor.RGB565)
        sensor.set_framesize(sensor.QVGA)
        sensor.run(1)
        t = utime.ticks_ms()
        img = sensor.snapshot()
        found = {"width": img.width(), "height": img.height(), "id": sensor.get_id()}
        found["frame_ms"] = utime.ticks_diff(utime.ticks_ms(), t)
    except (OSError, RuntimeError, TypeError, ValueError) as e:
        found["error"] = str(e)
    # C code prints about sensors it looks for; the mark tells the answer from that.
    print("\n@" + ujson.dumps(found))
