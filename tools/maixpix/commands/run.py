"""`maixpix run`: a file or a line of Python on the board."""

from __future__ import annotations

import contextlib
from typing import IO

import click
import serial

from maixpix import ports, texts, ui
from maixpix.board import bundle
from maixpix.board.link import BoardError, Link
from maixpix.commands.common import port_option
from maixpix.errors import UserError
from maixpix.text import Cleaner
from virtualboard.program import PATHS


@click.command()
@port_option
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--exec", "-c", "code", metavar="CODE", help="Run CODE instead of a file.")
@click.option("--resume", is_flag=True, help="No soft reset before: keep what the last run left.")
@click.option("--timeout", type=click.FloatRange(0.1), help="End it after so many seconds without output.")
@click.pass_context
def run(
    ctx: click.Context, port: str | None, file: IO[bytes] | None, code: str | None, resume: bool, timeout: float | None
) -> None:
    """Run a Python FILE on the board and show what it prints.

    Exit code 1 when it ends with an exception, whose traceback goes to stderr. Ctrl-C stops it on the board too. It
    finds `pix` when that was deployed, as the apps do.

    \b
    Examples:
      maixpix run blink.py
      maixpix run -c "import uos; print(uos.listdir('/sd'))"
    """
    if (file is None) == (code is None):
        raise click.UsageError("name a FILE or give --exec")
    text = code if code is not None else _text_of(file) if file else ""

    cleaner = Cleaner()

    def show(data: bytes) -> None:
        ui.out(cleaner.feed(data.replace(b"\x04", b"")), end="")

    link = Link(ports.choose(port), ui.say)
    link.open(soft_reset=not resume)
    try:
        link.run(PATHS)
        link.run(_for_the_flash(link, text), timeout_s=timeout, output=show)
    except BoardError as error:
        ui.err(error.traceback.rstrip())
        if is_without_pix(error.last):
            ui.note(f"pix is not on the board: {NO_PIX}")
        ctx.exit(1)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError, serial.SerialException, UserError):
            link.serial.write(b"\x03")
        raise
    finally:
        link.close()


NO_PIX = "put it there with `maixpix deploy`"


def is_without_pix(last: str) -> bool:
    """Whether the last line of a traceback says that there is no `pix` to import."""
    return last.startswith("ImportError") and "'pix" in last


def _for_the_flash(link: Link, text: str) -> str:
    """`text` as it is, or with its imports of pix changed where the software is on the flash, which has no packages."""
    if "pix" not in text:
        return text
    folder, first = link.eval("(__import__('uos').getcwd(),__import__('sys').path[0])")
    if folder != "/flash" or not str(first).startswith("maixpix/"):
        return text
    try:
        return bundle.flatten(text, "the program", bundle.pix_modules())
    except SyntaxError:
        return text  # the board says where


def _text_of(file: IO[bytes]) -> str:
    try:
        return texts.decode(file.read(texts.MOST + 1), str(file.name))
    except OSError as error:
        raise UserError(f"cannot read {file.name}: {error.strerror}", "name a Python file") from None
