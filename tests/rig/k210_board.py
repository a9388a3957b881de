"""As hosted_board.py, with the emulated chip and the image that MAIXPY_FIRMWARE names ("" with ISP=1: boot ROM)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    from virtualboard.board import Board, BoardConfig
    from virtualboard.clock import Clock
    from virtualboard.host.console import PtyConsole
    from virtualboard.k210.engine import K210Engine

    config = json.loads(sys.argv[1])
    isp = config.pop("isp", False)
    config["flash_dir"] = None
    # A person sits at the console: time goes at its real pace, and an idle board costs no processor time.
    board = Board(BoardConfig.from_dict(config), Clock(pace=True))
    firmware = None if isp else Path(os.environ["MAIXPY_FIRMWARE"])
    console = PtyConsole(board)
    engine = K210Engine(board, firmware)
    engine.boot(isp=isp)
    print(console.name, flush=True)
    while True:
        # Shorter than the console FIFO takes to fill, so that input typed meanwhile is served in time.
        engine.run(timeout_ns=300_000)


if __name__ == "__main__":
    main()
