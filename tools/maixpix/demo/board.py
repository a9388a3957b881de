"""The board of a demo: what it is told, how each engine plays it, and what it says meanwhile."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from maixpix.demo.prepared import started_flash
from maixpix.errors import UserError
from maixpix.paths import board_files
from maixpix.virtual.engines import fill_flash
from maixpix.virtual.reach import LOOPBACK
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.clock import SECOND, Clock
from virtualboard.engine import K210, EngineOptions
from virtualboard.launch import BoardError, OnEvent, RunResult, run_app
from virtualboard.nor_flash import NorFlash

SSID, KEY = "home", "correct horse"
Say = Callable[[str], None]

BOARDS = {(320, 240): "dock", (240, 240): "cube", (480, 320): "amigo"}
"""The board that has a panel of each size."""

BIG_HEAP = 2 * 1024 * 1024
"""Bytes of MaixPy's GC heap on boards whose panel's picture finds no room in the default of 512 KiB. In 1 MiB it finds
none either: by then, what stays in use lies all over the heap, and no 300 kB between are in one piece."""

DEMO_GRACE_MS = 2000.0
"""The companion shares this machine with the board: the demo's figures are not to suffer from that."""

_CHIP_SLOWER = 10
"""How much longer in real time a run of the emulated chip may take than one of the hosted engine."""

_CHIP_END_MS = 300_000
"""Time of the board after which an app on the chip is given up."""

_MOST_FAULT_LINES = 20
_CHATTER = ("[MAIXPY]", "[MaixPy]", "[Warning]", "init i2c")  # what the firmware itself says while it starts parts


@dataclass
class DemoOptions:
    """What `maixpix demo` can be told."""

    out: Path
    picture: Path | None = None
    url: str | None = None
    baud: int = 1_000_000
    at: str = "1.1"
    panel: tuple[int, int] = (320, 240)
    faults: list[dict[str, Any]] = field(default_factory=list)
    seed: int = 0
    engine: str = "hosted"
    firmware: Path | None = None
    """MaixPy image for engine "k210"."""
    reach: list[str] = field(default_factory=list)
    """Address ranges beyond this machine that the board may reach, CIDR."""
    rtt_ms: float = 4.0
    """Round trip to every server, milliseconds of the board's time."""
    grace_ms: float = DEMO_GRACE_MS
    """Real milliseconds within which a server answers at once in the board's time."""
    timeout_s: float = 300.0
    """Real seconds after which a board of the hosted engine is given up."""

    @property
    def model(self) -> str:
        """Name of the board that has such a panel. UserError when none has."""
        if self.panel not in BOARDS:
            known = ", ".join(f"{width}x{height}" for width, height in BOARDS)
            raise UserError(f"no board has a panel of {self.panel[0]}x{self.panel[1]}", f"use one of {known}")
        return BOARDS[self.panel]

    @property
    def picture_bytes(self) -> int:
        """What a picture that fills the panel takes in the GC heap, in one piece: RGB565."""
        return 2 * self.panel[0] * self.panel[1]

    @property
    def heap_size(self) -> int | None:
        """GC heap in bytes to give the board; None for MaixPy's default."""
        return BIG_HEAP if self.picture_bytes > 250_000 else None


def camera_picture() -> Path:
    """What the demo's camera sees."""
    return board_files() / "assets" / "pictures" / "coffee.jpg"


@dataclass
class Stage:
    """One line of what happened: virtual milliseconds since power-on, the words, and who said them."""

    ms: float
    text: str
    tone: str = "plain"
    """"plain" for the board's words, "fault" for what the fault plan did, "bad" for the board's errors."""


class DemoBoard:
    """The board of a demo, switched on anew for every app. `names` is what its network resolves.

    Either engine plays in a process of its own; the chip's flash stays in a file beside the card meanwhile.
    """

    def __init__(self, options: DemoOptions, names: dict[str, str], card: Path, console: Console) -> None:
        self._options = options
        self._names = names
        self._card = card
        self._console = console
        self._flash = card.parent / "board.flash"
        self._engine = EngineOptions(repl=False, heap_size=options.heap_size)

    def prepare(self, say: Say) -> None:
        """Once before the first app: the firmware, and the heap that the panel's picture needs, as a user would set it.

        The chip gets the flash of a board that was started before, as every board is but for its very first minute.
        Raises UserError for a firmware that cannot be run, or does not set its heap.
        """
        options, heap = self._options, self._options.heap_size
        if heap is not None:
            say(
                f"a picture of this panel takes {options.picture_bytes >> 10} kB in one piece, so the board gets a "
                f"larger heap, as a real one does by Maix.utils.gc_heap_size({heap}) and a reset"
            )
        if options.engine == K210:
            if options.firmware is None:
                raise UserError("the emulated chip has nothing to run", "name a MaixPy image with --firmware")
            code = "pass\n" if heap is None else f"from Maix import utils\nutils.gc_heap_size({heap})\n"
            self._engine = EngineOptions(K210, flash=str(self._flash))
            self._flash.write_bytes(started_flash(options.firmware, code, lambda: self._first_start(code)))

    def _first_start(self, code: str) -> bytes:
        flash = NorFlash(Clock())
        fill_flash(flash, self._options.firmware)
        flash.save(self._flash)
        with tempfile.TemporaryDirectory(prefix="maixpix-card-") as card:  # firmware looks for one for long
            result = self._run(replace(self._config([]), card=card), code)
        if not result.ok:
            last = result.report["error"] or result.report["ended"]
            raise UserError(f"the firmware's first start failed: {last}", "use MaixPy v0.5 or newer")
        return self._flash.read_bytes()

    def play(self, app: str, settings: dict[str, Any], panel: Path, faults: list[dict[str, Any]]) -> dict[str, Any]:
        """Power on with `settings` on the card, run `app`, power off; returns the board's report.

        `panel` gets what the panel shows at the end as PNG. UserError when the board breaks down or never ends.
        """
        (self._card / "pix.json").write_text(json.dumps(settings), encoding="utf-8")
        started = time.monotonic()
        try:
            script = self._card / "apps" / f"{app}.py"
            result = self._run(
                self._config(faults), script, self._console.on_event, panel=panel, board_path=f"/sd/apps/{app}.py"
            )
            return {**result.report, "host_s": round(time.monotonic() - started, 3)}
        finally:
            self._console.finish()

    def close(self) -> None:
        """Nothing of the board is needed any more."""
        self._flash.unlink(missing_ok=True)

    def _run(self, config: BoardConfig, script: Path | str, on_event: OnEvent | None = None, **how: Any) -> RunResult:
        chip = self._options.engine == K210
        try:
            return run_app(
                config,
                script,
                on_event,
                self._options.timeout_s * (_CHIP_SLOWER if chip else 1),
                engine=self._engine,
                end_ms=_CHIP_END_MS if chip else None,
                **how,
            )
        except TimeoutError as error:
            raise UserError(str(error), "is the server silent, or a fault longer than this?") from None
        except BoardError as error:
            first, *more = str(error).splitlines()
            remedy = error.remedy or "please report this with the command line"
            raise UserError(" ... ".join([first, *more[-1:]]), remedy) from None

    def _config(self, faults: list[dict[str, Any]]) -> BoardConfig:
        options = self._options
        return BoardConfig(
            model=options.model,
            at=options.at,
            card=str(self._card),
            camera=str(camera_picture()),
            panel_width=options.panel[0],
            panel_height=options.panel[1],
            wifi=[WifiNetwork(SSID, KEY)],
            names=self._names,
            reach=[LOOPBACK, *options.reach],
            dns=bool(options.reach),
            faults=faults,
            seed=options.seed,
            rtt_ms=options.rtt_ms,
            grace_ms=options.grace_ms,
        )


class Console:
    """Turns what a board prints, and what strikes it, into `stages`, each said as soon as its line is whole."""

    def __init__(self, say: Say) -> None:
        self.stages: list[Stage] = []
        self.line_rate: int | None = None
        """Rate of the modem's line in baud, as the board told it last."""
        self._say = say
        self._text = ""
        self._now = 0
        self._faults = 0

    @property
    def last_error(self) -> str:
        """Code and cause of the last error that the board told, without its remedy; "" when it told none."""
        errors = [stage.text for stage in self.stages if stage.tone == "bad"]
        return errors[-1].removeprefix("error ").partition("; ")[0] if errors else ""

    def on_event(self, event: dict[str, Any]) -> None:
        """One event of a board, see `virtualboard.__main__`."""
        self._now = event.get("t", self._now)
        if "fault" in event:
            self._faults += 1
            if self._faults <= _MOST_FAULT_LINES:
                self._stage(f"fault: {event['fault']}", "fault")
            elif self._faults == _MOST_FAULT_LINES + 1:
                self._stage("fault: and more of them, all in report.json", "fault")
        if "console" in event:
            *lines, self._text = re.split(r"[\r\n]", self._text + event["console"])
            for line in lines:
                self._line(line)

    def power_cycle(self, what: str) -> None:
        """The board starts anew, and its time with it, for the reason `what`."""
        self._now = 0
        self._stage(what, "plain")

    def finish(self) -> None:
        """The board is off: what it did not finish is a line too."""
        self._line(self._text)
        self._text = ""

    def _line(self, line: str) -> None:
        line = line.strip()
        if line.startswith(_CHATTER) or not any(c.isalnum() for c in line):
            return
        rate = re.fullmatch(r"modem .*\bat (\d+) baud", line)
        if rate:
            self.line_rate = int(rate[1])
        self._stage(line, "bad" if line.startswith("error ") else "plain")

    def _stage(self, text: str, tone: str) -> None:
        self.stages.append(Stage(self._now / 1e6, text, tone))
        self._say(f"{self._now / SECOND:8.3f} s  {text}")
