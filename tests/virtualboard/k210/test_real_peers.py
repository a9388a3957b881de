"""What a real peer does never lies in the past of the cores, which run ahead of the clock by a slice."""

from __future__ import annotations

import socket
import threading
import time

from rig.asm import assemble
from virtualboard.board import Board
from virtualboard.clock import MS, SECOND
from virtualboard.k210.engine import K210Engine

ANSWERS = 12

BUSY = """
    loop: csrr t0, mcycle
    addi t1, t1, 1
    sd t1, 0(sp)
    j loop
"""


def test_answers_arrive_at_or_after_the_cores_own_time(board: Board) -> None:
    engine = K210Engine(board)
    engine.soc.reset()
    engine.soc.start(assemble(f"li sp, 0x80100000\n{BUSY}"))
    ours, theirs = socket.socketpair()
    seen: list[tuple[int, int]] = []

    def peer() -> None:
        for _ in range(ANSWERS):
            time.sleep(0.003)
            theirs.send(b"x")

    def answered() -> None:
        ours.recv(1)
        seen.append((engine.clock.now, engine.soc.timebase.ns(engine.soc.cycles)))
        watch.renew()

    watch = engine.clock.watch(ours.fileno(), answered)
    thread = threading.Thread(target=peer)
    thread.start()
    try:
        assert engine.run(lambda: len(seen) == ANSWERS, 60 * SECOND)
    finally:
        watch.cancel()
        thread.join()
        ours.close()
        theirs.close()
    assert all(clock + MS // 1000 >= cores for clock, cores in seen), seen
