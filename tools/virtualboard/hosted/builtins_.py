"""The names that device code sees without importing: MicroPython's, not CPython's."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from virtualboard.hosted.chip import Chip
from virtualboard.hosted.dialect import BUILTIN_NAMES, words
from virtualboard.hosted.errors import DeviceOSError
from virtualboard.hosted.program import ABSENT, SPIN, STEP

_OWN = words(
    "bytearray next open print input help exec eval execfile compile const OSError globals locals dir "
    "__import__ ViperTypeError __name__ __file__ __class__ __path__ oct"
)
"""Names that are ours, or not a builtin at all."""


def _instance_like(base: type) -> type:
    """A metaclass that takes plain instances of `base` for instances too."""

    class Meta(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, base)

    return Meta


def device_bytearray(chip: Chip) -> type:
    """`bytearray` that takes room in the heap and has MicroPython's methods only."""

    def absent(name: str) -> property:
        def missing(self: Any) -> None:
            raise AttributeError(f"'bytearray' object has no attribute '{name}'")

        return property(missing)

    class DeviceBytearray(bytearray, metaclass=_instance_like(bytearray)):
        def __init__(self, source: Any = b"", *encoding: Any) -> None:
            if isinstance(source, int) and not isinstance(source, bool) and source >= 1024:
                # Ask first: the host must not be made to allocate what the board could not.
                if not chip.heap.own(self, source):
                    raise MemoryError(f"memory allocation failed, allocating {source} bytes")
                chip.charge(source // 8)
                super().__init__(source)
                return
            super().__init__(source, *encoding)
            if len(self) >= 1024 and not chip.heap.own(self, len(self)):
                raise MemoryError(f"memory allocation failed, allocating {len(self)} bytes")

        def __repr__(self) -> str:
            return f"bytearray({bytes(self)!r})"

    for name in words(
        "find rfind index rindex count split rsplit splitlines startswith endswith strip lstrip rstrip "
        "pop remove insert reverse clear copy replace join upper lower hex partition rpartition isdigit "
        "isalpha isspace center title capitalize swapcase zfill ljust rjust translate expandtabs isalnum "
        "isascii"
    ):
        setattr(DeviceBytearray, name, absent(name))
    DeviceBytearray.__name__ = DeviceBytearray.__qualname__ = "bytearray"
    return DeviceBytearray


def absent_attribute(value: Any, name: str) -> Any:
    """Attribute access for names that CPython's own types have and MicroPython's have not."""
    owner = value if isinstance(value, type) else type(value)
    built_in = owner.__module__ == "builtins" and not isinstance(value, type(builtins))
    if isinstance(value, BaseException):
        built_in = name not in value.__dict__
    if built_in:
        raise AttributeError(f"'{type(value).__name__}' object has no attribute '{name}'")
    return getattr(value, name)


def device_builtins(
    chip: Chip,
    write: Callable[[str], None],
    open_file: Callable[..., Any],
    compile_code: Callable[[Any, str, str], Any],
    read_file: Callable[[str], bytes],
    read_line: Callable[[str], str],
) -> dict[str, Any]:
    """The `__builtins__` dictionary of device modules."""
    names: dict[str, Any] = {
        name: getattr(builtins, name) for name in BUILTIN_NAMES if name not in _OWN and hasattr(builtins, name)
    }

    def device_print(*values: Any, sep: str = " ", end: str = "\n", file: Any = None) -> None:
        chip.charge(chip.costs.call)
        text = sep.join(str(value) for value in values) + end
        if file is None:
            write(text)
        else:
            file.write(text)

    def device_next(iterator: Any, /) -> Any:
        return builtins.next(iterator)

    def device_open(path: str, mode: str = "r", **options: Any) -> Any:
        chip.charge(chip.costs.call)
        return open_file(path, mode, **options)

    def code_of(source: Any, mode: str) -> Any:
        if isinstance(source, (str, bytes, bytearray)):
            text = source if isinstance(source, str) else bytes(source)
            return compile_code(text, "<string>", mode)
        return source

    def device_exec(source: Any, globals: Any = None, locals: Any = None, /) -> None:
        space = _caller_globals() if globals is None else globals
        space.setdefault("__builtins__", names)
        builtins.exec(code_of(source, "exec"), space, locals if locals is not None else space)

    def device_eval(source: Any, globals: Any = None, locals: Any = None, /) -> Any:
        space = _caller_globals() if globals is None else globals
        space.setdefault("__builtins__", names)
        code = code_of(source.strip() if isinstance(source, str) else source, "eval")
        return builtins.eval(code, space, locals if locals is not None else space)

    def execfile(path: str, /) -> None:
        builtins.exec(compile_code(read_file(path), path, "exec"), _caller_globals())

    def device_compile(source: Any, filename: str, mode: str, /) -> Any:
        return compile_code(source, filename, mode)

    def device_dir(*target: Any) -> list[str]:
        found = builtins.dir(*target) if target else list(_caller_globals())
        return [name for name in found if not name.startswith("__builtins")]

    def help_(*ignored: Any) -> None:
        write("Welcome to MicroPython on the Sipeed Maix!\n")

    names.update(
        {
            "print": device_print,
            "next": device_next,
            "open": device_open,
            "exec": device_exec,
            "eval": device_eval,
            "execfile": execfile,
            "compile": device_compile,
            "input": lambda prompt="", /: read_line(str(prompt)),
            "help": help_,
            "dir": device_dir,
            "globals": lambda: _caller_globals(),
            "locals": lambda: _caller_globals(),
            "const": lambda value, /: value,
            "oct": builtins.oct,
            "bytearray": device_bytearray(chip),
            "OSError": DeviceOSError,
            "ViperTypeError": type("ViperTypeError", (TypeError,), {}),
            STEP: chip.tick,
            SPIN: chip.spin,
            ABSENT: absent_attribute,
        }
    )
    return names


def _caller_globals() -> dict[str, Any]:
    import sys

    frame = sys._getframe(2)
    while frame.f_code.co_filename == __file__:
        assert frame.f_back is not None
        frame = frame.f_back
    return frame.f_globals
