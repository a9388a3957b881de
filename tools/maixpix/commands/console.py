"""`maixpix doctor`, `logs`, `repl`, `run`, `reset`, `screenshot`: looking at a board that is already set up."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

import click
import serial
from rich.text import Text

from maixpix import boards, ports, ui
from maixpix import doctor as examination
from maixpix.commands.common import place_on, port_option
from maixpix.errors import UserError
from maixpix.link import BAUD, BoardError, Link
from maixpix.places import FolderPlace, Place

_LOGS = ("pix.old", "pix.log")
_MARKS = {
    "ok": ("ok   ", "green"),
    "note": ("note ", "yellow"),
    "wrong": ("WRONG", "bold red"),
    "skip": ("-    ", "dim"),
}


@click.command("doctor")
@port_option
@click.option("--board", help="Board, when the settings do not name it: " + ", ".join(("dock", "go", "bit", "cube")))
@click.option("--no-network", is_flag=True, help="Leave modem and network alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor_command(ctx: click.Context, port: str | None, board: str | None, no_network: bool, as_json: bool) -> None:
    """Find out what is wrong: port, firmware, memory, card, panel, camera, modem, network, server.

    The app is stopped, and started again at the end. Each line says ok, note or WRONG with the remedy. Exit code 1 when
    something is wrong. The keys of networks stay on the board.

    \b
    Examples:
      maixpix doctor
      maixpix doctor --no-network --json
    """
    device = ports.choose(port)
    findings = []
    console = ui.Console(highlight=False, soft_wrap=True)
    try:
        with Link(device, ui.say) as link:
            for finding in examination.examine(link, device, board, not no_network):
                findings.append(finding)
                if not as_json:
                    _print_finding(console, finding)
            link.start_main()
    except UserError as error:
        findings.append(examination.Finding("connection", "wrong", error.message, error.remedy))
        if not as_json:
            _print_finding(console, findings[-1])
    if as_json:
        click.echo(examination.as_json(findings))
    ctx.exit(0 if examination.healthy(findings) else 1)


def _print_finding(console: ui.Console, finding: examination.Finding) -> None:
    mark, style = _MARKS[finding.state]
    line = Text(mark, style=style)
    line.append(f" {finding.name:<9} {finding.text}", style="default")
    if finding.remedy:
        line.append(f"; {finding.remedy}", style="default")
    console.print(line)


@click.command()
@port_option
@click.option("--card", "card_folder", type=click.Path(path_type=Path), help="Read a mounted card instead.")
@click.option("--lines", "-n", type=click.IntRange(1), default=40, show_default=True, help="Lines to show.")
@click.option("--follow", "-f", is_flag=True, help="Show what the board prints from now on; nothing is stopped.")
def logs(port: str | None, card_folder: Path | None, lines: int, follow: bool) -> None:
    """Show the board's last errors, kept on its card over resets.

    Reading them interrupts the app, which is started again afterwards. --follow only listens to the console.

    \b
    Examples:
      maixpix logs -n 10
      maixpix logs --follow
    """
    if follow:
        _follow(ports.choose(port))
        return
    if card_folder is not None:
        _print_log(FolderPlace(card_folder), lines)
        return
    with Link(ports.choose(port), ui.say) as link:
        _print_log(place_on(link), lines)
        link.start_main()


def _print_log(place: Place, count: int) -> None:
    text = b"".join(place.read(name) or b"" for name in _LOGS).decode("utf-8", "replace")
    shown = text.splitlines()[-count:]
    click.echo("\n".join(shown) if shown else f"no errors are kept on {place.name}")


def _follow(device: str) -> None:
    try:
        with serial.serial_for_url(device, BAUD, timeout=0.2, exclusive=True) as line:
            while True:
                data = line.read(max(1, line.in_waiting))
                if data:
                    sys.stdout.buffer.write(data)
                    sys.stdout.buffer.flush()
    except (OSError, serial.SerialException) as error:
        raise ports.open_error(device, error) from None


@click.command()
@port_option
def repl(port: str | None) -> None:
    """Talk to MaixPy's prompt (mpremote's terminal); Ctrl-] ends it, Ctrl-C stops what runs.

    \b
    Example:
      maixpix repl --port /dev/ttyUSB0
    """
    device = ports.choose(port)
    ui.say("Ctrl-C stops the app, Ctrl-D starts it again, Ctrl-] ends")
    done = subprocess.run([sys.executable, "-m", "mpremote", "connect", device, "resume", "repl"], check=False)
    if done.returncode:
        raise UserError("the terminal ended with an error", "is another program using the port? See `maixpix ports`")


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

    Exit code 1 when it ends with an exception, whose traceback goes to stderr. Ctrl-C stops it on the board too.

    \b
    Examples:
      maixpix run blink.py
      maixpix run -c "import uos; print(uos.listdir('/sd'))"
    """
    if (file is None) == (code is None):
        raise click.UsageError("name a FILE or give --exec")
    text = code if code is not None else file.read().decode("utf-8") if file else ""

    def show(data: bytes) -> None:
        sys.stdout.buffer.write(data.replace(b"\x04", b""))
        sys.stdout.buffer.flush()

    link = Link(ports.choose(port), ui.say)
    link.open(soft_reset=not resume)
    try:
        link.run(text, timeout_s=timeout, output=show)
    except BoardError as error:
        click.echo(error.traceback.rstrip(), err=True)
        ctx.exit(1)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError, serial.SerialException, UserError):
            link.serial.write(b"\x03")
        raise
    finally:
        link.close()


@click.command()
@port_option
@click.option("--soft", is_flag=True, help="Restart MaixPy only, the chip's peripherals keep their state.")
@click.option("--lines", is_flag=True, help="Use the port's DTR and RTS lines, for a board whose REPL is dead.")
@click.option("--board", "board_name", default="auto", help="Board, for the pattern of --lines.")
def reset(port: str | None, soft: bool, lines: bool, board_name: str) -> None:
    """Restart the board; the app of the settings starts again.

    \b
    Examples:
      maixpix reset
      maixpix reset --lines --board dock
    """
    board = boards.find(board_name)
    device = ports.choose(port, board)
    if lines:
        _pulse(device, board)
        return
    link = Link(device, ui.say)
    link.open(soft_reset=False)
    try:
        if soft:
            link.start_main()
        else:
            link.hard_reset()
    finally:
        link.close()


def _pulse(device: str, board: boards.Board) -> None:
    """Reset without the boot pin: dan-type boards reset by RTS, the others by DTR (kflash 1.1.6 reset_to_boot_*)."""
    by_rts = board.kflash in ("dan", "bit", "trainer")
    try:
        with serial.serial_for_url(device, BAUD) as line:
            for level in (False, True, False):
                line.rts = level and by_rts
                line.dtr = level and not by_rts
                time.sleep(0.1)
    except (OSError, serial.SerialException) as error:
        raise ports.open_error(device, error) from None


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--web", metavar="URL", envvar="MAIXPIX_WEB", help="Page of the virtual board (`maixpix board --web`).")
def screenshot(output: Path, web: str | None) -> None:
    """Save what a virtual board's panel shows as PNG.

    A real panel cannot be read back: MaixPy drives it write-only.

    \b
    Example:
      maixpix board --web 8080        (in another terminal)
      maixpix screenshot panel.png --web http://127.0.0.1:8080
    """
    if not web:
        raise UserError(
            "MaixPy cannot read a real panel back", "for a virtual board give --web and the address of its page"
        )
    url = web.rstrip("/") + "/panel.png"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            data = answer.read(16 * 1024 * 1024)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"no panel at {url} ({reason})", "start the virtual board with `maixpix board --web`") from None
    if not data.startswith(b"\x89PNG"):
        raise UserError(f"{url} is no picture", "is this the page of `maixpix board --web`?")
    try:
        output.write_bytes(data)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}", "choose another place") from None
    click.echo(f"{output}: {len(data):,} bytes")
