"""`maixpix demo`: see it all work without a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maixpix import ui
from maixpix.errors import UserError
from maixpix.options import SIZE, faults_option
from maixpix.virtual.reach import grace_option, latency_option, reach_option
from virtualboard.esp8285.profiles import PROFILES


@click.command()
@click.option("--picture", type=click.Path(path_type=Path), help="Picture file to show instead of the photograph.")
@click.option("--url", help="Fetch this http:// address instead; beyond this machine it takes --reach.")
@reach_option
@latency_option
@grace_option(2000.0)
@click.option("--baud", default=1_000_000, show_default=True, type=click.IntRange(9600, 4_000_000), help="Line rate.")
@click.option("--at", default="1.1", show_default=True, type=click.Choice(list(PROFILES)), help="AT firmware.")
@click.option("--panel", default="320x240", show_default=True, type=SIZE, help="Size of the panel.")
@faults_option
@click.option("--seed", default=0, show_default=True, help="Seed of everything random.")
@click.option("--engine", type=click.Choice(["hosted", "k210"]), help="Who plays the chip; k210 given --firmware.")
@click.option("--firmware", type=click.Path(path_type=Path), help="MaixPy image to run on the emulated chip.")
@click.option(
    "--out",
    default=Path("out/demo"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the results; those of an earlier demo in it are deleted.",
)
def demo(
    picture: Path | None,
    url: str | None,
    reach: tuple[str, ...],
    rtt_ms: float,
    grace_ms: float,
    baud: int,
    at: str,
    panel: tuple[int, int],
    faults: list[dict[str, Any]] | None,
    seed: int,
    engine: str | None,
    firmware: Path | None,
    out: Path,
) -> int:
    """Show a picture on a virtual board, then take one and send it back.

    Starts the companion server and a virtual Maix board, lets the board's own software join Wi-Fi, fetch a picture and
    show it, and compares the panel with what it should show. After a power cycle the board takes a snapshot with its
    camera and uploads it to the companion's gallery. Writes panel.png, received.jpg, demo.png, report.json, the card
    and the uploads; deletes nothing that no demo has made. Exits with 1 when the panel does not show the picture or
    the snapshot does not arrive whole.

    \b
    Examples:
      maixpix demo --picture holiday.png
      maixpix demo --at 1.1 --baud 115200
      maixpix demo --url http://192.168.1.20/cat.jpg --reach 192.168.1.20
      maixpix demo --firmware maixpy_v0.6.2_minimum.bin
      maixpix demo --faults '[{"when": {"ms": 6000}, "do": "lose-wifi", "for_ms": 3000}]'
    """
    from maixpix.demo.run import DemoOptions, run_demo

    chosen = engine or ("k210" if firmware else "hosted")
    if firmware is not None and chosen == "hosted":
        raise UserError("the hosted engine runs no firmware file", "leave out --engine hosted")
    options = DemoOptions(
        out, picture, url, baud, at, panel, faults or [], seed, chosen, firmware, list(reach), rtt_ms, grace_ms
    )
    report = run_demo(options, ui.out)
    if not report["ok"]:
        raise UserError(report["verdict"], f"see the board's words above and {out / 'demo.png'}")
    ui.out(f"{report['verdict']}; see {out / 'demo.png'}")
    return 0
