# What is wired where on each board, as Sipeed's own board scripts have it.
#
# Names follow those scripts and look from the modem: wifi_tx is the pad on which the modem sends.


class Pins:
    # Pad numbers; None where a board has no such part.
    def __init__(self, wifi_tx=6, wifi_rx=7, wifi_en=8, wifi_io0=None, key=16):
        self.wifi_tx = wifi_tx
        self.wifi_rx = wifi_rx
        self.wifi_en = wifi_en
        self.wifi_io0 = wifi_io0
        self.key = key


# Which of the 32 high-speed GPIOs does what; a pad is routed to it when needed. Others are MaixPy's own (29 is the
# card's chip select).
_GPIO = {"wifi_en": "GPIOHS8", "wifi_io0": "GPIOHS9", "led": "GPIOHS10", "key": "GPIOHS24", "backlight": "GPIOHS25"}

# name -> (wifi_io0, key, keyword arguments for lcd.init, backlight pad that is on when low,
# direction of the glass as lcd.direction takes it, 0 for MaixPy's default)
_BOARDS = {
    "dock": (0, 16, {}, None, 0),
    "go": (0, 16, {}, None, 0),
    "bit": (None, 16, {}, None, 0),
    "cube": (None, 10, {"width": 240, "height": 240, "invert": 1}, 17, 0x60),
    "amigo": (None, 16, {"width": 480, "height": 320, "lcd_type": 1}, None, 0x28),
}

_ROTATIONS = (0xA0, 0x00, 0x60, 0xC0)  # what lcd.rotation makes of 0 to 3 (MaixPy-v1 py_lcd.c)


def pins(name="dock"):
    # Pads of board `name`. The board's own /flash/config.json (MaixPy's board_info) wins where it says something.
    io0, key, _, _, _ = _BOARDS[name]
    found = Pins(wifi_io0=io0, key=key)
    try:
        from board import board_info
    except ImportError:
        return found
    # Without a config.json board_info has BOOT_KEY only, and asking for more raises AttributeError.
    for name in ("wifi_tx", "wifi_rx", "wifi_en"):
        setattr(found, name, getattr(board_info, name.upper(), getattr(found, name)))
    return found


def output(pad, job, level):
    # Drive `pad` through the GPIO of the job "wifi_en", "wifi_io0", "led" or "backlight".
    from fpioa_manager import fm
    from Maix import GPIO

    fm.register(pad, getattr(fm.fpioa, _GPIO[job]))
    GPIO(getattr(GPIO, _GPIO[job]), GPIO.OUT).value(level)


def key(name="dock"):
    # The key of board `name` as an input whose value() is 0 while it is held down.
    from fpioa_manager import fm
    from Maix import GPIO

    fm.register(pins(name).key, getattr(fm.fpioa, _GPIO["key"]))
    return GPIO(getattr(GPIO, _GPIO["key"]), GPIO.IN, GPIO.PULL_UP)


def init_lcd(name="dock", rotation=0):
    # Start the panel of board `name`; returns (width, height) in pixels.
    import lcd

    _, _, options, backlight, direction = _BOARDS[name]
    lcd.init(**options)
    if direction:
        lcd.direction(direction)
    if backlight is not None:
        output(backlight, "backlight", 0)
    if rotation:
        lcd.rotation(rotation)
    return lcd.width(), lcd.height()


def light(name, level):
    # Set the backlight of board `name` to "on", "dim" or "off". False where it cannot be switched.
    pad = _BOARDS[name][3]
    if pad is None:
        return False
    if level == "dim":
        from machine import PWM, Timer

        # On when low: a duty of 85 is 15 % of the light.
        timer = Timer(Timer.TIMER2, Timer.CHANNEL0, mode=Timer.MODE_PWM)
        PWM(timer, freq=1000, duty=85, pin=pad)
    else:
        output(pad, "backlight", level == "off")
    return True


def direction(name="dock", rotation=0):
    # The direction of the panel of board `name` as `init_lcd` leaves it: the byte that lcd.direction takes (MADCTL).
    return (_BOARDS[name][4] or 0xA0) if not rotation else _ROTATIONS[rotation] | _BOARDS[name][4] & 0x08


def hidden_rows(name="dock"):
    # Rows of the controller's memory that the glass does not show, at its end.
    return 80 if name == "cube" else 0
