"""`maixpix board`: a virtual board to work with, as if it were plugged in."""

from __future__ import annotations

import contextlib
import errno
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maixpix import texts, ui
from maixpix.commands.run import is_without_pix
from maixpix.errors import UserError
from maixpix.options import SIZE, faults_option
from maixpix.text import Cleaner
from maixpix.virtual.reach import grace_option, latency_option, reach_option
from virtualboard.clock import GRACE_NS, MS
from virtualboard.esp8285.profiles import PROFILES
from virtualboard.host.reset_lines import WIRINGS

if TYPE_CHECKING:
    from maixpix.virtual.live import LiveBoard, LiveOptions


@click.command()
@click.option(
    "--engine", type=click.Choice(["hosted", "k210"]), help="Who plays the chip; k210 when --firmware is given."
)
@click.option("--firmware", type=click.Path(path_type=Path), help="MaixPy image to run on the emulated chip.")
@click.option("--flash", type=click.Path(path_type=Path), help="Keeps the flash between runs: a file (k210) or folder.")
@click.option("--card", type=click.Path(path_type=Path), help="Folder that is the SD card; see below.")
@click.option("--camera", type=click.Path(path_type=Path), help="Picture, or folder of pictures, that the camera sees.")
@click.option("--at", default="1.1", show_default=True, type=click.Choice(list(PROFILES)), help="AT firmware.")
@click.option("--panel", type=SIZE, help="Size of the panel, for example 240x240.")
@click.option("--wifi", nargs=2, multiple=True, metavar="NAME KEY", help="Network in range (a made-up one).")
@reach_option
@latency_option
@grace_option(GRACE_NS / MS)
@faults_option
@click.option("--seed", default=0, show_default=True, help="Seed of everything random.")
@click.option("--speed", type=click.Choice(["real", "max"]), help="Board's time as real time, or as fast as it goes.")
@click.option("--cpu", "cpu_factor", default=1.0, show_default=True, help="Instructions a cycle of the emulated chip.")
@click.option("--isp", is_flag=True, help="Start with the BOOT key held: the boot ROM waits for kflash.")
@click.option("--snapshot", type=click.Path(path_type=Path), help="Goes on from there; kept at the end.")
@click.option("--web", type=click.IntRange(0, 65535), metavar="PORT", help="Panel, console, card and keys as a page.")
@click.option(
    "--ap-web",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Browsers at this port of this machine are in the modem's own network, as a telephone is: for the portal.",
)
@click.option(
    "--sta-web",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port of this machine for the board's own pages; unless given the board's, or a free one.",
)
@click.option("--rfc2217", type=click.IntRange(0, 65535), metavar="PORT", help="Console as rfc2217:// port, DTR, RTS.")
@click.option(
    "--lines",
    default="dan",
    show_default=True,
    type=click.Choice(list(WIRINGS)),
    help="How DTR and RTS reach reset and BOOT, by kflash's board types: Dock is dan; Go, Amigo and Cube are goE.",
)
@click.option("--exec", "code", metavar="CODE", help="Type CODE at the REPL, print the answer, stop.")
@click.option("--run", "program", type=click.Path(path_type=Path), help="The same with a file.")
@click.option(
    "--timeout", default=600.0, show_default=True, help="Longest --exec or --run, in seconds of the board's time."
)
@click.option("--screenshot", type=click.Path(path_type=Path), help="Save what the panel shows at the end.")
@click.pass_obj
def board(
    own_process: bool | None,
    engine: str | None,
    firmware: Path | None,
    flash: Path | None,
    card: Path | None,
    camera: Path | None,
    at: str,
    panel: tuple[int, int] | None,
    wifi: tuple[tuple[str, str], ...],
    reach: tuple[str, ...],
    rtt_ms: float,
    grace_ms: float,
    faults: list[dict[str, Any]] | None,
    seed: int,
    speed: str | None,
    cpu_factor: float,
    isp: bool,
    snapshot: Path | None,
    web: int | None,
    ap_web: int | None,
    sta_web: int | None,
    rfc2217: int | None,
    lines: str,
    code: str | None,
    program: Path | None,
    timeout: float,
    screenshot: Path | None,
) -> int:
    """Run a virtual board until Ctrl-C.

    Its console is a serial port, whose name is printed: mpremote, screen, Thonny and every `maixpix` command take it
    with --port. --rfc2217 makes it a network port instead, which also works on Windows and carries the lines that
    kflash resets a board with. The network "home" (key "correct horse") is in range, the name "pc" is this machine.

    The hosted engine is no sandbox: programs for the board run on this machine as you. They find no secrets in the
    environment and, on Linux with Landlock, no files but the board's own; nothing keeps them from the network. With
    --engine k210 they run on the emulated chip and reach nothing but its card, flash and network.

    The folder of --card is read when the board starts. What the hosted engine writes is in it at once; the emulated
    chip writes sectors, whose files get into the folder when the board is switched off.

    --snapshot goes on where the board was stopped, as if no time had passed: no start, variables as they were, the same
    picture. Only the modem has lost its power meanwhile, and with it its links. Needs the emulated chip.

    With --exec or --run a program is typed at the REPL instead; exit code 1 when it ends with an exception. Without
    --card, --run makes a card for the time of the run: pix, settings for the network "home" and for a companion that
    gives out sample pictures, and receives into ./uploads what a program uploads.

    \b
    Examples:
      maixpix board --card ./card --web 8080
      maixpix board --run mine.py --screenshot panel.png
      maixpix board --firmware maixpy_v0.6.2.bin --card ./card --exec 'import os; print(os.listdir("/sd"))'
      maixpix board --isp --flash board.flash        then, elsewhere: maixpix flash maixpy.bin --port ...
      maixpix board --firmware maixpy_v0.6.2.bin --snapshot prompt.snapshot     the second time it is there at once
      maixpix board --flash board.flash --rfc2217 2217 --engine k210
      maixpix flash maixpy.bin --port rfc2217://127.0.0.1:2217 --board dock
    """
    from maixpix.virtual.live import LiveOptions

    code = _program(code, program)
    if screenshot is not None:
        from maixpix.virtual.pictures import format_of

        format_of(screenshot)
    chosen = engine or ("k210" if firmware or isp or snapshot else "hosted")
    options = LiveOptions(
        chosen, firmware, flash, card, camera, at, panel, faults=faults or [], seed=seed, isp=isp,
        cpu_factor=cpu_factor, snapshot=snapshot, rtt_ms=rtt_ms, grace_ms=grace_ms,
        ap_web=ap_web,
        sta_web=sta_web,
    )  # fmt: skip
    options.reach = list(reach)
    if wifi:
        options.wifi = list(wifi)
    with _prepared(options, program, code):
        return _play(options, own_process, code, speed, timeout, screenshot, web, rfc2217, lines)


@contextlib.contextmanager
def _prepared(options: LiveOptions, program: Path | None, code: str | None) -> Iterator[None]:
    """A program that is to be run without any card gets one that has all that it may need."""
    if program is None or code is None or options.card is not None or options.snapshot is not None:
        yield
        return
    from maixpix.virtual.practice import WIFI, practice

    uploads = Path("uploads") if "upload" in code else None
    with practice(uploads) as (card, server):
        options.card = card
        options.wifi = [*options.wifi, *([] if WIFI in options.wifi else [WIFI])]
        ui.err(f"a card for this run: pix, settings (network {WIFI[0]}, server {server}); --card FOLDER takes yours")
        yield


def _play(
    options: LiveOptions,
    own_process: bool | None,
    code: str | None,
    speed: str | None,
    timeout: float,
    screenshot: Path | None,
    web: int | None,
    rfc2217: int | None,
    lines: str,
) -> int:
    from maixpix.virtual.live import LiveBoard, stop_on_signals
    from virtualboard.host.board_time import make_folder

    # People want to see a board at its own pace; a program that is typed in wants its answer.
    options.paced = (speed or ("max" if code is not None else "real")) == "real"
    live = LiveBoard(options)
    gc.freeze()  # the device's gc.collect() is CPython's: it need not search what was there before the board ran
    with contextlib.ExitStack() as at_end:
        at_end.callback(live.close)
        if screenshot is not None:
            at_end.enter_context(_panel_saved(live, screenshot))
        terminal = at_end.enter_context(_terminal(live)) if code is None and _needs_terminal(web, rfc2217) else None
        times = make_folder()
        if own_process and (missing := live.fence_in([times])):
            ui.err(f"programs for this board run as you, and reach what you reach ({missing})")
        with stop_on_signals(live.stop), _doors(live, web, rfc2217, lines, terminal, times):
            if code is not None:
                return _execute(live, code, timeout)
            keeps = options.engine == "k210" and options.card is not None
            later = ", and its card's files into their folder" if keeps else ""
            ui.err(f"virtual board ({options.engine}) runs; Ctrl-C switches it off{later}")
            live.run()
        ui.err("switched off")
        return 0


def _program(code: str | None, program: Path | None) -> str | None:
    if program is None:
        return code
    if code is not None:
        raise click.UsageError("--exec and --run exclude each other")
    return texts.read(program, "program", "name a Python file")


def _needs_terminal(web: int | None, rfc2217: int | None) -> bool:
    """Whether there is to be a pseudo-terminal. UserError when there is none to be had, and no other door either."""
    from virtualboard.host.console import HAS_PTY

    if not HAS_PTY and rfc2217 is None and web is None:
        raise UserError("this system has no pseudo-terminals", "add --rfc2217 2217 and use rfc2217://127.0.0.1:2217")
    return HAS_PTY


@contextlib.contextmanager
def _terminal(live: LiveBoard) -> Iterator[str]:
    """The board's pseudo-terminal, made before the fence is up: behind it no terminal can be opened."""
    from virtualboard.host.console import PtyConsole

    console = PtyConsole(live.console)
    try:
        yield console.name
    finally:
        console.close()


@contextlib.contextmanager
def _doors(
    live: LiveBoard, web: int | None, rfc2217: int | None, lines: str, terminal: str | None, times: Path
) -> Iterator[None]:
    """Everything by which the outside reaches the board, each announced on stderr, its time told in `times`."""
    from virtualboard.host.board_time import announced

    with contextlib.ExitStack() as open_doors:
        if rfc2217 is not None:
            open_doors.enter_context(_network_port(live, rfc2217, lines, times))
        if terminal is not None:
            open_doors.enter_context(announced(live.board.clock, terminal, times))
            ui.err(f"console on {terminal}")
        if live.board.bridge is not None:
            ui.err(f"the modem's own network: http://127.0.0.1:{live.board.bridge.port}/, while it is on the air")
        live.board.network.on_listen = lambda port, there: ui.err(
            f"the board's own service, its port {port}: http://127.0.0.1:{there}/"
        )
        if web is not None:
            from maixpix.companion.saying import logged_by
            from maixpix.virtual.web import serving

            open_doors.enter_context(logged_by(ui.err, quiet=True))
            ui.err(f"page at {open_doors.enter_context(serving(live, web))}")
        yield


@contextlib.contextmanager
def _network_port(live: LiveBoard, port: int, lines: str, times: Path) -> Iterator[None]:
    from virtualboard.host.board_time import announced
    from virtualboard.host.reset_lines import ResetLines
    from virtualboard.host.rfc2217 import Rfc2217Console

    wires = ResetLines(live.board, lines, live.hold)
    try:
        console = Rfc2217Console(live.console, port, wires, lambda text: ui.err(text))
    except OSError as error:
        raise port_error(error, port, "--rfc2217") from None
    ui.err(f"console on {console.url} ({lines} reset lines)")
    try:
        with announced(live.board.clock, console.url, times):
            yield
    finally:
        console.close()


def port_error(error: OSError, port: int, option: str) -> UserError:
    """Why loopback `port` cannot be listened on, in words."""
    if error.errno == errno.EADDRINUSE:
        return UserError(f"port {port} is in use", f"stop the other program or choose another {option}")
    if error.errno == errno.EACCES:
        return UserError(f"port {port} is reserved for the system", f"choose a {option} above 1023")
    return UserError(f"cannot listen on port {port}: {error.strerror}", f"choose another {option}")


def _execute(live: LiveBoard, code: str, timeout: float) -> int:
    cleaner = Cleaner()
    error = live.execute(code.encode(), lambda data: ui.out(cleaner.feed(data), end=""), timeout)
    if error:
        ui.err(error, end="")
        if is_without_pix(error.strip().rpartition("\n")[2]):
            ui.note("pix is not on this card: put it there with `maixpix card FOLDER`, or leave out --card")
        return 1
    return 0


@contextlib.contextmanager
def _panel_saved(live: LiveBoard, path: Path) -> Iterator[None]:
    """Save what the panel shows at the end. The file is opened now: behind the fence none can be made there."""
    from virtualboard.fence import open_output

    def told(error: OSError) -> UserError:
        return UserError(f"cannot write {path}: {error.strerror}", "choose another --screenshot")

    try:
        file = open_output(path)
    except OSError as error:
        raise told(error) from None
    try:
        yield
    finally:
        live.close()
        try:
            with file:
                live.board.panel.write(file, path.suffix)
        except OSError as error:
            raise told(error) from None
