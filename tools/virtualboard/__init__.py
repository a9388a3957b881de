"""A Maix board in software: modem, wire, card, panel, camera, and two engines that drive them.

For everybody's tests, stable: `Bench`, `Request`, `Received`, `Traffic`, `Run` (`virtualboard.bench`), `EngineError`
and `PROFILES`, the AT firmwares of the modem by name. All else may change with any version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from virtualboard.bench import Bench, Received, Request, Run, Traffic
    from virtualboard.engine import EngineError
    from virtualboard.esp8285.profiles import PROFILES

__all__ = ["PROFILES", "Bench", "EngineError", "Received", "Request", "Run", "Traffic"]

_HOMES = {"EngineError": "engine", "PROFILES": "esp8285.profiles"}


def __getattr__(name: str) -> Any:
    """The public names, loaded when they are asked for: whoever wants one part of the board pays for no other."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'bench')}"), name)
