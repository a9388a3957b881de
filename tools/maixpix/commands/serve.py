"""`maixpix serve`: the companion in the foreground."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from maixpix import ui
from maixpix.amounts import bytes_text, parse_bytes, parse_seconds, seconds_text
from maixpix.companion.frames import ORDERS
from maixpix.companion.settings import PictureLimits, ServeSettings, UploadLimits
from maixpix.companion.sniff import MORE_FORMATS
from maixpix.errors import UserError
from maixpix.options import SIZE

DEFAULTS = UploadLimits()


class Amount(click.ParamType):
    """A number with a unit, read by `parse`."""

    def __init__(self, name: str, parse: Callable[[str], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes or seconds; fails with a sentence that says how to write them."""
        if isinstance(value, int):
            return value
        try:
            return self._parse(value)
        except UserError as error:
            self.fail(error.line, param, ctx)


SIZE_IN_BYTES = Amount("size", parse_bytes)
TIME = Amount("time", parse_seconds)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 lets boards in.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="HTTP port; 0 picks one.")
@click.option(
    "--order", default="name", show_default=True, type=click.Choice(ORDERS), help="Order of the boards' playlist."
)
@click.option(
    "--interval", type=TIME, help="How long boards show each picture, for example 5m.  [default: as the board is set]"
)
@click.option("--update", is_flag=True, help="Give this software to boards that were deployed with --update.")
@click.option(
    "--update-app", "update_apps", multiple=True, type=click.Path(path_type=Path),
    help="With --update: an app of your own that goes with it.",
)  # fmt: skip
@click.option("--panel", default="320x240", show_default=True, type=SIZE, help="Panel size that pages preview.")
@click.option(
    "--uploads",
    type=click.Path(path_type=Path),
    help="Folder for pictures that boards send.  [default: uploads, in the current directory]",
)
@click.option("--no-uploads", is_flag=True, help="Receive nothing: no gallery, no upload address.")
@click.option(
    "--tcp",
    "tcp_port",
    type=click.IntRange(0, 65535),
    help="Also take raw TCP uploads on this port, for example 3456.  [default: off, as plain TCP shows no token]",
)
@click.option(
    "--max-file", type=SIZE_IN_BYTES, default=bytes_text(DEFAULTS.max_file_bytes), show_default=True,
    help="Biggest upload.",
)  # fmt: skip
@click.option(
    "--max-total", type=SIZE_IN_BYTES, default=bytes_text(DEFAULTS.quota_bytes), show_default=True,
    help="Most bytes of all uploads together.",
)  # fmt: skip
@click.option(
    "--max-count", type=click.IntRange(min=1), default=DEFAULTS.max_files, show_default=True,
    help="Most uploads kept.",
)  # fmt: skip
@click.option(
    "--reserve", type=SIZE_IN_BYTES, default=bytes_text(DEFAULTS.reserve_bytes), show_default=True,
    help="Free space of the disk that uploads never use up.",
)  # fmt: skip
@click.option(
    "--expire", type=TIME, default=seconds_text(DEFAULTS.expire_s), show_default=True,
    help="How long an upload that broke off can be resumed.",
)  # fmt: skip
@click.option("--name", "names", multiple=True, help="Further host name by which this PC is addressed.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder that keeps converted pictures between runs.")
@click.option("--allow-fetch", is_flag=True, help="Let boards ask for pictures of any web page through this PC.")
@click.option("--fetch-private", is_flag=True, help="With --allow-fetch: also addresses in your own network.")
@click.option("--no-delete", is_flag=True, help="Nothing can be deleted in the gallery.")
@click.option(
    "--also-read", multiple=True, type=click.Choice(list(MORE_FORMATS)),
    help="Also convert pictures of this old or costly format.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="Do not tell of every picture that is fetched and sent.")
def serve(
    folder: Path,
    host: str,
    port: int,
    order: str,
    interval: int | None,
    update: bool,
    update_apps: tuple[Path, ...],
    panel: tuple[int, int],
    uploads: Path | None,
    no_uploads: bool,
    tcp_port: int | None,
    max_file: int,
    max_total: int,
    max_count: int,
    reserve: int,
    expire: int,
    names: tuple[str, ...],
    cache: Path | None,
    allow_fetch: bool,
    fetch_private: bool,
    no_delete: bool,
    also_read: tuple[str, ...],
    quiet: bool,
) -> None:
    """Give the pictures in FOLDER to boards, in exactly the size of their panels, and receive theirs.

    JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC and AVIF are converted on the way: big, progressive, turned. Boards ask for
    /pictures/NAME?size=320x240; a browser sees them all at the printed address. Only this machine can connect
    unless --host says otherwise.

    What boards send lands in the folder "uploads" of the current directory, by date, and shows at /gallery at once.
    When the current directory lies in FOLDER, it is the folder "uploads" beside FOLDER, so that what one board sends
    is not given to the others unasked. Sizes are written 64M or 2G (powers of 1024), times 12h or 7d.

    A shared token guards uploads: put it into the environment variable MAIXPIX_TOKEN (never on the command line, where
    every program can read it). With --host the gallery and deleting need it too (browsers log in once); without a
    token nothing can be deleted there.

    \b
    Examples:
      maixpix serve ~/Pictures
      maixpix serve ~/Pictures --host 0.0.0.0 --uploads ~/FromBoard --tcp 3456
      maixpix serve ~/Pictures --max-file 8M --max-total 2G
      maixpix serve ~/Pictures --no-uploads
    """
    from maixpix.companion import serve as run
    from maixpix.companion.updates import check_apps

    if no_uploads and (uploads is not None or tcp_port is not None):
        raise click.UsageError("--no-uploads goes neither with --uploads nor with --tcp")
    if not no_uploads and uploads is None:
        uploads = default_uploads(folder)
    if update:
        check_apps(update_apps)
    elif update_apps:
        raise click.UsageError("--update-app goes with --update")
    settings = ServeSettings(
        folder,
        host=host,
        port=port,
        panel=panel,
        order=order,
        interval_s=interval or 0,
        update=update,
        update_apps=update_apps,
        uploads=uploads,
        tcp_port=tcp_port,
        names=names,
        cache_dir=cache,
        token=os.environ.get("MAIXPIX_TOKEN") or None,
        allow_fetch=allow_fetch,
        fetch_private=fetch_private,
        allow_delete=not no_delete,
        pictures=PictureLimits(also_read=also_read),
        upload_limits=UploadLimits(
            max_file_bytes=max_file, max_files=max_count, quota_bytes=max_total, reserve_bytes=reserve, expire_s=expire
        ),
    )
    settings.check()
    run(settings, ui.out, quiet)


def default_uploads(folder: Path) -> Path:
    """Where uploads go when nothing is said: never into the folder of pictures. Raises `UserError` when that is all."""
    pictures = folder.resolve()
    for place in (Path.cwd(), pictures.parent):
        if not (place / "uploads").resolve().is_relative_to(pictures):
            return place / "uploads"
    raise UserError(f"uploads would land among the pictures of {folder}", "name another folder by --uploads")
