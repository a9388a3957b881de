"""Run a program of the card on the emulated chip, as someone who types at the prompt would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maixpix.errors import UserError
from maixpix.virtual.live import LiveBoard, LiveOptions

# MaixPy mounts the card in the background and looks for it only once, while it starts.
_PROGRAM = """\
import os, sys, time
for i in range(30):
    if "sd" in os.listdir("/"):
        break
    time.sleep_ms(100)
if "/sd" not in sys.path:
    sys.path.append("/sd")
exec(open("%s").read())
"""


def run_on_chip(
    options: LiveOptions,
    path: str,
    on_text: Callable[[int, str], None],
    panel: Path,
    timeout_s: float = 300.0,
    on_fault: Callable[[int, str], None] | None = None,
) -> dict[str, Any]:
    """Boot the firmware of `options` and run the file `path` of the board, e.g. "/sd/apps/show.py".

    `on_text(virtual_ns, text)` gets what it prints, `on_fault(virtual_ns, what)` each fault of the plan that strikes,
    `panel` the panel as PNG. Returns figures of the run, plain data.
    Raises UserError when the program raises, or does not end within `timeout_s` of the board's time.
    """
    started = time.monotonic()
    live = LiveBoard(options)
    live.faults.on_happened = on_fault
    board = live.board
    ended = "finished"

    def power_cut() -> None:
        nonlocal ended
        ended = "power cut"
        live.stop()

    board.on_power_cut = power_cut
    try:
        try:
            error = live.execute(
                (_PROGRAM % path).encode(),
                lambda data: on_text(board.clock.now, data.decode("utf-8", "replace").replace("\r\n", "\n")),
                timeout_s,
            )
        except KeyboardInterrupt:
            if ended != "power cut":
                raise
            error = ""
        board.panel.save(panel)
    finally:
        live.close()
    if error:
        raise UserError(f"{path} failed on the chip: {error.strip().splitlines()[-1]}", "see the lines above")
    lanes = (board.to_chip, board.to_modem, board.console_rx, board.console_tx)
    return {
        "virtual_ns": board.clock.now,
        "ended": ended,
        "waited_real_ns": board.clock.waited_ns,
        "host_s": round(time.monotonic() - started, 3),
        "lanes": {lane.name: {"bytes": lane.sent, "busy_ns": lane.busy_ns} for lane in lanes},
        "card": {"written": board.card.bytes_written, "read": board.card.bytes_read},
        "panel": {"frames": board.panel.frames, "width": board.panel.width, "height": board.panel.height},
        "faults": [[when, what] for when, what in live.faults.happened],
        "modem": json.loads(json.dumps(board.modem.stats, default=vars)),
    }
