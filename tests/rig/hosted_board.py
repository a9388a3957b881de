"""A hosted virtual board whose console is a pseudo-terminal, as a process of its own.

Run as a script: hosted_board.py CONFIG_JSON. It prints the terminal's path on its first line of output and then plays
the board until it is terminated or stdin ends. What a person at the board can do comes as lines on stdin: "key down",
"key up".
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys


def main() -> None:
    from virtualboard.board import Board, BoardConfig
    from virtualboard.clock import Clock
    from virtualboard.host.board_time import announced
    from virtualboard.host.console import PtyConsole
    from virtualboard.running import RunningBoard

    config = json.loads(sys.argv[1])
    modem, paced = config.pop("modem", ""), config.pop("paced", False)
    # A paced board restarts as slowly as a real one; others have gone through a start before anybody can react.
    board = Board(BoardConfig.from_dict(config), Clock(pace=paced))
    if modem == "strapped":
        # An M1W module: its pin floats high until pad 0 is driven low.
        board.pads.pull(board.model.modem_strap, True)
        board.modem.enable(False)
        board.modem.enable(True)
    elif modem == "absent":
        del board.pads.serial_in[board.model.modem_tx]
        del board.pads.serial_out[board.model.modem_rx]
    running = RunningBoard(board)
    console = PtyConsole(running.console)

    def command() -> None:
        typed = os.read(0, 4096)
        if not typed:  # the test is gone, however it ended
            signal.raise_signal(signal.SIGTERM)
        for word in typed.decode().split("\n"):
            if word.startswith("key"):
                board.press(down=word == "key down")

    board.clock.listen(0, command)
    gc.freeze()  # the device's gc.collect() searches what the device has made, and nothing else
    # One that is not paced stands still while nobody types: its time says nothing about what it has had.
    with announced(board.clock, console.name) if paced else contextlib.nullcontext():
        print(console.name, flush=True)
        running.run()


if __name__ == "__main__":
    main()
