"""The commands of `maixpix`: every click command that a module of this package defines at its top level."""

from __future__ import annotations

import importlib
import pkgutil

import click


def _collect() -> list[click.Command]:
    found: dict[str, click.Command] = {}
    inner: set[int] = set()
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            if (
                isinstance(value, click.Command)
                and value.name
                and getattr(value.callback, "__module__", "") == module.__name__
            ):
                found[value.name] = value
            if isinstance(value, click.Group):
                inner.update(id(command) for command in value.commands.values())
    return [command for name, command in sorted(found.items()) if id(command) not in inner]


ALL = _collect()
