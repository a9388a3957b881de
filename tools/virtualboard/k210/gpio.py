"""GPIOHS (32 fast pins) and GPIO (8 pins of the APB bus). Layouts: Kendryte SDK gpiohs.h and gpio.h."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.k210.bus import Device
from virtualboard.k210.plic import IRQ_GPIO, IRQ_GPIOHS0
from virtualboard.pins import GPIO0, GPIOHS0

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc


class _Pins(Device):
    """What both blocks share: outputs that drive pads, inputs that read them."""

    TIMED = True
    COUNT = 0
    FUNCTION = 0
    KEPT = ("_inputs",)

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self._driven: dict[int, tuple[int, bool]] = {}  # pin -> pad that it drives now, and its level
        self._inputs = 0

    def reset(self) -> None:
        super().reset()
        self._driven.clear()
        self._inputs = 0

    def outputs(self) -> tuple[int, int]:
        """(pins that drive, their levels) as bit masks."""
        raise NotImplementedError

    def _wanted(self) -> dict[int, tuple[int, bool]]:
        enabled, levels = self.outputs()
        mapped = self.soc.fpioa.pads_of(self.FUNCTION, self.COUNT)
        return {pin: (pad, bool(levels >> pin & 1)) for pin, pad in mapped if enabled >> pin & 1}

    def let_go(self) -> None:
        """Drive no pad any more that the registers and the FPIOA have taken away; before others drive it."""
        self._release(self._wanted())

    def drive(self) -> None:
        """Make the pads agree with the registers and the FPIOA."""
        wanted = self._wanted()
        self._release(wanted)
        for pin, new in wanted.items():
            if self._driven.get(pin) != new:
                self._driven[pin] = new
                self.soc.board.pads.drive(*new)

    def _release(self, wanted: dict[int, tuple[int, bool]]) -> None:
        for pin, (pad, _) in list(self._driven.items()):
            if pin not in wanted or wanted[pin][0] != pad:
                del self._driven[pin]
                self.soc.board.pads.drive(pad, None)

    def inputs(self) -> int:
        """Levels of the pads that are mapped to the pins; a pin without a pad reads 0."""
        value = 0
        for pin, pad in self.soc.fpioa.pads_of(self.FUNCTION, self.COUNT):
            if self.soc.pad_level(pad):
                value |= 1 << pin
        return value

    def edges(self, levels: int) -> None:
        """Inputs changed to `levels`: subclasses latch interrupts."""

    def pads_moved(self) -> None:
        """A pad level or a mapping changed."""
        levels = self.inputs()
        if levels != self._inputs:
            self.edges(levels)
            self._inputs = levels


_IN, _IN_EN, _OUT_EN, _OUT, _XOR = 0x00, 0x04, 0x08, 0x0C, 0x40
_RISE_IE, _FALL_IE, _HIGH_IE, _LOW_IE = 0x18, 0x20, 0x28, 0x30


class Gpiohs(_Pins):
    """32 pins, each with an interrupt of its own (PLIC source 34 + pin)."""

    NAME = "gpiohs"
    BASE = 0x3800_1000
    COUNT = 32
    FUNCTION = GPIOHS0
    NAMES = {  # noqa: RUF012
        0x00: "input_val", 0x04: "input_en", 0x08: "output_en", 0x0C: "output_val", 0x10: "pullup_en",
        0x14: "drive", 0x18: "rise_ie", 0x1C: "rise_ip", 0x20: "fall_ie", 0x24: "fall_ip", 0x28: "high_ie",
        0x2C: "high_ip", 0x30: "low_ie", 0x34: "low_ip", 0x38: "iof_en", 0x3C: "iof_sel", 0x40: "output_xor",
    }  # fmt: skip

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self.reads[_IN] = self._input
        for at in (_OUT_EN, _OUT, _XOR):
            self.writes[at] = lambda v, at=at: self._output(at, v)
        for at in (_RISE_IE, _FALL_IE, _HIGH_IE, _LOW_IE):
            self.writes[at] = lambda v, at=at: self._enable(at, v)
            self.writes[at + 4] = lambda v, at=at: self._clear(at + 4, v)

    def outputs(self) -> tuple[int, int]:
        return self.regs.get(_OUT_EN, 0), self.regs.get(_OUT, 0) ^ self.regs.get(_XOR, 0)

    def edges(self, levels: int) -> None:
        rose, fell = levels & ~self._inputs, self._inputs & ~levels
        self._latch(_RISE_IE, rose)
        self._latch(_FALL_IE, fell)
        self._inputs = levels
        self._update()

    def _input(self) -> int:
        self.soc.polled()
        return self.inputs() & (self.regs.get(_IN_EN, 0) | self.regs.get(_OUT_EN, 0))

    def _output(self, at: int, value: int) -> None:
        if self.regs.get(at, 0) != value:
            self.regs[at] = value
            self.drive()

    def _latch(self, enable: int, pins: int) -> None:
        self.regs[enable + 4] = self.regs.get(enable + 4, 0) | pins & self.regs.get(_IN_EN, 0)

    def _enable(self, at: int, value: int) -> None:
        self.regs[at] = value
        self._update()

    def _clear(self, at: int, value: int) -> None:
        self.regs[at] = self.regs.get(at, 0) & ~value
        self._update()

    def _update(self) -> None:
        get = self.regs.get
        levels, enabled = self._inputs, get(_IN_EN, 0)
        due = (get(_RISE_IE, 0) & get(_RISE_IE + 4, 0)) | (get(_FALL_IE, 0) & get(_FALL_IE + 4, 0))
        due |= (get(_HIGH_IE, 0) & levels & enabled) | (get(_LOW_IE, 0) & ~levels & enabled)
        plic = self.soc.plic
        changed = (due ^ plic.levels >> IRQ_GPIOHS0) & (1 << self.COUNT) - 1
        while changed:
            pin = (changed & -changed).bit_length() - 1
            changed &= changed - 1
            plic.set_level(IRQ_GPIOHS0 + pin, bool(due >> pin & 1))


_DATA, _DIRECTION, _INT_EN, _INT_MASK, _INT_LEVEL, _POLARITY = 0x00, 0x04, 0x30, 0x34, 0x38, 0x3C
_STATUS, _RAW, _CLEAR, _EXTERNAL, _BOTH = 0x40, 0x44, 0x4C, 0x50, 0x68


class Gpio(_Pins):
    """8 pins with one common interrupt (PLIC source 23)."""

    NAME = "gpio"
    BASE = 0x5020_0000
    COUNT = 8
    KEPT = ("_inputs", "_latched")
    FUNCTION = GPIO0
    NAMES = {  # noqa: RUF012
        0x00: "data_output", 0x04: "direction", 0x08: "source", 0x30: "interrupt_enable", 0x34: "interrupt_mask",
        0x38: "interrupt_level", 0x3C: "interrupt_polarity", 0x40: "interrupt_status", 0x44: "interrupt_status_raw",
        0x48: "interrupt_debounce", 0x4C: "interrupt_clear", 0x50: "data_input", 0x60: "sync_level",
        0x64: "id_code", 0x68: "interrupt_bothedge",
    }  # fmt: skip

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self._latched = 0
        self.reads[_EXTERNAL] = self._input
        self.reads[_STATUS] = lambda: self._due()
        self.reads[_RAW] = lambda: self._latched
        self.writes[_DATA] = lambda v: self._output(_DATA, v)
        self.writes[_DIRECTION] = lambda v: self._output(_DIRECTION, v)
        self.writes[_CLEAR] = self._clear
        for at in (_INT_EN, _INT_MASK, _INT_LEVEL, _POLARITY):
            self.writes[at] = lambda v, at=at: self._configure(at, v)

    def outputs(self) -> tuple[int, int]:
        return self.regs.get(_DIRECTION, 0), self.regs.get(_DATA, 0)

    def edges(self, levels: int) -> None:
        changed, polarity = levels ^ self._inputs, self.regs.get(_POLARITY, 0)
        edge = self.regs.get(_INT_LEVEL, 0)
        wanted = self.regs.get(_BOTH, 0) | ~(levels ^ polarity)
        self._latched |= changed & wanted & edge & self.regs.get(_INT_EN, 0)
        self._inputs = levels
        self._update()

    def _input(self) -> int:
        self.soc.polled()
        return self.inputs()

    def _output(self, at: int, value: int) -> None:
        if self.regs.get(at, 0) != value:
            self.regs[at] = value
            self.drive()

    def _clear(self, value: int) -> None:
        self._latched &= ~value
        self._update()

    def _configure(self, at: int, value: int) -> None:
        self.regs[at] = value
        self._update()

    def _due(self) -> int:
        get = self.regs.get
        level_pins = get(_INT_EN, 0) & ~get(_INT_LEVEL, 0) & ~(self._inputs ^ get(_POLARITY, 0)) & 0xFF
        return (self._latched | level_pins) & get(_INT_EN, 0) & ~get(_INT_MASK, 0)

    def _update(self) -> None:
        self.soc.plic.set_level(IRQ_GPIO, bool(self._due()))
