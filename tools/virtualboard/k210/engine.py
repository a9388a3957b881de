"""The engine: runs both cores in slices between the clock's alarms, and boots and resets the chip."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtualboard.clock import MS, SECOND
from virtualboard.k210 import selfcheck
from virtualboard.k210.bootrom import BootRom, add_header
from virtualboard.k210.repl import Repl
from virtualboard.k210.soc import Soc
from virtualboard.k210.sysctl import RESET_PIN

if TYPE_CHECKING:
    from virtualboard.board import Board
    from virtualboard.k210.cpu import Core

_SLICE_ALONE, _SLICE_BOTH, _SLICE_WAITING = 400_000, 20_000, 200_000
"""Cycles until the engine looks around: one core alone, both, both waiting."""
_IDLE_STEP = 20 * MS


class K210Engine:
    """Plays the chip on `board`. `firmware`, a raw image, is put into flash first, as kflash would.

    `cpu_factor` and `rx_batch` are explained at `Soc`. The board's clock is advanced by this engine alone.
    """

    def __init__(self, board: Board, firmware: Path | None = None, cpu_factor: float = 1.0, rx_batch: int = 8) -> None:
        selfcheck.check()
        self.board = board
        self.clock = board.clock
        self.soc = Soc(board, cpu_factor, rx_batch)
        self.rom = BootRom(self.soc)
        self.slices = 0
        """Slices run so far, for reports."""
        self.resets: list[int] = []
        """Causes of the resets so far (bits of reset_status)."""
        self.console = Repl(self)
        if firmware is not None:
            self.install(firmware.read_bytes())

    @property
    def cycles(self) -> int:
        """CPU cycles since power-on."""
        return self.soc.cycles

    def install(self, image: bytes) -> None:
        """Write a raw firmware image into flash with the header that the boot ROM expects."""
        data = add_header(image)
        self.board.flash.data[: len(data)] = data

    def boot(self, isp: bool = False) -> None:
        """Power-on or reset button. `isp` holds the BOOT key meanwhile, which selects the ROM's serial loader."""
        self._reset(RESET_PIN, isp)

    def hold(self) -> None:
        """The reset pin goes low: the chip stops where it is."""
        self.rom.serving = False
        self.soc.reset(RESET_PIN)

    def release(self) -> None:
        """The reset pin goes high again: the chip starts anew."""
        self.soc.request_reset(RESET_PIN)

    def ram_hash(self) -> str:
        """SHA-256 of memory and core registers, for comparing runs."""
        digest = hashlib.sha256(self.soc.ram)
        for core in self.soc.cores:
            digest.update(core.digest_state())
        return digest.hexdigest()

    def type(self, text: str | bytes) -> None:
        """Send keystrokes to the console."""
        self.console.type(text)

    def repl(self, code: str, timeout_ns: int = 60 * SECOND) -> str:
        """Run `code` through MaixPy's raw REPL; returns what it printed, raises `ReplError` with a traceback."""
        return self.console.exec(code, timeout_ns)

    # -- snapshots ----------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """The chip and its flash between two slices, as plain data. The parts beyond them are not in it.

        Take it while the lines are quiet and no transfer runs, at a prompt for instance.
        """
        soc = self.soc
        return {
            "cores": [core.save() for core in soc.cores],
            "sites": list(soc.cores[0].csr_sites),
            "ram": bytes(soc.ram),
            "flash": bytes(self.board.flash.data),
            "devices": [copy.deepcopy(device.state()) for device in soc.devices],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot. Time is not turned back: to the firmware the pause was as long as it was."""
        soc = self.soc
        soc.reset()
        soc.ram[:] = state["ram"]
        self.board.flash.data[:] = state["flash"]
        for device, kept in zip(soc.devices, state["devices"], strict=True):
            device.restore(copy.deepcopy(kept))
        for core, kept in zip(soc.cores, state["cores"], strict=True):
            core.power_on(kept["pc"], state["sites"])
            core.load(kept)
        soc.clocks_changed()
        soc.clint.reschedule()
        soc.pads_changed()

    # -- running ------------------------------------------------------------------------------------------

    def run(self, until: Callable[[], bool] | None = None, timeout_ns: int = 10 * SECOND) -> bool:
        """Run until `until()` is true (looked at between slices) or `timeout_ns` of virtual time has passed."""
        deadline = self.clock.now + timeout_ns
        while self.clock.now < deadline:
            if until is not None and until():
                return True
            self._round(deadline)
        return until is not None and until()

    def serve(self, stop: Callable[[], bool]) -> None:
        """Run for people: until `stop()`, sleeping on the host's side while firmware idles."""
        while not stop():
            if self.idle and not self.clock.held:
                due = self.clock.next_alarm
                now = self.clock.now
                if due is None or due > now + _IDLE_STEP:
                    self.clock.poll(_IDLE_STEP)
                    if self.clock.now == now and self.clock.next_alarm == due:
                        self._pass_time(now + _IDLE_STEP)
                        for core in self.soc.cores:
                            core.loops.stays()  # a loop may wait for nothing but time
                    continue
            self._round(self.clock.now + _IDLE_STEP)

    @property
    def idle(self) -> bool:
        """True when no core has anything to do before the next event."""
        return self.soc.reset_wanted is None and all(
            not c.running or ((c.waiting or c.loops.parked is not None) and not c.interrupted()) for c in self.soc.cores
        )

    def _round(self, deadline: int) -> None:
        """One slice of each core, or a jump to the next event when none wants to run."""
        soc = self.soc
        if soc.reset_wanted is not None:
            self._reset(soc.reset_wanted)
        for core in soc.cores:
            if core.running and core.mip:
                core.deliver()
        runnable = [c for c in soc.cores if c.running and not c.waiting and not c.loops.stays()]
        if not runnable:
            limit = self._next_event(deadline)
            self._pass_time(limit if not self.clock.held else min(limit, self.clock.now + MS))
            return
        longest = self._slice_cycles(runnable)
        # The cores run ahead of the clock by a slice: first let every real peer act that could act within it.
        self.clock.permit(soc.timebase.ns(soc.cycles + longest))
        budget = max(1, min(soc.timebase.cycles(self._next_event(deadline)) - soc.cycles, longest))
        for core in soc.cores:
            core.loops.release()
        start, passed = soc.cycles, 0
        for core in runnable:
            passed = self._slice(core, start, passed or budget)
        soc.cycles = start + passed + sum(core.loops.spent() for core in soc.cores)
        self.slices += 1
        self.clock.advance_to(max(self.clock.now, soc.timebase.ns(soc.cycles)))
        self._catch_up()

    def _next_event(self, deadline: int) -> int:
        due = self.clock.next_alarm
        return deadline if due is None else min(due, deadline)

    def _slice_cycles(self, runnable: list[Core]) -> int:
        if len(runnable) == 1:
            return min(_SLICE_ALONE, runnable[0].loops.trial)
        # Two cores that mostly wait cannot hurry each other: look around less often.
        waiting = all(2 * core.skipped > core.limit_cycles - core.start_cycles for core in runnable)
        return _SLICE_WAITING if waiting else _SLICE_BOTH

    def _slice(self, core: Core, start: int, cycles: int) -> int:
        soc = self.soc
        soc.active = core
        try:
            passed = core.run(start, cycles)
        finally:
            soc.active = None
        due = self.clock.next_alarm
        core.loops.examine(SECOND if due is None else due - self.clock.now)
        return passed

    def _pass_time(self, when: int) -> None:
        """Nothing to execute: let virtual time come to `when`, or to what may end the wait."""
        self.clock.step_to(when)
        for core in self.soc.cores:
            core.loops.release()
        self._catch_up()

    def _catch_up(self) -> None:
        """The clock may have gone further than the cores (real peers, jumps)."""
        soc = self.soc
        if self.clock.now > soc.timebase.ns(soc.cycles):
            soc.cycles = soc.timebase.cycles(self.clock.now)

    def _reset(self, cause: int, isp: bool = False) -> None:
        self.resets.append(cause)
        self.soc.reset(cause)
        # The strap counts at power-on and the reset pin: kflash leaves it low when the stub restarts the chip.
        strapped = cause == RESET_PIN and not self.board.pads.level(self.board.model.boot_key)
        self.rom.start(isp or strapped)
