"""`maixpix flash`: firmware and models into the board's flash."""

from __future__ import annotations

import re
from pathlib import Path

import click

from maixpix import boards, ui
from maixpix import ports as port_list
from maixpix.commands.common import port_option
from maixpix.errors import UserError
from maixpix.flash import kfpkg, write
from maixpix.flash.kflash_watch import LOADER
from maixpix.flash.plan import Job, plan


def _item(text: str) -> tuple[Path, int | None]:
    """(file, address or None) of FILE[@ADDRESS]; an "@" may also belong to the name of a file that is there."""
    name, at, address = text.rpartition("@")
    if not at or Path(text).exists():
        return Path(text), None
    if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}|\d{1,10}", address):
        raise UserError(f"{address or 'nothing'} behind the @ of {name} is no address", "write for example @0x300000")
    return Path(name), int(address, 16 if address[:2] in ("0x", "0X") else 10)


# A W25Q128's times for a whole-chip erase (its data sheet, tCE).
_ERASING = "erasing the whole flash: usually 40 s, 200 s at most"


@click.command("flash")
@click.argument("images", nargs=-1, metavar="IMAGE[@ADDRESS]...")
@port_option
@click.option("--board", "-B", "board_name", default="auto", show_default=True, help="; ".join(boards.NAMES) + ".")
@click.option("--baud", type=click.IntRange(9600, 7_500_000), help="Rate to begin with (default: the board's).")
@click.option("--erase", is_flag=True, help="Erase the whole chip first; without IMAGE only erase.")
@click.option("--over-files", is_flag=True, help="Allow images to overwrite MaixPy's files at 0xD00000 and above.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Write a .kfpkg of the images instead of flashing.")
@click.option("--check/--no-check", default=True, help="Listen for MaixPy's start afterwards (default).")
@click.option("--dry-run", is_flag=True, help="Check the images and show the plan only.")
def flash_command(
    images: tuple[str, ...],
    port: str | None,
    board_name: str,
    baud: int | None,
    erase: bool,
    over_files: bool,
    bundle: Path | None,
    check: bool,
    dry_run: bool,
) -> None:
    """Write firmware and models into the board's flash.

    Every image is checked before the board is touched. kflash does the work in a process of its own, under a time
    limit; damage that it reports as success is caught, and a lower rate is tried by itself.

    \b
    Examples:
      maixpix flash maixpy_v0.6.2_84_g8fcd84a58.bin
      maixpix flash --board go --port /dev/ttyUSB1 maixpy.bin
      maixpix flash maixpy.bin face.kmodel@0x300000
      maixpix flash maixpy.bin face.kmodel@0x300000 --bundle both.kfpkg
      maixpix flash --erase
    """
    if not images and not erase:
        raise click.UsageError("name an IMAGE, or give --erase")
    board = boards.find(board_name)
    job = plan([_item(text) for text in images], erase, over_files)
    for title in job.titles:
        ui.say(title)
    if job.parts and all(part.address for part in job.parts):
        ui.note("nothing goes to address 0, so the board boots what it booted before")
    if bundle is not None:
        _write_bundle(job, bundle)
        return
    if dry_run:
        return
    device = port_list.choose(port, board)
    ui.say(f"port {device}, board {board.name} ({board.title})")
    if erase:
        ui.say(f"first {_ERASING}" if images else _ERASING)
    if not images:
        write.erase(device, board, 0, 0)
        ui.out("the flash is erased")
        return
    with ui.meter("flash") as meter:

        def progress(name: str, done: int, total: int) -> None:
            if name != LOADER:
                meter.update(done, total, name)

        rate = write.write(job, device, board, baud, progress, note=ui.say)
    port_list.remember(device)
    wanted = baud or board.baud
    if rate < wanted:
        ui.note(f"{wanted} baud does not work here; --baud {rate} saves the time of trying")
    ui.out(f"flashed {job.size:,} bytes at {rate} baud")
    if check and job.version:
        if write.confirm(device):
            ui.out(f"MaixPy {job.version} starts on the board")
        else:
            ui.note("MaixPy was not heard starting; press reset, then `maixpix doctor`")


def _write_bundle(job: Job, path: Path) -> None:
    if path.suffix != ".kfpkg":
        raise UserError(f"{path} does not end in .kfpkg", "tools take a package for firmware under any other name")
    try:
        kfpkg.write(job.parts, path)
    except kfpkg.PackageError as error:
        raise UserError(str(error), "choose another address") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "choose another place") from None
    ui.out(f"{path}: {len(job.parts)} parts, {path.stat().st_size:,} bytes")
