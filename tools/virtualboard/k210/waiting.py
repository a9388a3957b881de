"""Cores that only wait: loops without any effect are not executed.

Those look at memory alone, which only the other core, DMA or an interrupt handler can change. Loops that look at the
time or at a status: see `polls`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from virtualboard.k210.cpu import Core

_QUIET_CYCLES = 8000
"""Cycles without any device access after which a core is examined for an idle loop."""
_MOST_PATIENCE = 40 * _QUIET_CYCLES
_LONGEST_LOOP = 4000
_SHORT_LOOP = 24
_WORTH_NS = 5_000_000
_PROVE_EVERY = 8_000_000
_SEARCH_EVERY, _SEARCH_SELDOM = 40_000_000, 640_000_000
_PERIODS_KEPT = 24
_YIELDS_KEPT = 32
_KNOWN_KEPT = 8 * _LONGEST_LOOP
_SHORTEST_TRIAL, _LONGEST_TRIAL = 8_000, 1_000_000


class Loops:
    """Finds out when one core loops without any effect: registers, memory and devices stay as they are.

    Nothing then changes until the other core, DMA or an interrupt acts. Such a core is parked: `parked` has the length
    of the loop in instructions (0 for a scheduler that yields to itself) and the registers, which are those at `pc`.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.parked: tuple[int, bytes] | None = None
        self._explored = 0
        self._left: tuple[int, bytes] | None = None
        self._quiet = 0
        self._patience = _QUIET_CYCLES
        self._yields: set[bytes] = set()
        self._periods = list(range(2, 16))
        self._next_search, self._search_every = 0, _SEARCH_EVERY
        self._next_proof = 0
        self._known: dict[bytes, int] = {}
        """Every state of the long loops that were proven, and the length of its loop."""
        self.trial = _LONGEST_TRIAL
        """Cycles after which to look again: few where such a loop may be entered soon."""

    def forget(self) -> None:
        """Nothing is known about what the core does."""
        self.parked = self._left = None
        self._quiet, self._patience = 0, _QUIET_CYCLES

    # -- when to look -------------------------------------------------------------------------------------

    def ran(self, cycles: int, touched: bool) -> None:
        """The core ran for `cycles`, and meanwhile accessed a device or did not."""
        if touched:
            self._quiet = 0
            self._patience = max(_QUIET_CYCLES, self._patience >> 1)
        else:
            self._quiet += cycles

    def examine(self, worth_ns: int) -> None:
        """Look for an idle loop if the core has been quiet for long enough. `worth_ns` is how long it may last."""
        if self._known and self._enters_known():
            self.trial = _SHORTEST_TRIAL
            return
        self.trial = min(2 * self.trial, _LONGEST_TRIAL)
        if self._quiet < self._patience:
            return
        self._quiet = 0
        if self._park(worth_ns):
            self._explored = 0
        else:
            self._patience = min(4 * self._patience, _MOST_PATIENCE)

    def spent(self) -> int:
        """Cycles of what was run on trial and was work after all."""
        soc, explored = self._core.soc, self._explored
        self._explored = 0
        return explored * soc.cpi_num // soc.cpi_den

    def stays(self) -> bool:
        """Run the loop once more and see whether memory let it go."""
        if self.parked is None:
            return False
        period, state = self.parked
        if period == 0:
            return True
        before = self._explored
        if self._go(period) == state:
            self._explored = before
            return True
        self.parked = None
        self._quiet, self._patience = 0, _QUIET_CYCLES
        return False

    # -- interrupts ---------------------------------------------------------------------------------------

    def interrupt(self, software: bool) -> None:
        """An interrupt ends the loop, for the time of its handler at least."""
        self._left = self.parked
        self.parked = None
        self._watch_yields(software)

    def returned(self) -> None:
        """Back from a handler: when it has changed nothing for the loop, the core goes on waiting."""
        left, self._left = self._left, None
        if left is not None and left[0] and self.state() == left[1]:
            self.parked = left
            self.stays()

    def _watch_yields(self, software: bool) -> None:
        """A scheduler that interrupts its own core over and over, with the same registers each time, is idle.

        FreeRTOS yields so when several tasks have nothing to do. Such a core is parked at the handler's entry; the
        engine lets it go as soon as anything else has happened (`release`).
        """
        core = self._core
        if not software or core.acted or len(self._yields) > _YIELDS_KEPT:
            self._yields.clear()
            core.acted = False
            if not software:
                return
        state = self.state()
        if state in self._yields:
            self.parked = (0, state)
        else:
            self._yields.add(state)

    def release(self) -> None:
        """Something happened: a core that was parked between yields looks for itself."""
        if self.parked is not None and self.parked[0] == 0:
            self.parked = None
            self._yields.clear()

    def _enters_known(self) -> bool:
        """Park the core when it is in a loop that has its proof: once around it tells whether memory lets it go."""
        state = self.state()
        period = self._known.get(state)
        if period is None or self._go(period) != state:
            return False
        self.parked, self._quiet = (period, state), 0
        self._explored = 0
        return True

    # -- proofs -------------------------------------------------------------------------------------------

    def _park(self, worth_ns: int) -> bool:
        before = self.state()
        for place, period in enumerate(self._periods):
            after = self._go(period)
            if after is None:
                return False
            if after == before:
                self._periods.insert(0, self._periods.pop(place))
                return self._prove(period, after, worth_ns)
            before = after
        now = self._core.soc.cycles
        if now >= self._next_search:
            self._next_search = now + self._search_every
            return self._search(before, worth_ns)
        return False

    def _search(self, start: bytes, worth_ns: int) -> bool:
        """Step through a loop once to learn its length in instructions."""
        core = self._core
        home, period = core.pc, 0
        while period < _LONGEST_LOOP - 1:
            walked, clean = core.walk(_LONGEST_LOOP - 1 - period, home)
            period += walked
            self._explored += walked
            if not clean:
                return False
            if core.pc == home and self.state() == start:
                self._periods.insert(0, period)
                del self._periods[_PERIODS_KEPT:]
                self._search_every = _SEARCH_EVERY
                return self._prove(period, start, worth_ns)
        self._search_every = min(2 * self._search_every, _SEARCH_SELDOM)
        return False

    def _prove(self, period: int, state: bytes, worth_ns: int) -> bool:
        """The registers come back every `period` instructions: does the memory, too?

        A short loop is stepped through twice. Whatever changes in memory and matters passes through a register on
        its way, so equal registers at every step mean equal loads and stores. For a long loop memory is compared,
        which is only worth its price when much time can be skipped, or once in a while.
        """
        soc = self._core.soc
        if period <= _SHORT_LOOP:
            first = [self._go(1) for _ in range(period)]
            proven = None not in first and first == [self._go(1) for _ in range(period)]
        elif worth_ns >= _WORTH_NS or soc.cycles >= self._next_proof:
            self._next_proof = soc.cycles + _PROVE_EVERY
            memory = bytes(soc.ram)
            proven = self._go(period) == state and soc.same_memory(memory)
            if proven:
                self._learn(period)
        else:
            return False
        if proven:
            self.parked = (period, state)
        return proven

    def _learn(self, period: int) -> None:
        """A proof is dear: walk once more along a loop that has one, to know it again wherever the core enters it.

        FreeRTOS builds need that: their idle task is a long loop, which every byte that arrives ends for a moment.
        """
        if len(self._known) + period > _KNOWN_KEPT:
            self._known.clear()
        for _ in range(period):
            state = self._go(1)
            if state is None:
                return
            self._known[state] = period

    def state(self) -> bytes:
        """Integer registers, mstatus and pc."""
        core = self._core
        return core.registers.state() + core.pc.to_bytes(8, "little")

    def _go(self, count: int) -> bytes | None:
        """Run `count` instructions outside of time; None when a device was touched or a trap taken on the way."""
        executed, clean = self._core.attempt(count)
        self._explored += executed
        return self.state() if clean else None
