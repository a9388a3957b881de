"""`maixpix serve`: the companion in the foreground."""

from __future__ import annotations

import os
from pathlib import Path

import click

from maixpix.errors import UserError
from maixpix.options import SIZE


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 lets boards in.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="HTTP port; 0 picks one.")
@click.option("--panel", default="320x240", show_default=True, type=SIZE, help="Panel size that pages preview.")
@click.option("--uploads", type=click.Path(path_type=Path), help="Folder for pictures that boards send.")
@click.option("--tcp", "tcp_port", type=click.IntRange(0, 65535), help="Also take raw TCP uploads on this port.")
@click.option("--name", "names", multiple=True, help="Further host name by which this PC is addressed.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder that keeps converted pictures between runs.")
@click.option("--allow-fetch", is_flag=True, help="Let boards ask for pictures of any web page through this PC.")
@click.option("--fetch-private", is_flag=True, help="With --allow-fetch: also addresses in your own network.")
@click.option("--no-delete", is_flag=True, help="Nothing can be deleted in the gallery.")
def serve(
    folder: Path,
    host: str,
    port: int,
    panel: tuple[int, int],
    uploads: Path | None,
    tcp_port: int | None,
    names: tuple[str, ...],
    cache: Path | None,
    allow_fetch: bool,
    fetch_private: bool,
    no_delete: bool,
) -> None:
    """Give the pictures in FOLDER to boards, in exactly the size of their panels.

    Any picture that Pillow reads is converted on the way: big, progressive, PNG, turned by EXIF. Boards ask for
    /pictures/NAME?size=320x240; a browser sees them all at the printed address. Only this machine can connect
    unless --host says otherwise.

    Uploads may be guarded by a shared token: put it into the environment variable MAIXPIX_TOKEN (never on the
    command line, where every program can read it).

    \b
    Examples:
      maixpix serve ~/Pictures
      maixpix serve ~/Pictures --host 0.0.0.0 --uploads ~/FromBoard --tcp 3456
    """
    from maixpix.companion import ServeSettings
    from maixpix.companion import serve as run

    if tcp_port is not None and uploads is None:
        raise UserError("raw TCP uploads have no folder to go to", "add --uploads FOLDER")
    settings = ServeSettings(
        folder,
        host=host,
        port=port,
        panel=panel,
        uploads=uploads,
        tcp_port=tcp_port,
        names=names,
        cache_dir=cache,
        token=os.environ.get("MAIXPIX_TOKEN") or None,
        allow_fetch=allow_fetch,
        fetch_private=fetch_private,
        allow_delete=not no_delete,
    )
    settings.check()
    run(settings, click.echo)
