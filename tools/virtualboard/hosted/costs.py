"""What the processor's work costs in virtual time, in nanoseconds: the one table of the hosted engine.

The K210 runs at 403 MHz (MaixPy's PLL setting). Where a figure follows from a clock it says so. The others were fitted
to unmodified firmware, v0.6.2-44 minimum, running the same small programs on the emulated chip at one instruction a
cycle: loops, calls, `any()`, JPEG and BMP, `compress`, `lcd`, drawing, `gc.collect`, `compile`. A real core is slower;
`Costs.scaled` gives the table for that.
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

    node: int = 75
    """One unit of weight of the syntax tree (`program.py`): about one bytecode, 30 instructions of `vm.c`."""
    call: int = 300
    """A C function called from Python, beyond the call itself."""
    copied_byte: int = 2
    """memcpy and stream layer, a byte."""
    uart_poll: int = 300
    """`any()`, and each look at the ring while a read waits."""
    uart_byte: int = 25
    """Taking one byte out of the receive ring (`machine_uart.c` works byte by byte)."""
    uart_irq_byte: int = 250
    """Receive interrupt, shared by the bytes that wait in the FIFO (Kendryte SDK `uart.c` and `plic.c`)."""
    gc_collect: int = 780000
    """Mark and sweep of 512 KiB in 32-byte blocks with little in them."""
    import_character: int = 5000
    """Compiling source text, a character of code (lexer, parser, emitter), 4.2 to 5.6 us (pix on v0.6.2-44)."""
    file_call: int = 6_000
    """FatFs and VFS above the card's own time: path lookup, descriptor."""
    file_byte: int = 3
    """FatFs's copying, a byte, beyond the card's own time."""
    flash_read_byte: int = 60
    """SPIFFS reading through the quad SPI in small pieces."""
    flash_write_byte: int = 4_000
    """W25Q128: a 256-byte page programs in 0.4 to 0.7 ms, its erase spread over it."""
    jpeg_pixel: int = 810
    """picojpeg, a pixel: 320x240 in 62 ms."""
    jpeg_encode_pixel: int = 195
    """`jpeg.c` on both cores."""
    bmp_byte: int = 500
    """`bmp.c` reads one byte at a time through the VFS."""
    bmp_fast_byte: int = 12
    """8-bit top-down files are read in one go."""
    pixel: int = 66
    """Setting one pixel through `imlib_set_pixel`."""
    text_pixel: int = 190
    """One pixel of the 8x12 cells of `lcd.draw_string`."""
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


def lcd_hz(wanted: int) -> int:
    """The true rate of the panel's octal SPI: 403 MHz by an even integer (Kendryte SDK `spi.c`), a byte a clock.

    15 MHz are 15.5 MHz: 153600 bytes take 9.91 ms.
    """
    return CPU_HZ // max(2, CPU_HZ // wanted & ~1)


UART_FIFO = 16
"""Bytes of the transmit FIFO of UART1-3 (Synopsys DW_apb_uart as the K210 has it)."""

UARTHS_FIFO = 8
"""Bytes of the transmit FIFO of the console UART."""

CARD_DELAY_MS = 120
"""When the background task has mounted the card, after the start of the interpreter; `_boot` looks before that and
again never, so the current directory changes under it (seen on v0.6.2)."""
