"""Tables of the device code (firmware/pix), read without running it, so that host and board cannot disagree."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maixpix.board import bundle
from maixpix.errors import UserError


@dataclass(frozen=True)
class Wiring:
    """One board of firmware/pix/board.py: pads of the modem (as seen from it), the key, and how its panel starts.

    `lcd` are arguments of lcd.init, `backlight` a pad that is on when low, `direction` what lcd.direction takes (0:
    MaixPy's default). None where a board has no such part.
    """

    tx: int
    rx: int
    enable: int | None
    strap: int | None
    key: int
    lcd: dict[str, int]
    backlight: int | None
    direction: int


def constant(file: str, name: str, root: Path | None = None) -> Any:
    """The value of the constant `name` at the top of the device module `file`."""
    for node in _module(file, root).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                break
    raise UserError(f"pix/{file} has no table {name}", "install maixpix again")


def wiring(board: str, root: Path | None = None) -> Wiring:
    """What is wired where on `board`; an unknown one is taken for a Dock, as the device code's default is."""
    boards = constant("board.py", "_BOARDS", root)
    strap, key, lcd, backlight, direction = boards.get(board, boards["dock"])
    pads = _defaults("board.py", "Pins", root)
    return Wiring(pads["wifi_tx"], pads["wifi_rx"], pads["wifi_en"], strap, key, lcd, backlight, direction)


def _defaults(file: str, name: str, root: Path | None) -> dict[str, Any]:
    """Default arguments of the constructor of class `name`."""
    for node in _module(file, root).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    names = [argument.arg for argument in method.args.args][-len(method.args.defaults) :]
                    return dict(zip(names, map(ast.literal_eval, method.args.defaults), strict=True))
    raise UserError(f"pix/{file} has no class {name}", "install maixpix again")


def _module(file: str, root: Path | None) -> ast.Module:
    path = (root or bundle.source_root()) / "firmware" / "pix" / file
    try:
        return ast.parse(path.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path} cannot be read: {error}", "install maixpix again") from None
