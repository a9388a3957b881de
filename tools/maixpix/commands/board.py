"""`maixpix board`: a virtual board to work with, as if it were plugged in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maixpix.errors import UserError
from maixpix.options import SIZE

if TYPE_CHECKING:
    from maixpix.live import LiveBoard


@click.command()
@click.option(
    "--engine", type=click.Choice(["hosted", "k210"]), help="Who plays the chip; k210 when --firmware is given."
)
@click.option("--firmware", type=click.Path(path_type=Path), help="MaixPy image to run on the emulated chip.")
@click.option("--flash", type=click.Path(path_type=Path), help="Keeps the flash between runs: a file (k210) or folder.")
@click.option("--card", type=click.Path(path_type=Path), help="Folder that is the SD card.")
@click.option("--camera", type=click.Path(path_type=Path), help="Picture, or folder of pictures, that the camera sees.")
@click.option(
    "--at", default="1.1", show_default=True, type=click.Choice(["1.1", "1.3", "1.6", "1.7.4"]), help="AT firmware."
)
@click.option("--panel", type=SIZE, help="Size of the panel, for example 240x240.")
@click.option("--wifi", nargs=2, multiple=True, metavar="NAME KEY", help="Network in range (a made-up one).")
@click.option("--faults", metavar="PLAN", help="Fault plan: a JSON file, or the JSON itself.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything random.")
@click.option("--speed", type=click.Choice(["real", "max"]), help="Board's time as real time, or as fast as it goes.")
@click.option("--cpu", "cpu_factor", default=1.0, show_default=True, help="Instructions a cycle of the emulated chip.")
@click.option("--isp", is_flag=True, help="Start with the BOOT key held: the boot ROM waits for kflash.")
@click.option("--exec", "code", metavar="CODE", help="Type CODE at the REPL, print the answer, stop.")
@click.option("--run", "program", type=click.Path(path_type=Path), help="The same with a file.")
@click.option(
    "--timeout", default=600.0, show_default=True, help="Longest --exec or --run, in seconds of the board's time."
)
@click.option("--screenshot", type=click.Path(path_type=Path), help="Save what the panel shows at the end as PNG.")
def board(
    engine: str | None,
    firmware: Path | None,
    flash: Path | None,
    card: Path | None,
    camera: Path | None,
    at: str,
    panel: tuple[int, int] | None,
    wifi: tuple[tuple[str, str], ...],
    faults: str | None,
    seed: int,
    speed: str | None,
    cpu_factor: float,
    isp: bool,
    code: str | None,
    program: Path | None,
    timeout: float,
    screenshot: Path | None,
) -> int:
    """Run a virtual board until Ctrl-C.

    Its console is a serial port, whose name is printed: mpremote, screen, Thonny and every `maixpix` command take it
    with --port. The network "home" (key "correct horse") is in range, and the name "pc" is this machine.

    With --exec or --run a program is typed at the REPL instead; exit code 1 when it ends with an exception.

    \b
    Examples:
      maixpix board --card ./card
      maixpix board --firmware maixpy_v0.6.2.bin --card ./card --exec 'import os; print(os.listdir("/sd"))'
      maixpix board --isp --flash board.flash        then, elsewhere: maixpix flash maixpy.bin --port ...
    """
    from maixpix.live import LiveBoard, LiveOptions, stop_on_signals
    from virtualboard.faults import load_plan

    if code is not None and program is not None:
        raise click.UsageError("--exec and --run exclude each other")
    if program is not None:
        try:
            code = program.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot read {program}: {error.strerror}", "name a Python file") from None
    try:
        plan = load_plan(faults) if faults else []
    except ValueError as error:
        raise UserError(str(error), "see virtualboard/faults.py for how a plan is written") from None
    chosen = engine or ("k210" if firmware or isp else "hosted")
    options = LiveOptions(
        chosen, firmware, flash, card, camera, at, panel, faults=plan, seed=seed, isp=isp, cpu_factor=cpu_factor
    )
    if wifi:
        options.wifi = list(wifi)
    # People want to see a board at its own pace; a program that is typed in wants its answer.
    options.paced = (speed or ("max" if code is not None else "real")) == "real"
    live = LiveBoard(options)
    try:
        if code is not None:
            return _execute(live, code, timeout)
        with stop_on_signals() as stopped:
            _talk(live, chosen)
            live.run(stopped)
        click.echo("switched off", err=True)
        return 0
    finally:
        live.close()
        if screenshot is not None:
            live.board.panel.save(screenshot)


def _talk(live: LiveBoard, chosen: str) -> None:
    from virtualboard.console import PtyConsole

    console = PtyConsole(live.board)
    click.echo(f"virtual board ({chosen}) on {console.name}; Ctrl-C switches it off", err=True)


def _execute(live: LiveBoard, code: str, timeout: float) -> int:
    def output(data: bytes) -> None:
        sys.stdout.write(data.decode("utf-8", "replace").replace("\r\n", "\n"))
        sys.stdout.flush()

    error = live.execute(code.encode(), output, timeout)
    if error:
        sys.stderr.write(error)
        return 1
    return 0
