"""What the processor's work costs in virtual time, in nanoseconds: the one table of the hosted engine.

The K210 runs at 403 MHz (MaixPy's PLL setting). Where a figure follows from a clock it says so; the rest are chosen
so that a plain MicroPython loop (AT frames parsed in place, written to the card) moves 98 % of the line rate at
1 Mbaud and 97 % at 4 Mbaud, which is what unmodified v0.6.2 firmware does on an emulated chip at one instruction a
cycle. A real core is slower; `Costs.scaled` gives the table for that.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

CPU_HZ = 403_000_000
"""PLL0 of MaixPy v0.6.2, printed at its start (`cpu:freq:403000000`)."""

UART_CLOCK_HZ = CPU_HZ
"""The clock that Kendryte SDK `uart.c` divides by an integer for UART1-3."""


@dataclass(frozen=True)
class Costs:
    """Nanoseconds each, unless the name says otherwise."""

    node: int = 60
    """One node of the syntax tree: about one bytecode, 25 instructions of `vm.c`."""
    call: int = 900
    """A call of a C function from Python: argument parsing, type checks."""
    copied_byte: int = 2
    """memcpy and stream layer, a byte."""
    uart_poll: int = 500
    """`any()`, and each look at the ring while a read waits."""
    uart_byte: int = 25
    """Taking one byte out of the receive ring (`machine_uart.c` works byte by byte)."""
    uart_irq_byte: int = 250
    """Receive interrupt, shared by the bytes that wait in the FIFO (Kendryte SDK `uart.c` and `plic.c`)."""
    gc_collect: int = 2_500_000
    """Mark and sweep of 512 KiB in 32-byte blocks: about 16000 blocks, 60 instructions each."""
    import_byte: int = 2_500
    """Compiling source text, a byte (lexer, parser and emitter: about 1000 instructions)."""
    file_call: int = 6_000
    """FatFs and VFS above the card's own time: path lookup, descriptor."""
    file_byte: int = 3
    """FatFs's copying, a byte, beyond the card's own time."""
    flash_read_byte: int = 60
    """SPIFFS reading through the quad SPI in small pieces."""
    flash_write_byte: int = 4_000
    """W25Q128: a 256-byte page programs in 0.4 to 0.7 ms, its erase spread over it."""
    jpeg_pixel: int = 1_050
    """picojpeg, a pixel: 320x240 in 80 ms."""
    jpeg_encode_pixel: int = 400
    """`jpeg.c` on both cores."""
    bmp_byte: int = 600
    """`bmp.c` reads one byte at a time through the VFS."""
    bmp_fast_byte: int = 12
    """8-bit top-down files are read in one go."""
    pixel: int = 8
    """Drawing, copying and scaling, a pixel: 3 to 4 instructions."""
    lcd_swap_pixel: int = 25
    """`lcd_mcu.c` swaps pixel pairs into its own buffer on both cores."""
    lcd_command: int = 15_000
    """One command with its parameters: four SPI set-ups by PIO and DMA (`st7789.c`)."""
    sha256_byte: int = 12
    """The SHA block of the chip fed word by word (`moduhashlib_maixpy.c`)."""
    dialog: int = 20_000
    """One line typed at the REPL: parsing and compiling it."""

    def scaled(self, factor: float) -> Costs:
        """The table of a processor that is `factor` times as fast (0.4: a real core against one cycle a time)."""
        return replace(self, **{f.name: round(getattr(self, f.name) / factor) for f in fields(self)})


LCD_BITS_PER_CLOCK = 8
"""Octal SPI: one byte a clock. 153600 bytes at 15 MHz take 10.24 ms."""

UART_FIFO = 16
"""Bytes of the transmit FIFO of UART1-3 (Synopsys DW_apb_uart as the K210 has it)."""

UARTHS_FIFO = 8
"""Bytes of the transmit FIFO of the console UART."""

CARD_DELAY_MS = 120
"""When the background task has mounted the card, after the start of the interpreter; `_boot` looks before that and
again never, so the current directory changes under it (seen on v0.6.2)."""
