"""How a command is described in the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from virtualboard.esp8285.parser import Arguments
from virtualboard.esp8285.profiles import Profile

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

Handler = Callable[["Modem", bytes, Arguments], None]
"""Called with the module, the command's own name (with its suffix) and its arguments. Prints, and ends the command
with `ok` or `error`, at once or later; `BadArgument` ends it with ERROR."""


@dataclass(frozen=True)
class Verb:
    """A command's handlers for its four forms: `AT+X`, `AT+X?`, `AT+X=?`, `AT+X=...`. Missing ones answer ERROR."""

    execute: Handler | None = None
    query: Handler | None = None
    test: Handler | None = None
    setup: Handler | None = None
    since: tuple[int, int, int] = (0, 0, 0)
    """First version that has it."""

    def known_to(self, profile: Profile) -> bool:
        """True when this version of the firmware has the command."""
        return self.since <= profile.version


def with_suffixes(name: bytes, verb: Verb, plain: bool = True) -> dict[bytes, Verb]:
    """The command in its forms `X_CUR` and `X_DEF`, and `X` itself."""
    forms = {name + b"_CUR": verb, name + b"_DEF": verb}
    return {name: verb, **forms} if plain else forms


def since(version: tuple[int, int, int], verb: Verb) -> Verb:
    """The same command, from `version` on."""
    return replace(verb, since=version)


def stores(name: bytes) -> bool:
    """True when this form of a command writes to flash (`X` and `X_DEF` do)."""
    return not name.endswith(b"_CUR")


def suffixed(name: bytes) -> bool:
    """True for the forms `X_CUR` and `X_DEF`."""
    return name.endswith((b"_CUR", b"_DEF"))


def stored_form(name: bytes) -> bool:
    """True for `X_DEF`, whose query tells what is in the flash."""
    return name.endswith(b"_DEF")
