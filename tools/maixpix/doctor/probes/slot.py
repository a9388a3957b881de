# ruff: noqa: ANN001, ANN201, RUF005
# Doctor's probe, device code (MicroPython 1.11): what is in the card slot when MaixPy has mounted nothing. The card is
# asked in SPI mode by machine.SPI, on the pads that the usual boards have it on.

import ujson
from ubinascii import hexlify

bus = None


def take(count):
    data = bytearray(count)
    bus.write_readinto(b"\xff" * count, data)
    return data


def command(number, argument, crc=1):
    # R1 of the card, 255 when it is silent.
    take(1)
    parts = [argument >> shift & 255 for shift in (24, 16, 8, 0)]
    bus.write(bytes([0x40 | number] + parts + [crc]))
    for _ in range(10):
        answer = take(1)[0]
        if answer < 128:
            return answer
    return 255


def sector(number, wide):
    if command(17, number if wide else number * 512):
        return b""
    for _ in range(4000):
        if take(1)[0] == 0xFE:
            return bytes(take(514)[:512])
    return b""


def slot():
    # The first sector, and the first of the first partition; "" for what cannot be read.
    global bus
    found = {"looked": False, "answers": False, "first": "", "boot": ""}
    try:
        from fpioa_manager import fm
        from machine import SPI
        from Maix import GPIO

        fm.register(29, fm.fpioa.GPIOHS29)
        select = GPIO(GPIO.GPIOHS29, GPIO.OUT)
        select.value(1)
        bus = SPI(
            SPI.SPI1, mode=SPI.MODE_MASTER, baudrate=400000, polarity=0, phase=0, bits=8, sck=27, mosi=28, miso=26
        )
        take(10)
        select.value(0)
        found["looked"] = True
        if command(0, 0, 0x95) == 1:
            found["answers"] = True
            if command(8, 0x1AA, 0x87) == 1:
                take(4)
            for _ in range(400):
                command(55, 0)
                if command(41, 0x40000000) == 0:
                    break
            command(58, 0)
            wide = take(4)[0] & 0x40
            first = sector(0, wide)
            found["first"] = hexlify(first).decode()
            if first[510:] == b"\x55\xaa":
                start = first[454] | first[455] << 8 | first[456] << 16 | first[457] << 24
                found["boot"] = hexlify(sector(start, wide)[:90]).decode()
        select.value(1)
    except (NotImplementedError, AttributeError, ValueError, TypeError, OSError):
        pass
    print("\n@" + ujson.dumps(found))
