"""maixpix.toml: defaults of options, for a folder in which the same board is worked with every day.

    port = "/dev/ttyUSB0"
    board = "dock"

    [serve]
    host = "0.0.0.0"

    [commands.board]
    at = "1.7.4"

`port` and `board` at the top go to every command that talks to a board, a table to the command of its name. What is
given on the command line, or by the environment, wins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

from maixpix.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "maixpix.toml"
VARIABLE = "MAIXPIX_CONFIG"
PORT_VARIABLE = "MAIXPIX_PORT"


def read(path: Path | None = None) -> dict[str, Any]:
    """What the file says, {} when there is none. Raises UserError with file and line."""
    named = os.environ.get(VARIABLE)
    path = path or Path(named or FILE)
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if named:
            raise UserError(f"there is no file {path}", f"correct {VARIABLE}, or unset it") from None
        return {}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", f"correct {VARIABLE}, or move it away") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no TOML: {error}", "correct it, or move it away") from None


def of(command: click.Command, name: str, said: Mapping[str, Any], commands: Collection[str]) -> dict[str, Any]:
    """The defaults that the file's contents `said` give `command`, by the names of its parameters.

    Raises UserError for what is no command and no option of this one.
    """
    tables = _tables(said, commands)
    found: dict[str, Any] = {}
    for param in command.params:
        if isinstance(param, click.Option):
            if "port" in said and param.envvar == PORT_VARIABLE and not os.environ.get(PORT_VARIABLE):
                found[param.name or ""] = said["port"]
            if isinstance(said.get("board"), str) and "--board" in param.opts:
                found[param.name or ""] = said["board"]
    options = {option.lstrip("-"): param for param in command.params for option in param.opts if option[:2] == "--"}
    for key, value in tables.get(name, {}).items():
        param = options.get(key)
        if param is None:
            raise UserError(f"{FILE}: {name} has no option {key}", f"options are: {', '.join(sorted(options))}")
        found[param.name or ""] = value
    return found


def _tables(said: Mapping[str, Any], commands: Collection[str]) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    for key, value in said.items():
        if key in ("port", "board") and isinstance(value, str):
            continue
        if key == "commands" and isinstance(value, dict):
            inner = value
        else:
            inner = {key: value}
        for name, table in inner.items():
            if name not in commands or not isinstance(table, dict):
                raise UserError(
                    f"{FILE}: {name} is no command's table", "at the top are port and board, then a table a command"
                )
            tables.setdefault(name, {}).update(table)
    return tables
