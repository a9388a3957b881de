"""As hosted_board.py, with the emulated chip and the image that MAIXPY_FIRMWARE names ("" with ISP=1: boot ROM)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    from virtualboard.board import Board, BoardConfig
    from virtualboard.clock import Clock
    from virtualboard.engine import K210, EngineOptions, put_part
    from virtualboard.host.console import PtyConsole
    from virtualboard.running import RunningBoard

    config = json.loads(sys.argv[1])
    isp = config.pop("isp", False)
    config["flash_dir"] = None
    # A person sits at the console: time goes at its real pace, and an idle board costs no processor time.
    board = Board(BoardConfig.from_dict(config), Clock(pace=True))
    if not isp:
        put_part(board.flash, 0, Path(os.environ["MAIXPY_FIRMWARE"]).read_bytes(), program=True)
    running = RunningBoard(board, EngineOptions(K210, isp=isp))
    print(PtyConsole(running.console).name, flush=True)
    running.run()


if __name__ == "__main__":
    main()
