"""`sys`, `gc`, `micropython`, `utime` and `uos`: the interpreter's own modules.

Source: MicroPython v1.11 `modsys.c`, `modgc.c`, `modmicropython.c`; MaixPy-v1 `modutime.c`, `moduos.c`, `rtc.c`.
"""

from __future__ import annotations

import calendar
import collections
import random
import time as host_time
import types
from collections.abc import Callable
from typing import Any

from virtualboard.clock import MS, SECOND, US
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.errors import DeviceOSError
from virtualboard.hosted.stdlib import make_module, timed
from virtualboard.hosted.vfs import Volumes

VERSION = (0, 6, 2)
_EPOCH = 946_684_800  # 2000-01-01 in Unix seconds
_PERIOD = 1 << 62


def time_members(chip: Chip) -> dict[str, Any]:
    """Members of `utime` and `time`."""
    read_clock, look_ns = chip.read_clock, chip.costs.call // 2

    def now() -> int:
        return read_clock(look_ns)

    def sleep(seconds: float, /) -> None:
        if seconds > 0:
            chip.wait(round(seconds * SECOND))

    def sleep_ms(count: int, /) -> None:
        chip.charge(chip.costs.call)
        if count > 0:
            chip.wait(_integer(count) * MS)

    def sleep_us(count: int, /) -> None:
        chip.charge(chip.costs.call)
        if count > 0:
            chip.wait(_integer(count) * US)

    def ticks_diff(end: int, start: int, /) -> int:
        return (end - start + _PERIOD // 2) % _PERIOD - _PERIOD // 2

    def seconds() -> int:
        return chip.rtc_offset + (now() - chip.powered_at) // SECOND

    def set_time(parts: Any, /) -> bool:
        year, month, day, hour, minute, second = parts[:6]
        wanted = calendar.timegm((year, month, day, hour, minute, second)) - _EPOCH
        chip.rtc_offset = wanted - (now() - chip.powered_at) // SECOND
        return True

    def localtime(stamp: int | None = None, /) -> tuple[int, ...]:
        t = host_time.gmtime((seconds() if stamp is None else stamp) + _EPOCH)
        return (t.tm_year, t.tm_mon, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, t.tm_wday, t.tm_yday)

    def mktime(parts: Any, /) -> int:
        return calendar.timegm(tuple(parts[:6])) - _EPOCH

    class clock_class:
        """`utime.clock()`: frames a second."""

        def __init__(self) -> None:
            self.reset()

        def reset(self) -> None:
            self._start = now()
            self._frames = 0
            self._total = 0

        def tick(self) -> None:
            self._start = now()

        def fps(self) -> float:
            self._frames += 1
            self._total += now() - self._start
            return self._frames * SECOND / max(1, self._total)

        def avg(self) -> float:
            return 1000 / max(1e-9, self.fps())

    call = chip.costs.call
    return {
        "sleep": sleep,
        "sleep_ms": sleep_ms,
        "sleep_us": sleep_us,
        "ticks_ms": lambda: now() // MS % _PERIOD,
        "ticks_us": lambda: now() // US % _PERIOD,
        "ticks_cpu": lambda: now() * 403 // 1000 % _PERIOD,
        "ticks_diff": timed(chip, ticks_diff, call // 2),
        "ticks_add": timed(chip, lambda ticks, delta, /: (ticks + delta) % _PERIOD, call // 2),
        "time": seconds,
        "time_ns": lambda: seconds() * SECOND,
        "set_time": set_time,
        "localtime": localtime,
        "mktime": mktime,
        "clock": clock_class,
    }


def _integer(value: Any) -> int:
    if isinstance(value, float):
        raise TypeError("can't convert float to int")
    return int(value)


def gc_module(chip: Chip) -> types.ModuleType:
    """`gc`."""

    def collect() -> None:
        chip.charge(chip.costs.gc_collect)
        chip.heap.collect()

    enabled = [True]

    def switch(on: bool) -> Callable[[], None]:
        def set_enabled() -> None:
            enabled[0] = on

        return set_enabled

    return make_module(
        "gc",
        collect=collect,
        mem_free=timed(chip, lambda: chip.heap.free, 200_000),
        mem_alloc=timed(chip, lambda: chip.heap.size - chip.heap.free, 200_000),
        threshold=lambda *amount: None if amount else -1,
        enable=switch(True),
        disable=switch(False),
        isenabled=lambda: enabled[0],
    )


def micropython_module(chip: Chip, write: Callable[[str], None]) -> types.ModuleType:
    """`micropython`."""

    def schedule(function: Any, argument: Any, /) -> None:
        if not chip.schedule(lambda: function(argument)):
            raise RuntimeError("schedule queue full")

    def mem_info(*verbose: Any) -> None:
        heap = chip.heap
        write(
            f"stack: 1024 out of 31744\nGC: total: {heap.size}, used: {heap.size - heap.free}, free: {heap.free}\n"
            f" No. of 1-blocks: 0, 2-blocks: 0, max blk sz: 0, max free sz: {heap.largest // 32}\n"
        )

    def kbd_intr(char: int, /) -> None:
        chip.interrupt_char = char

    return make_module(
        "micropython",
        const=lambda value, /: value,
        opt_level=lambda *level: None if level else 0,
        mem_info=mem_info,
        qstr_info=lambda *verbose: None,
        stack_use=lambda: 1024,
        alloc_emergency_exception_buf=lambda size, /: None,
        schedule=schedule,
        kbd_intr=kbd_intr,
        heap_lock=lambda: None,
        heap_unlock=lambda: None,
    )


_Uname = collections.namedtuple("_Uname", "sysname nodename release version machine")
_Uname.__repr__ = lambda self: "(" + ", ".join(f"{k}={v!r}" for k, v in self._asdict().items()) + ")"  # type: ignore
_Implementation = collections.namedtuple("_Implementation", "name version")


def sys_members(
    path: list[str], modules: dict[str, types.ModuleType], stdio: Any, print_exception: Callable[..., None]
) -> dict[str, Any]:
    """Members of `sys`."""

    def exit_(*status: Any) -> None:
        raise SystemExit(*status)

    return {
        "path": path,
        "argv": [],
        "modules": modules,
        "exit": exit_,
        "print_exception": print_exception,
        "stdin": stdio,
        "stdout": stdio,
        "stderr": stdio,
        "implementation": _Implementation("micropython", VERSION),
        "platform": "MaixPy",
        "version": "3.4.0",
        "version_info": (3, 4, 0),
        "maxsize": (1 << 31) - 1,  # what the real firmware says, though its small integers have 63 bits
        "byteorder": "little",
    }


def uos_members(chip: Chip, volumes: Volumes, seed: int) -> dict[str, Any]:
    """Members of `uos`."""
    source = random.Random(f"uos/{seed}")
    release = ".".join(map(str, VERSION))

    def listdir(path: Any = "", /) -> list[Any]:
        return [entry[0] for entry in volumes.ilistdir(path)]

    def mount(device: Any, point: str, /, **options: Any) -> None:
        raise DeviceOSError(1)

    def flash_format() -> None:
        volumes.flash.format()
        chip.wait(8 * SECOND)

    def uname() -> Any:
        return _Uname("MaixPy", "MaixPy", release, f"v{release} on 2021-01-01", "Sipeed_M1 with kendryte-k210")

    def urandom(count: int, /) -> bytes:
        return source.randbytes(count)

    functions: dict[str, Callable[..., Any]] = {
        "uname": uname,
        "urandom": urandom,
        "ilistdir": lambda path="", /: iter(list(volumes.ilistdir(path))),
        "listdir": listdir,
        "mkdir": volumes.mkdir,
        "rmdir": volumes.rmdir,
        "chdir": volumes.chdir,
        "getcwd": volumes.getcwd,
        "remove": volumes.remove,
        "rename": volumes.rename,
        "stat": volumes.stat,
        "statvfs": volumes.statvfs,
        "mount": mount,
        "umount": volumes.unmount,
        "sync": lambda: None,
        "flash_format": flash_format,
        "set_REPLio": lambda *stream: None,
        "dupterm": lambda *stream: None,
        "VfsSpiffs": type("VfsSpiffs", (), {}),
        "VfsFat": type("VfsFat", (), {}),
    }
    return {name: f if isinstance(f, type) else timed(chip, f) for name, f in functions.items()}
