"""`maixpix fill`: what a plan names, on a card or on the board's card, proven."""

from __future__ import annotations

from pathlib import Path

import click

from maixpix import ui
from maixpix.commands.common import place, port_option


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--card", "card_folder", type=click.Path(path_type=Path), help="Mounted card, or any folder.")
@port_option
@click.option("--check", is_flag=True, help="Tell what differs and change nothing; exit code 1 when anything does.")
def fill(plan: Path, card_folder: Path | None, port: str | None, check: bool) -> int:
    """Fill a card with what a plan names: pictures, models, apps, settings.

    PLAN is a TOML file. Pictures are made for the board's panel, models are checked against its firmware, everything
    is read back. A second run transfers nothing; one that was cut goes on.

    \b
    Example of a plan:
      panel = "320x240"
      app = "frame"
      [[pictures]]
      from = ["holiday", "https://example.org/cat.png"]
      to = "pics"
      [[models]]
      from = "https://example.org/face.kmodel"

    \b
    Examples:
      maixpix fill plan.toml --card /media/SD
      maixpix fill plan.toml --card /media/SD --check
    """
    # Imported here because pictures and downloads bring in libraries that take half a second.
    from maixpix.fill.filling import Filling
    from maixpix.fill.plan import read_plan

    wanted = read_plan(plan)
    with place(port, card_folder) as where:
        filling = Filling(wanted, where)
        if check:
            difference = filling.differences()
            for entry in difference.write:
                ui.out(f"missing or different: {entry.path} ({entry.source})")
            for path in difference.remove:
                ui.out(f"no longer in the plan: {path}")
            if not difference:
                ui.out(f"{where.name} is as the plan says")
            return int(bool(difference))
        with ui.meter(f"filling {where.name}") as meter:
            report = filling.fill(lambda done, total, path: meter.update(done, total, path))
    for note in report.notes:
        ui.say(f"note: {note}")
    ui.out(f"{where.name}: {report.files} files as the plan says")
    ui.out(
        f"{report.written_files} written ({report.written:,} bytes), {report.removed} removed, "
        f"{report.downloaded:,} bytes downloaded, {report.software} files of software"
    )
    return 0
