"""`Maix` (GPIO, FPIOA, utils, freq, config) and the frozen modules `fpioa_manager` and `board`.

Source: MaixPy-v1 `Maix_gpio.c`, `Maix_fpioa.c`, `builtin_py/fpioa_manager.py`, `builtin_py/board.py`.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from typing import Any

from virtualboard.clock import US
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.errors import DeviceOSError
from virtualboard.hosted.stdlib import make_module, timed
from virtualboard.hosted.vfs import Volumes
from virtualboard.pins import GPIO0, GPIO_COUNT, GPIOHS0, GPIOHS_COUNT, PADS, RESV0

_USABLE_FUNCTIONS = 256


def _function_names() -> dict[str, int]:
    names = ["JTAG_TCLK", "JTAG_TDI", "JTAG_TMS", "JTAG_TDO"]
    names += [f"SPI0_D{i}" for i in range(8)] + [f"SPI0_SS{i}" for i in range(4)] + ["SPI0_ARB", "SPI0_SCLK"]
    names += ["UARTHS_RX", "UARTHS_TX", "RESV6", "RESV7", "CLK_SPI1", "CLK_I2C1"]
    names += [f"GPIOHS{i}" for i in range(GPIOHS_COUNT)] + [f"GPIO{i}" for i in range(GPIO_COUNT)]
    names += [f"UART{i}_{way}" for i in (1, 2, 3) for way in ("RX", "TX")]
    names += [f"SPI1_D{i}" for i in range(8)] + [f"SPI1_SS{i}" for i in range(4)] + ["SPI1_ARB", "SPI1_SCLK"]
    names += ["SPI_SLAVE_D0", "SPI_SLAVE_SS", "SPI_SLAVE_SCLK"]
    for i in range(3):
        names += [f"I2S{i}_{part}" for part in ("MCLK", "SCLK", "WS")]
        names += [f"I2S{i}_IN_D{d}" for d in range(4)] + [f"I2S{i}_OUT_D{d}" for d in range(4)]
    names += [f"RESV{i}" for i in range(6)]
    names += [f"I2C{i}_{part}" for i in range(3) for part in ("SCLK", "SDA")]
    names += [f"CMOS_{part}" for part in ("XCLK", "RST", "PWDN", "VSYNC", "HREF", "PCLK")]
    names += [f"CMOS_D{i}" for i in range(8)] + ["SCCB_SCLK", "SCCB_SDA"]
    return {name: number for number, name in enumerate(names)}


FUNCTIONS = _function_names()
"""Pad functions by name (Kendryte SDK `fpioa.h`); those that MaixPy scripts use, the first 148."""


def fpioa_class(chip: Chip) -> type:
    """`Maix.FPIOA`."""

    class FPIOA:
        def help(self, function: int = _USABLE_FUNCTIONS, /) -> None:
            chip.console("+-------------------+----------------------------------+\r\n")

        def set_function(
            self, pin: int = 0, func: int = 0, set_sl: int = -1, set_st: int = -1, set_io_driving: int = -1
        ) -> bool:
            chip.charge(chip.costs.call)
            if not 0 <= pin <= PADS:
                raise ValueError("Don't have this Pin")
            if not 0 <= func <= _USABLE_FUNCTIONS:
                raise ValueError("This function is invalid")
            if pin == PADS or func == _USABLE_FUNCTIONS:
                chip.console("[Maix]:Opps!Can not set fpioa\r\n")
                raise DeviceOSError(5)
            if set_io_driving > 15:
                raise ValueError("set_io_driving > FPIOA_DRIVING_MAX")
            chip.set_function(pin, func)
            return True

        def get_Pin_num(self, func: int = 0) -> int | None:
            chip.charge(chip.costs.call)
            if not 0 <= func <= _USABLE_FUNCTIONS:
                raise ValueError("This function is invalid")
            return chip.pad_of(func)

    for name, number in FUNCTIONS.items():
        setattr(FPIOA, name, number)
    return FPIOA


class _GpioObject:
    """What `GPIO(...)` gives: one object for each of the 40 ids."""

    def __init__(self, chip: Chip, number: int) -> None:
        self._chip = chip
        self._number = number
        self._high_speed = number < GPIOHS_COUNT
        self._function = GPIOHS0 + number if self._high_speed else GPIO0 + number - GPIOHS_COUNT
        self._mode = GPIO.IN
        self._level = False
        self._callback: Callable[[Any], Any] | None = None
        self._edges = 0
        self._seen = False
        self._watched: set[int] = set()

    def __repr__(self) -> str:
        return f"Pin({self._number if self._high_speed else self._number - 32})"

    def init(self, mode: int | None = None, pull: int | None = None, *, value: Any = None) -> None:
        chip = self._chip
        chip.charge(chip.costs.call)
        if mode is None:
            return
        if pull is not None and pull != GPIO.PULL_NONE:
            if mode == GPIO.OUT:
                raise ValueError("When this pin is in output mode, it is not allowed to pull up and down.")
            if pull not in (GPIO.PULL_UP, GPIO.PULL_DOWN):
                raise ValueError("this mode not support.")
            mode = pull
        self._set_mode(mode)
        if value is not None:
            self._write(bool(value))

    def mode(self, mode: int = -1) -> int | None:
        self._chip.charge(self._chip.costs.call)
        if mode == -1:
            return self._mode
        if mode not in (GPIO.IN, GPIO.OUT, GPIO.PULL_UP, GPIO.PULL_DOWN):
            raise ValueError("arg error")
        self._set_mode(mode)
        return None

    def value(self, *level: Any) -> int | None:
        chip = self._chip
        chip.charge(chip.costs.call)
        if level:
            self._write(bool(level[0]))
            return None
        if self._high_speed and self._mode == GPIO.OUT:
            # The driver makes the pin an input for the moment of reading: everyone on the line sees it let go.
            chip.set_output(self._function, None)
            chip.charge(1 * US)
            level_read = chip.read_pin(self._function)
            chip.set_output(self._function, self._level)
            return level_read
        found = chip.read_pin(self._function)
        chip.idle()
        return found

    __call__ = value

    def irq(self, handler: Any = None, trigger: int = 3, wake: Any = None, priority: int = 7) -> _GpioObject:
        if not self._high_speed:
            return self
        if wake:
            raise ValueError("This platform does not support interrupt wakeup")
        self._callback = handler
        self._edges = trigger if handler is not None else 0
        pad = self._chip.pad_of(self._function)
        if pad is not None:
            self._seen = self._chip.board.pads.level(pad)
            if pad not in self._watched:
                self._watched.add(pad)
                self._chip.board.pads.on_level(pad, self._changed)
        return self

    def disirq(self) -> None:
        if self._high_speed:
            self._edges = 0

    def _changed(self, level: bool) -> None:
        rising, self._seen = level and not self._seen, level
        callback = self._callback
        wanted = self._edges & (GPIO.IRQ_RISING if rising else GPIO.IRQ_FALLING)
        if wanted and callback is not None:
            self._chip.schedule(lambda: callback(self))

    def _set_mode(self, mode: int) -> None:
        self._mode = mode
        chip = self._chip
        chip.set_output(self._function, self._level if mode == GPIO.OUT else None)
        if mode != GPIO.OUT:
            chip.set_pull(self._function, mode == GPIO.PULL_UP)

    def _write(self, level: bool) -> None:
        self._level = level
        self._chip.busy()
        if self._mode == GPIO.OUT:
            self._chip.set_output(self._function, level)


class GPIO:
    """Constants of `Maix.GPIO` (`Maix_gpio.c`)."""

    IN, PULL_DOWN, PULL_UP, OUT, PULL_NONE = 0, 1, 2, 3, -1
    IRQ_NONE, IRQ_FALLING, IRQ_RISING, IRQ_BOTH = 0, 1, 2, 3
    WAKEUP_NOT_SUPPORT = 0


def gpio_class(chip: Chip) -> type:
    """`Maix.GPIO`: calling it gives the one object of that id."""
    objects = [_GpioObject(chip, number) for number in range(40)]

    class Meta(type):
        def __call__(cls, number: int, *args: Any, **kwargs: Any) -> Any:
            if not 0 <= number < 40:
                raise ValueError("invalid pin")
            if args or kwargs:
                objects[number].init(*args, **kwargs)
            return objects[number]

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, _GpioObject)

    members = {name: getattr(GPIO, name) for name in vars(GPIO) if name.isupper()}
    members |= {f"GPIOHS{i}": i for i in range(GPIOHS_COUNT)} | {
        f"GPIO{i}": GPIOHS_COUNT + i for i in range(GPIO_COUNT)
    }
    return Meta("GPIO", (), members)


def maix_module(chip: Chip, volumes: Volumes) -> types.ModuleType:
    """The `Maix` module."""

    class utils:
        @staticmethod
        def gc_heap_size(size: int | None = None, /) -> int | None:
            if size is None:
                return chip.next_heap_size
            chip.next_heap_size = int(size)
            return chip.next_heap_size

        @staticmethod
        def heap_free() -> int:
            return chip.c_heap_free

        @staticmethod
        def flash_read(address: int, length: int, /) -> bytes:
            chip.charge(length * chip.costs.flash_read_byte)
            return bytes(chip.board.flash.data[address : address + length])

    class freq:
        @staticmethod
        def get() -> tuple[int, int]:
            return (403, 403)

        @staticmethod
        def get_cpu() -> int:
            return 403

        @staticmethod
        def get_kpu() -> int:
            return 403

        @staticmethod
        def set(cpu: int = 400, pll1: int = 400, kpu_div: int = 1) -> None:
            chip.reset()
            chip.check()

    class config:
        @staticmethod
        def get_value(key: str, default: Any, /) -> Any:
            return config_json(volumes).get(key, default)

    def missing(*args: Any) -> Any:
        raise NotImplementedError("not in the hosted engine; use the k210 engine")

    return make_module(
        "Maix",
        GPIO=gpio_class(chip),
        FPIOA=fpioa_class(chip),
        utils=utils,
        freq=freq,
        config=config,
        I2S=missing,
        Audio=missing,
        FFT=missing,
    )


def config_json(volumes: Volumes) -> dict[str, Any]:
    """What `/flash/config.json` holds; {} where there is none, or no JSON."""
    path = volumes.flash.path("config.json")
    if path is None or not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        return {}
    return data if isinstance(data, dict) else {}


def fpioa_manager_module(chip: Chip) -> types.ModuleType:
    """The frozen module `fpioa_manager`."""
    switch = fpioa_class(chip)()
    call = chip.costs.call * 4

    def str_function(function: int) -> str:
        if GPIOHS0 <= function < GPIO0 + GPIO_COUNT:
            if function >= GPIO0:
                return f"fm.fpioa.GPIO{function - GPIO0}"
            return f"fm.fpioa.GPIOHS{function - GPIOHS0}"
        return "unknown"

    def register(pin: int, function: int, force: bool = True) -> None:
        used = chip.pad_of(function)
        if used == pin:
            return
        if used is not None:
            warning = f"[Warning] function is used by {str_function(function)}(pin:{used})"
            if not force:
                raise Exception(warning)
            chip.console(warning + "\r\n")
        switch.set_function(pin, function)

    def unregister(pin: int) -> None:
        switch.set_function(pin, RESV0)

    def get_gpio_used() -> list[tuple[str, int | None]]:
        return [(str_function(f), chip.pad_of(f)) for f in range(GPIOHS0, GPIO0 + GPIO_COUNT)]

    members = {
        "fpioa": switch,
        "help": staticmethod(switch.help),
        "get_pin_by_function": staticmethod(timed(chip, chip.pad_of, call)),
        "register": staticmethod(timed(chip, register, call)),
        "unregister": staticmethod(timed(chip, unregister, call)),
        "str_function": staticmethod(timed(chip, str_function, call)),
        "get_gpio_used": staticmethod(timed(chip, get_gpio_used, call)),
    }
    return make_module("fpioa_manager", fm=type("fm", (), members), FPIOA=type(switch))


def board_module(chip: Chip, volumes: Volumes) -> types.ModuleType:
    """The frozen module `board`: filled from `/flash/config.json`, else `BOOT_KEY` only and a warning."""

    class board_info:
        def set(key, value=None):  # noqa: ANN001, ANN202 - called on the class
            return setattr(board_info, key, value)

        def all():  # noqa: ANN202
            return dir(board_info)

        def get():  # noqa: ANN202
            raise NameError("name 'key' isn't defined")

        def load(items={}):  # noqa: ANN202, B006
            for key, value in items.items():
                setattr(board_info, key, value)

    info = config_json(volumes).get("board_info")
    if info is not None:
        board_info.load(info)
    else:
        chip.console("[Warning] Not loaded from /flash/config.json to board_info.\r\n")
        board_info.load({"BOOT_KEY": 16})
    return make_module("board", board_info=board_info)
