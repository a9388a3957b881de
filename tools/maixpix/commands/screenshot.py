"""`maixpix screenshot`: a virtual board's panel as a file."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path

import click

from maixpix import ui
from maixpix.errors import UserError
from maixpix.virtual.pictures import format_of, keep_as


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--web", metavar="URL", envvar="MAIXPIX_WEB", help="Page of the virtual board (`maixpix board --web`).")
def screenshot(output: Path, web: str | None) -> None:
    """Save what a virtual board's panel shows as PNG, or as what the name of OUTPUT says.

    A real panel cannot be read back: MaixPy drives it write-only.

    \b
    Example:
      maixpix board --web 8080        (in another terminal; prints the address with its token)
      maixpix screenshot panel.png --web 'http://127.0.0.1:8080/?token=...'
    """
    if not web:
        raise UserError(
            "MaixPy cannot read a real panel back", "for a virtual board give --web and the address of its page"
        )
    format_of(output)
    page, _, token = web.partition("?")
    url = page.rstrip("/") + "/panel.png"
    try:
        with urllib.request.urlopen(f"{url}?{token}" if token else url, timeout=10) as answer:
            data = answer.read(16 * 1024 * 1024)
    except urllib.error.HTTPError as error:
        if error.code == 403:
            raise UserError("the board's page wants its token", "give the whole address that was printed") from None
        raise UserError(f"no panel at {url} ({error.code})", "is this the page of `maixpix board --web`?") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"no panel at {url} ({reason})", "start the virtual board with `maixpix board --web`") from None
    if not data.startswith(b"\x89PNG"):
        raise UserError(f"{url} is no picture", "is this the page of `maixpix board --web`?")
    ui.out(f"{output}: {keep_as(data, output):,} bytes")
