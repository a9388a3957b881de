"""A board whose firmware starts what its card has, run until its console says enough."""

from virtualboard.clock import SECOND


def run_until(board, running, judge, limit_s):
    """Run `running` on `board` until `judge(console)` is true, and what it says is why; or for `limit_s` of the board's
    seconds. The power is off then. Returns (why it ended, console)."""
    console = bytearray()

    def hear(_when, data):
        console.extend(data)
        if why := judge(console):
            running.end(why)

    running.console.listen(hear)
    board.clock.at(limit_s * SECOND, lambda: running.end("time limit"))
    try:
        running.run()
    finally:
        board.power_off()
    return running.engine.ended, bytes(console)
