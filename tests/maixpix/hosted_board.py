"""A hosted virtual board whose console is a pseudo-terminal, as a process of its own.

Run as a script: hosted_board.py CONFIG_JSON. It prints the terminal's path on its first line of output and then plays
the board until it is terminated. What a person at the board can do comes as lines on stdin: "key down", "key up".
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import sys
import tty


class ConsolePty:
    """Joins the console's lanes to a pseudo-terminal. The slave stays open here, so programs may come and go."""

    def __init__(self, board) -> None:
        self.clock = board.clock
        self.rx, self.tx = board.console_rx, board.console_tx
        self.master, self.slave = pty.openpty()
        tty.setraw(self.master)
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.alarm = None
        self.clock.listen(self.master, self._from_host)
        self.tx.on_write = self._expect

    @property
    def path(self) -> str:
        return os.ttyname(self.slave)

    def _from_host(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self.rx.write(os.read(self.master, 4096))

    def _expect(self) -> None:
        when = self.tx.arrival()
        if when is not None and (self.alarm is None or not self.alarm.active):
            self.alarm = self.clock.at(when + 500_000, self._to_host)

    def _to_host(self) -> None:
        # Nobody reads while no program has the port open; a real adapter drops those bytes too.
        with contextlib.suppress(BlockingIOError):
            os.write(self.master, self.tx.take())
        self._expect()


def main() -> None:
    from virtualboard.board import Board, BoardConfig
    from virtualboard.clock import Clock
    from virtualboard.hosted.engine import Engine

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
    console = ConsolePty(board)

    def command() -> None:
        for word in os.read(0, 4096).decode().split("\n"):
            if word.startswith("key"):
                board.press(down=word == "key down")

    board.clock.listen(0, command)
    print(console.path, flush=True)
    engine = Engine(board, repl=True)
    engine.run()


if __name__ == "__main__":
    main()
