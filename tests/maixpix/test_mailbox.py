"""Work for the engine's thread that comes at the worst moment."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import CancelledError

import pytest

from maixpix.virtual import mailbox
from maixpix.virtual.mailbox import Mailbox
from virtualboard.clock import SECOND, Clock


def test_work_that_comes_while_the_board_is_switched_off_is_given_back(monkeypatch):
    """The board closes between the look whether it is open and the put."""

    class Late(queue.SimpleQueue):
        def put(self, item):
            box.close()
            super().put(item)

    monkeypatch.setattr(mailbox.queue, "SimpleQueue", Late)
    box = Mailbox(Clock())
    with pytest.raises(CancelledError):
        box.ask(lambda: None).result(0)


def test_many_who_ask_while_it_closes_all_get_an_answer():
    clock = Clock()
    box = Mailbox(clock)
    futures = [[] for _ in range(4)]
    begun, closed = threading.Barrier(5), threading.Event()

    def ask(mine):
        begun.wait()
        while not closed.is_set():
            mine.append(box.ask(lambda: None))
        mine.append(box.ask(lambda: None))

    threads = [threading.Thread(target=ask, args=(mine,)) for mine in futures]
    for thread in threads:
        thread.start()
    begun.wait()
    clock.poll(SECOND)
    box.close()
    closed.set()
    for thread in threads:
        thread.join()
    assert all(future.done() for mine in futures for future in mine)
    assert all(mine[-1].cancelled() for mine in futures)


def test_an_interrupt_in_the_engines_thread_is_told_to_who_asked_and_goes_on():
    clock = Clock()
    box = Mailbox(clock)

    def interrupted():
        raise KeyboardInterrupt

    future = box.ask(interrupted)
    with pytest.raises(KeyboardInterrupt):
        clock.poll(SECOND)
    with pytest.raises(KeyboardInterrupt):
        future.result(0)
    box.close()
