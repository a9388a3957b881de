"""Laws of virtual time: order of alarms, and how real peers hold it back."""

import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtualboard.clock import MS, SECOND, Clock


@given(st.lists(st.integers(0, 50), max_size=40))
def test_alarms_run_in_order_of_time_then_of_setting(delays):
    clock = Clock()
    seen = []
    for number, delay in enumerate(delays):
        clock.after(delay, lambda n=number, d=delay: seen.append((d, n, clock.now)))
    clock.advance(100)
    assert [(d, n) for d, n, _ in seen] == sorted((d, n) for n, d in enumerate(delays))
    assert all(d == now for d, _, now in seen)
    assert clock.now == 100


def test_an_alarm_may_set_an_alarm_for_the_same_instant():
    clock = Clock()
    seen = []
    clock.at(10, lambda: clock.at(10, lambda: seen.append(clock.now)))
    clock.advance_to(10)
    assert seen == [10]


def test_a_cancelled_alarm_never_runs():
    clock = Clock()
    seen = []
    alarm = clock.after(5, lambda: seen.append(1))
    alarm.cancel()
    alarm.cancel()
    clock.advance(10)
    assert seen == [] and not alarm.active and clock.next_alarm is None


def test_alarms_must_not_advance_time():
    clock = Clock()
    clock.after(1, lambda: clock.advance(1))
    with pytest.raises(RuntimeError, match="only engines may"):
        clock.advance(2)


def test_run_until_stops_at_the_instant_it_is_reached():
    clock = Clock()
    state = []
    clock.at(7 * MS, lambda: state.append(1))
    clock.at(9 * MS, lambda: state.append(2))
    assert clock.run_until(lambda: bool(state), SECOND)
    assert (clock.now, state) == (7 * MS, [1])
    assert not clock.run_until(lambda: len(state) > 5, 20 * MS)
    assert clock.now == 20 * MS


def test_an_hour_of_nothing_costs_no_real_time_when_no_peer_is_awaited():
    clock = Clock()
    for n in range(1000):
        clock.after(n * SECOND, lambda: None)
    clock.advance(3600 * SECOND)
    assert clock.now == 3600 * SECOND and clock.waited_ns == 0


def test_virtual_time_never_passes_real_time_while_a_peer_is_awaited():
    clock = Clock(grace_ns=0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        real_start = time.monotonic_ns()
        watch = clock.watch(ours.fileno(), lambda: None)
        for _ in range(30):
            clock.advance(2 * MS)
            assert clock.now <= time.monotonic_ns() - real_start
        watch.cancel()
        assert clock.now == 60 * MS and clock.waited_ns > 0


def test_time_stands_still_in_the_grace_so_that_a_quick_peer_answers_at_one_instant():
    clock = Clock(grace_ns=10 * SECOND)
    ours, theirs = socket.socketpair()
    arrivals = []

    def ready():
        ours.recv(100)
        arrivals.append(clock.now)
        watch.cancel()

    with ours, theirs:
        clock.advance(5 * MS)
        watch = clock.watch(ours.fileno(), ready)
        threading.Timer(0.05, lambda: theirs.send(b"x")).start()
        clock.advance(1000 * MS)
    assert arrivals == [5 * MS]
    assert clock.now == 1005 * MS
    assert 50 * MS <= clock.longest_hidden_ns <= 10 * SECOND


@pytest.mark.parametrize("alarms", [(), (1, 2, 3, 500), range(1, 200)])
def test_of_a_peer_that_thinks_longer_than_the_grace_all_its_time_is_seen(alarms):
    """However many alarms fall due meanwhile, and however long they take."""
    clock = Clock()
    ours, theirs = socket.socketpair()
    arrivals = []

    def ready():
        ours.recv(100)
        arrivals.append((clock.now, time.monotonic_ns()))
        watch.cancel()

    with ours, theirs:
        clock.advance(5 * MS)
        for ms in alarms:
            clock.after(ms * MS, lambda: time.sleep(0.002))
        begun = time.monotonic_ns()
        watch = clock.watch(ours.fileno(), ready)
        threading.Timer(0.1, lambda: theirs.send(b"x")).start()
        clock.advance(60 * SECOND)
    ((virtual, real),) = arrivals
    assert 100 * MS - MS <= virtual - 5 * MS <= real - begun
    assert clock.longest_hidden_ns <= 20 * MS


def test_without_grace_both_times_go_on_together_at_once():
    clock = Clock(grace_ns=10 * SECOND)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watch = clock.watch(ours.fileno(), lambda: None, grace_ns=0)
        clock.advance(30 * MS)
        assert time.monotonic_ns() - watch.real_start >= 30 * MS
        watch.cancel()


def test_an_engine_that_executes_first_moves_time_on_and_never_back():
    clock = Clock()
    told = []
    clock.at(3 * MS, lambda: told.append(clock.now))
    clock.reach(5 * MS)
    clock.reach(4 * MS)
    assert (clock.now, told) == (5 * MS, [])
    clock.advance(0)
    assert told == [5 * MS]


def test_a_slow_peer_costs_virtual_time_after_the_grace():
    clock = Clock(grace_ns=20 * MS)
    ours, theirs = socket.socketpair()
    arrivals = []

    def ready():
        ours.recv(100)
        arrivals.append(clock.now)
        watch.cancel()

    with ours, theirs:
        watch = clock.watch(ours.fileno(), ready)
        threading.Timer(0.12, lambda: theirs.send(b"x")).start()
        clock.advance(2 * SECOND)
    assert 0 < arrivals[0] < 2 * SECOND
    assert clock.now == 2 * SECOND


def test_renewing_a_watch_gives_the_grace_again():
    clock = Clock(grace_ns=30 * MS)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watch = clock.watch(ours.fileno(), lambda: None)
        time.sleep(0.05)
        watch.renew()
        before = time.monotonic_ns()
        clock.advance(1 * MS)
        assert time.monotonic_ns() - before >= 30 * MS
        watch.cancel()


def test_host_inputs_are_served_without_holding_time():
    clock = Clock()
    ours, theirs = socket.socketpair()
    got = []
    with ours, theirs:
        clock.listen(ours.fileno(), lambda: got.append(ours.recv(10)))
        theirs.send(b"key")
        clock.poll()
        assert got == [b"key"] and not clock.held
        clock.advance(3600 * SECOND)
    assert clock.now == 3600 * SECOND


def test_reading_and_writing_one_socket_can_both_be_awaited():
    clock = Clock()
    ours, theirs = socket.socketpair()
    seen = []
    with ours, theirs:
        read = clock.watch(ours.fileno(), lambda: (seen.append("read"), read.cancel()))
        write = clock.watch(ours.fileno(), lambda: (seen.append("write"), write.cancel()), write=True)
        clock.advance(1)
        assert seen == ["write"]
        theirs.send(b"x")
        clock.advance(3600 * SECOND)
        assert seen == ["write", "read"] and not clock.held


def test_a_paced_clock_keeps_to_real_time():
    clock = Clock(pace=True)
    start = time.monotonic_ns()
    clock.advance(40 * MS)
    assert time.monotonic_ns() - start >= 40 * MS


def test_a_step_ends_at_the_first_alarm_even_one_that_host_input_set():
    clock = Clock()
    ran = []
    clock.at(500, lambda: ran.append(clock.now))
    clock.at(900, lambda: ran.append(clock.now))
    clock.step_to(1000)
    assert (clock.now, ran) == (500, [500])
    clock.step_to(1000)
    assert (clock.now, ran) == (900, [500, 900])
    clock.step_to(1000)
    assert clock.now == 1000
    clock.step_to(10)  # a time already past
    assert clock.now == 1000


def test_a_step_ends_when_host_input_came():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        clock = Clock(pace=True)
        clock.listen(ours.fileno(), lambda: ours.recv(10))
        theirs.send(b"x")
        clock.step_to(60 * SECOND)
        assert clock.now < 30 * SECOND


def test_permission_is_given_when_no_peer_can_act_before():
    clock = Clock(grace_ns=20 * MS)
    ours, theirs = socket.socketpair()
    seen = []
    clock.at(5 * MS, lambda: seen.append("alarm"))
    clock.permit(SECOND)  # nothing is awaited: at once, and no alarm runs
    watch = clock.watch(ours.fileno(), lambda: (seen.append(ours.recv(1)), watch.cancel()))
    theirs.send(b"x")
    clock.permit(SECOND)
    assert (seen, clock.now, clock.held) == ([b"x"], 0, False)
    silent = clock.watch(ours.fileno(), lambda: None)
    clock.permit(3 * MS)
    assert time.monotonic_ns() - silent.real_start >= 20 * MS - MS
    silent.cancel()
    ours.close()
    theirs.close()
