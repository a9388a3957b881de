"""`maixpix firmware`: what a firmware file is, and downloads of official builds."""

from __future__ import annotations

from pathlib import Path

import click

from maixpix import ui
from maixpix.flash import firmware_get, images


class _ShowsFiles(click.Group):
    """A group where the name of a file stands for `show` with that file."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and Path(args[0]).exists():
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_ShowsFiles)
def firmware() -> None:
    """Recognise firmware files and download official MaixPy builds.

    The name of a file alone is the same as `show` with it.

    \b
    Examples:
      maixpix firmware maixpy_v0.6.2_84_g8fcd84a58.bin
      maixpix firmware get v0.6.2_84_g8fcd84a58_minimum_with_ide_support
    """


@firmware.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def show(files: tuple[Path, ...]) -> None:
    """Tell what FILES are: build and version of MaixPy, other K210 programs, flash packages, models for the KPU.

    Whatever is none of these, and whatever is truncated or damaged, is refused with its reason and exit code 1.
    """
    for path in files:
        image = images.identify(path)
        images.require_known(image)
        ui.out(f"{path}: {image.title}")
        if image.headed:
            ui.out("  with flash header (its digest is right)")
        ui.out(f"  sha256 {image.sha256}")


@firmware.command()
@click.argument("name")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path(), help="File or folder to write to.")
@click.option("--site", default=firmware_get.SITE, show_default=True, help="Where builds are published.")
@click.option("--sums", type=click.Path(path_type=Path), default=None, help="File of remembered digests.")
def get(name: str, output: Path, site: str, sums: Path | None) -> None:
    """Download the official build NAME (or the address of one) and check it.

    The address is shown first. The file is kept only when it is complete and really MaixPy; its SHA-256 is remembered
    at the first download, and a later download that differs is refused.

    \b
    Examples:
      maixpix firmware get v0.6.2_84_g8fcd84a58_minimum_with_ide_support
      maixpix firmware get https://example.org/maixpy.bin -o firmware/
    """
    url = firmware_get.address_of(name, site)
    ui.say(f"from {url}")
    sums = sums or Path(click.get_app_dir("maixpix")) / "firmware.json"
    with ui.meter("download") as meter:
        done = firmware_get.download(url, output, sums, meter.update)
    ui.out(f"{done.path}: {done.image.title}")
    ui.out(f"  sha256 {done.image.sha256} ({_standing(done)})")


def _standing(done: firmware_get.Download) -> str:
    """What is known of the digest."""
    if done.is_pinned:
        return "the official build"
    return "first seen, remembered" if done.first else "as at the first download"
