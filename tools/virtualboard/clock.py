"""Virtual time: one ordered list of alarms, and the rule by which real peers hold it back.

Every part of the virtual board is given one `Clock`. Time is an integer of nanoseconds since power-on and
moves only when an engine (the hosted firmware, the emulated chip, a test) calls `advance`. Parts set alarms
and react at their pins; they never advance time and never sleep.

Three rules make runs both true and repeatable:

* Alarms run in order of their time; alarms of the same time run in the order in which they were set.
* While a part waits for something real (a TCP peer on this machine), it holds a `Watch`. As long as any
  watch is held, virtual time never passes real time: a peer that thinks for a second costs a second.
* Nothing else ever waits in real time: sleeping boards, slow wires and busy cards cost nothing.

A watch begins with a short grace during which virtual time stands still. A peer that answers within it (a server on
loopback that has its answer ready) therefore answers at the same virtual instant in every run. A peer that needs longer
is seen to need all the time that it took: the grace is not taken off. So it bounds what virtual time can hide of a
peer's thinking, and `longest_hidden_ns` tells how much that was.

Longer than 350 lines: alarms, watches and the rule between them are one thing.
"""

from __future__ import annotations

import heapq
import selectors
import time
from collections.abc import Callable

Action = Callable[[], None]
Mark = tuple[int, int]
"""An instant in both times: virtual ns, real ns (monotonic)."""

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000

GRACE_NS = 20 * MS
"""Real nanoseconds for which virtual time stands still when a watch begins: longer than an idle machine needs to
schedule a server and to answer from memory, shorter than a server's thinking that a board's program could notice."""

_NEVER = 1 << 63

_POLL_EVERY_NS = 2 * MS
"""Real nanoseconds between two looks at host inputs while virtual time runs freely."""


class Alarm:
    """One action at one virtual time; `cancel` makes it never happen."""

    __slots__ = ("action", "when")

    def __init__(self, when: int, action: Action) -> None:
        self.when = when
        self.action: Action | None = action

    @property
    def active(self) -> bool:
        """True until the alarm has run or was cancelled."""
        return self.action is not None

    def cancel(self) -> None:
        """Forget the action. Cancelling twice, or after it ran, is harmless."""
        self.action = None


class Watch:
    """Interest in one real file descriptor; made by `Clock.watch` and `Clock.listen`."""

    __slots__ = (
        "_clock",
        "answer",
        "fileno",
        "grace_ns",
        "holds_time",
        "on_ready",
        "real_start",
        "virtual_start",
        "write",
    )

    def __init__(
        self,
        clock: Clock,
        fileno: int,
        on_ready: Action,
        write: bool,
        holds_time: bool,
        grace_ns: int,
        since: Mark | None = None,
    ) -> None:
        self._clock = clock
        self.fileno = fileno
        self.on_ready = on_ready
        self.write = write
        self.holds_time = holds_time
        self.grace_ns = grace_ns
        self.answer: Alarm | None = None
        """What the peer did, if virtual time has not come yet to where it did it."""
        self.virtual_start, self.real_start = since or (clock.now, time.monotonic_ns())

    def cancel(self) -> None:
        """Stop watching. Harmless when already cancelled."""
        self._clock._forget(self)

    def renew(self) -> None:
        """Begin the wait anew, grace included: something was just sent that the peer will answer."""
        self.virtual_start = self._clock.now
        self.real_start = time.monotonic_ns()

    def allows(self, real_now: int) -> int:
        """Latest virtual time that this watch permits at `real_now` (monotonic ns)."""
        waited = real_now - self.real_start
        return self.virtual_start + (waited if waited >= self.grace_ns else 0)

    def opens_at(self, when: int) -> int:
        """Real time (monotonic ns) from which on virtual time `when` is permitted."""
        return self.real_start + max(self.grace_ns, when - self.virtual_start)


class Clock:
    """Virtual nanoseconds since power-on, with ordered alarms and watches on real peers.

    `grace_ns` is the real time for which a new watch makes virtual time stand still.
    `pace`, when true, additionally keeps all of virtual time from running ahead of real time (for people
    who look at a live board); it changes no virtual instant.
    """

    def __init__(self, grace_ns: int = GRACE_NS, pace: bool = False) -> None:
        self.now = 0
        self.grace_ns = grace_ns
        self.waited_ns = 0
        """Real nanoseconds spent waiting for watched peers, for reports."""
        self.longest_hidden_ns = 0
        """Longest real time that a peer took and virtual time does not show; never more than a watch's grace."""
        self._alarms: list[tuple[int, int, Alarm]] = []
        self.alarms_set = 0
        """How many alarms there have been so far; an engine sees by it that its slice may have become shorter."""
        self._watches: list[Watch] = []
        self._holding = 0
        self._selector: selectors.BaseSelector | None = None
        self._running = False
        self.quiet_until = 0
        """Before this virtual time nothing is due, and nothing real is waited for or looked at: any later `now` that
        is below may simply be set."""
        self._happened = 0  # alarms run and host inputs served
        self._last_poll = 0
        self._pace = False
        self.pace = pace

    # -- alarms -------------------------------------------------------------------------------------------

    def at(self, when: int, action: Action) -> Alarm:
        """Run `action` at virtual time `when` (ns); a time already past means as soon as time moves."""
        alarm = Alarm(max(when, self.now), action)
        self.alarms_set += 1
        heapq.heappush(self._alarms, (alarm.when, self.alarms_set, alarm))
        if alarm.when < self.quiet_until:
            self.quiet_until = alarm.when
        return alarm

    def after(self, delay_ns: int, action: Action) -> Alarm:
        """Run `action` `delay_ns` virtual nanoseconds from now."""
        return self.at(self.now + delay_ns, action)

    @property
    def next_alarm(self) -> int | None:
        """Virtual time of the next live alarm, or None when nothing is due."""
        alarms = self._alarms
        while alarms and alarms[0][2].action is None:
            heapq.heappop(alarms)
        return alarms[0][0] if alarms else None

    # -- real peers ---------------------------------------------------------------------------------------

    def mark(self, later_ns: int = 0) -> Mark:
        """This instant in both times, the virtual one `later_ns` further on: `since` for a watch that begins later."""
        return self.now + later_ns, time.monotonic_ns()

    def watch(
        self,
        fileno: int,
        on_ready: Action,
        write: bool = False,
        grace_ns: int | None = None,
        since: Mark | None = None,
    ) -> Watch:
        """Wait for a real peer: calls `on_ready` when readable (or writable); holds time back until cancelled.

        `grace_ns` is the clock's unless told otherwise; with 0 both times go on together at once. `since` is when the
        peer was given what it may answer; now unless told otherwise.
        """
        grace_ns = self.grace_ns if grace_ns is None else grace_ns
        return self._add(Watch(self, fileno, on_ready, write, holds_time=True, grace_ns=grace_ns, since=since))

    def listen(self, fileno: int, on_ready: Action) -> Watch:
        """Serve a host input (console, live view) whenever it is ready, without holding time back."""
        return self._add(Watch(self, fileno, on_ready, write=False, holds_time=False, grace_ns=0))

    @property
    def held(self) -> bool:
        """True while some part waits for a real peer."""
        return self._holding > 0

    @property
    def pace(self) -> bool:
        """True when virtual time is kept from running ahead of real time altogether."""
        return self._pace

    @pace.setter
    def pace(self, on: bool) -> None:
        self._pace = on
        self.quiet_until = 0
        self._pace_virtual = self.now
        self._pace_real = time.monotonic_ns()

    # -- moving time --------------------------------------------------------------------------------------

    def advance(self, duration_ns: int) -> None:
        """Let `duration_ns` virtual nanoseconds pass; runs every alarm that falls due, in order."""
        self.advance_to(self.now + duration_ns)

    def advance_to(self, when: int) -> None:
        """Let virtual time pass until `when` (ns). A time already past runs what is due now and returns."""
        if self.now < when < self.quiet_until or self._nothing_before(when):
            self.now = when
            return
        self._advance_to(max(when, self.now))

    def reach(self, when: int) -> None:
        """Engines that execute first: the instruction that runs is at `when` (ns). Never turns time back.

        Runs no alarm: one that was set for an instant before `when` meanwhile runs as soon as the engine advances.
        """
        if when > self.now:
            self.now = when

    def step_to(self, when: int) -> None:
        """Let virtual time pass until `when` (ns), or until an alarm has run or host input came, if that is earlier.

        For engines whose processor may be woken by either: a receive FIFO fills within a fraction of a long wait.
        """
        self._advance_to(max(when, self.now), self._happened)

    def permit(self, until: int) -> None:
        """Wait in real time until no peer can act before `until` (virtual ns); what peers do meanwhile, they do now.

        For engines that execute first and then advance the clock: a peer's answer must not lie in their past. Alarms
        may have been set when this returns. Without a held watch or a pace there is nothing to wait for.
        """
        while self._holding or self._pace:
            real_now = time.monotonic_ns()
            lack = self._opens_at(until) - real_now
            if lack <= 0 and real_now - self._last_poll <= _POLL_EVERY_NS:
                return
            ready = self._select(max(0, min(lack, SECOND)))
            real_end = time.monotonic_ns()
            self.waited_ns += real_end - real_now
            for watch in ready:
                self._answered(watch, real_end)

    def run_until(self, reached: Callable[[], bool], deadline: int) -> bool:
        """Advance alarm by alarm until `reached()` is true or `deadline` (virtual ns) has come.

        Returns whether it was reached. With nothing due and no peer to wait for, time jumps to the deadline.
        """
        while not reached():
            if self.now >= deadline:
                return False
            due = self.next_alarm
            if due is None and self.held:
                # Nothing but a real peer can change anything: give it real time in small virtual steps.
                due = self.now + MS
            self.advance_to(deadline if due is None else min(due, deadline))
        return True

    def poll(self, timeout_ns: int = 0) -> None:
        """Serve ready descriptors, waiting up to `timeout_ns` of real time for one. Virtual time stands."""
        for watch in self._select(timeout_ns):
            self._answered(watch, time.monotonic_ns())

    def _answered(self, watch: Watch, real_now: int) -> None:
        """A descriptor is ready: what the peer did, it did at the latest instant that virtual time may show now.

        That instant may lie ahead, as virtual time stood still for the grace and alarms were due meanwhile.
        """
        due = watch.allows(real_now) if watch.holds_time else self.now
        if due <= self.now:
            self._serve(watch)
        elif watch in self._watches:
            self._holding -= 1
            watch.answer = self.at(due, lambda: self._answer_comes(watch))
            self._register(watch.fileno)

    def _answer_comes(self, watch: Watch) -> None:
        watch.answer = None
        self._holding += 1
        self._register(watch.fileno)
        self._serve(watch)

    def _serve(self, watch: Watch) -> None:
        if watch in self._watches:
            # A peer's answer is told by an alarm; counting it here as well would make its packets' timing matter.
            self._happened += not watch.holds_time
            watch.on_ready()

    def _nothing_before(self, when: int) -> bool:
        """True when time may simply become `when`: no alarm until then, nothing real to wait for or to look at.

        Most advances are such; a processor's work passes in steps of microseconds.
        """
        if self._running or self._holding or self._pace or when <= self.now:
            return False
        if self._alarms and self._alarms[0][0] <= when:
            return False
        return not self._watches or time.monotonic_ns() - self._last_poll <= _POLL_EVERY_NS

    def _advance_to(self, target: int, seen: int | None = None) -> None:
        if self._running:
            raise RuntimeError("an alarm action tried to advance the clock; only engines may")
        self._running = True
        self.quiet_until = 0
        try:
            self._pass(target, seen)
        finally:
            self._running = False
            self._look_ahead()

    def _look_ahead(self) -> None:
        if self._holding or self._pace or self._watches:
            self.quiet_until = 0
        else:
            self.quiet_until = self._alarms[0][0] if self._alarms else _NEVER

    def _pass(self, target: int, seen: int | None) -> None:
        while seen is None or self._happened == seen:
            due = self.next_alarm
            step = target if due is None or due > target else due
            if step > self.now:
                if self._holding or self._pace:
                    step = self._wait_real(step)
                elif self._watches and time.monotonic_ns() - self._last_poll > _POLL_EVERY_NS:
                    self.poll()
                    if self.next_alarm != due:
                        continue
                self.now = max(self.now, step)
            self._run_due()
            if self.now >= target and not (self._alarms and self._alarms[0][0] <= target):
                return

    def _run_due(self) -> None:
        alarms = self._alarms
        while alarms and alarms[0][0] <= self.now:
            alarm = heapq.heappop(alarms)[2]
            action, alarm.action = alarm.action, None
            if action is not None:
                self._happened += 1
                action()

    def _wait_real(self, step: int) -> int:
        """Wait until real time permits `step`, or a descriptor was served; returns how far time may go."""
        real_now = time.monotonic_ns()
        lack = max(0, self._opens_at(step) - real_now)
        if not lack and real_now - self._last_poll <= _POLL_EVERY_NS and not self._holding:
            return step
        ready = self._select(min(lack, SECOND))
        real_end = time.monotonic_ns()
        self.waited_ns += real_end - real_now
        self.now = min(step, max(self.now, self._allowed(real_end)))
        for watch in ready:
            self._answered(watch, real_end)
        return self.now

    def _allowed(self, real_now: int) -> int:
        limits = [w.allows(real_now) for w in self._watches if w.holds_time and w.answer is None]
        if self._pace:
            limits.append(self._pace_virtual + real_now - self._pace_real)
        return min(limits) if limits else self.now + SECOND * 3600

    def _opens_at(self, when: int) -> int:
        """Real time from which on virtual time `when` is permitted; 0 when nothing holds it back."""
        holding = [w for w in self._watches if w.holds_time and w.answer is None]
        times = [w.opens_at(when) for w in holding if when > w.virtual_start]
        if self._pace:
            times.append(self._pace_real + when - self._pace_virtual)
        return max(times, default=0)

    # -- the selector -------------------------------------------------------------------------------------

    def _select(self, timeout_ns: int) -> list[Watch]:
        """The watches whose descriptors are ready, after waiting up to `timeout_ns` of real time for one."""
        self._last_poll = time.monotonic_ns()
        if self._selector is None or not self._watches:
            if timeout_ns > 0:
                time.sleep(timeout_ns / SECOND)
            return []
        ready = []
        for key, events in self._selector.select(timeout_ns / SECOND):
            ready += [w for w in key.data if events & (selectors.EVENT_WRITE if w.write else selectors.EVENT_READ)]
        return ready

    def _add(self, watch: Watch) -> Watch:
        self._watches.append(watch)
        self._holding += watch.holds_time
        self.quiet_until = 0
        self._register(watch.fileno)
        return watch

    def _forget(self, watch: Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)
            if watch.answer is not None:
                watch.answer.cancel()
                watch.answer = None
            else:
                self._holding -= watch.holds_time
            if watch.holds_time:
                hidden = time.monotonic_ns() - watch.real_start - (self.now - watch.virtual_start)
                self.longest_hidden_ns = max(self.longest_hidden_ns, min(hidden, watch.grace_ns))
            self._register(watch.fileno)
            if not self._running:
                self._look_ahead()

    def _register(self, fileno: int) -> None:
        """Make the selector agree with the watches on `fileno` (one part may read while another writes)."""
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
        mine = [w for w in self._watches if w.fileno == fileno and w.answer is None]
        events = 0
        for watch in mine:
            events |= selectors.EVENT_WRITE if watch.write else selectors.EVENT_READ
        known = fileno in self._selector.get_map()
        if not mine:
            if known:
                self._selector.unregister(fileno)
        elif known:
            self._selector.modify(fileno, events, mine)
        else:
            self._selector.register(fileno, events, mine)
