"""Repeated looks at the time or at a status let it pass faster: they act on nothing, but what they read changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from virtualboard.k210.cpu import Core

_RA, _SP_END, _S0, _S2, _T3 = 1 * 8, 3 * 8, 8 * 8, 18 * 8, 28 * 8
"""Where x1 (ra), x3 (behind sp), x8, x18 and x28 begin among the integer registers. Compilers keep in s0 to s11 (x8,
x9, x18 to x27) what a loop needs from one turn to the next; ra and sp tell with pc where the loop is."""

_POLL_INSTRUCTIONS = 3000
_STEPS_A_SECOND = 4000
_FRAMES = 512
"""Bytes of stack in which a loop may count its turns: its own frame and those of the functions that look for it."""

_LEARNT = 8
_COUNTED = 128
"""Looks of compiled code that are executed in full, as it may count them: MaixPy's `recvPkg` gives up after 100."""
_TIGHT = 1200
"""Cycles of a turn up to which a loop is compiled code; one of Python's takes longer and keeps its state in memory."""
_SITES_KEPT = 64

_Place = tuple[int, bytes]
"""A look's pc and integer registers."""
_Site = tuple[int, bytes]


class Polls:
    """Looks of one core at the time, or at a status that firmware may be waiting for.

    A step is at most an eighth of the time already waited and at most 0.25 ms (1/1024 of a wait beyond 0.25 s), which
    is how much a delay may last too long. Loops that work between two looks are let be: they work for long, or look
    from here and there (a driver's reading of bytes, each with its own timeout). An interrupt may bring what was waited
    for, so the wait begins anew after it. Where that ended a wait before, the next one in the same place takes the
    longest step from its second turn on, unless registers or stack tell that it counts its turns.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.count = 0
        """Looks of the wait that goes on; set to 0 by whatever the core does to a device."""
        self._began = self._last = 0
        self._place: _Place = (0, b"")
        self._site: _Site = (0, b"")
        self._interrupted: _Place | None = None
        self._stack: bytes | None = None
        """What the last look's stack held, where that will be asked for."""
        self._ended_by_interrupt: set[_Site] = set()
        self._handler_began: int | None = None
        self._yielded = False

    def forget(self) -> None:
        """The core acts: whatever it does next is no longer the same wait."""
        self.count = 0

    def handler_enters(self, cycles: int, software: bool) -> None:
        """An interrupt was taken; looks of its handler are not looks of the loop."""
        if self._handler_began is None:
            self._handler_began = cycles
            self._yielded = software

    def handler_leaves(self, cycles: int) -> None:
        """The core returned from a trap."""
        if self._handler_began is None:
            return
        self._last += cycles - self._handler_began
        self._handler_began = None
        if not self._yielded:  # a scheduler's own interrupt brings nothing
            self._interrupted = self._place if self.count > 2 else None
            self.count = 0

    def polled(self) -> int:
        """One more look, by the instruction that runs; returns the core's `cycles_now`."""
        core = self._core
        now = core.cycles_now
        if self._handler_began is not None:
            return now
        turn, self._last = now - self._last, now
        before, self._place = self._place, core.registers.look()
        pc, integers = self._place
        before_site, self._site = self._site, (pc, integers[_RA:_SP_END])
        if self._interrupted is not None:
            self._remember(self._interrupted, self._place)
        ends_early = self._site in self._ended_by_interrupt
        stack, self._stack = self._stack, self._frames() if ends_early else None
        longest = core.soc.timebase.hz // _STEPS_A_SECOND
        if not self.count or self._site != before_site or turn > _POLL_INSTRUCTIONS + longest:
            self.count, self._began = 1, now
            return now
        self.count += 1
        if ends_early and turn <= _TIGHT and self._stack == stack and _kept(self._place) == _kept(before):
            step = longest
        elif self.count > (_COUNTED if turn <= _TIGHT else _LEARNT):
            waited = now - self._began
            step = min(waited >> 3, max(longest, waited >> 10))
        else:
            return now
        self._last = now = core.skip(step)
        return now

    def _frames(self) -> bytes:
        """The stack that may count the turns."""
        sp = int.from_bytes(self._place[1][_RA + 8 : _SP_END], "little") % len(self._core.soc.ram)
        return bytes(self._core.soc.ram[sp : sp + _FRAMES])

    def _remember(self, left: _Place, place: _Place) -> None:
        """After an interrupt the loop that it `left` has ended, or goes on."""
        self._interrupted = None
        if _site(left) == _site(place) and _kept(left) == _kept(place):
            self._ended_by_interrupt.discard(_site(left))
        elif len(self._ended_by_interrupt) < _SITES_KEPT:
            self._ended_by_interrupt.add(_site(left))


def _site(place: _Place) -> _Site:
    """Where the loop is: pc, ra and sp."""
    return place[0], place[1][_RA:_SP_END]


def _kept(place: _Place) -> bytes:
    """How far it has come."""
    registers = place[1]
    return registers[_S0 : _S0 + 16] + registers[_S2:_T3]
