"""`maixpix new`: a first program of one's own."""

from __future__ import annotations

import re
from pathlib import Path

import click

from maixpix import ui
from maixpix.board import bundle, own
from maixpix.errors import UserError

KINDS = ("show", "send", "loop")


@click.command("new")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="show",
    show_default=True,
    help="Fetch a picture and show it; take one and send it; show what is new again and again.",
)
def new(name: str, kind: str) -> None:
    """Write a first program of your own into NAME.py.

    It runs at once: on a virtual board with `maixpix board --run`, on your board with `maixpix run`, and by itself
    after every start of the board when it was put there with `maixpix deploy --app`.

    \b
    Examples:
      maixpix new mine
      maixpix new sender --kind send
    """
    path = Path(name if name.endswith(".py") else f"{name}.py")
    own.check_name(path.stem, path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(starter(path.stem, kind))
    except FileExistsError:
        raise UserError(f"{path} is there already", "choose another name") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "choose another folder") from None
    ui.out(f"{path} is written. What now:")
    watch = " --speed real --web 8080" if kind == "loop" else " --screenshot panel.png"
    ui.out(f"  maixpix board --run {path}{watch}    on a virtual board")
    ui.out(f"  maixpix run {path}                   on your board, once")
    ui.out(f"  maixpix deploy --app ./{path}        to stay there, and start with it")


def starter(name: str, kind: str) -> str:
    """The text of a program called `name`."""
    text = (bundle.source_root() / "apps" / "examples" / f"{kind}.py").read_text("utf-8")
    return re.sub(r"\bmine\b", name, text)
