"""What a Maix board solders to the chip's SPI buses: flash on SPI3, the card on SPI1, the panel on SPI0."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

CARD_SELECT, PANEL_RESET, PANEL_DC = 29, 37, 38
"""Pads (MaixPy-v1 boards.h and config_maix_*.py: SD_CS 29, LCD_RST 37, LCD_DC 38)."""


class FlashTarget:
    """The W25Q128 in standard SPI and in dual and quad transfers."""

    def __init__(self, soc: Soc) -> None:
        self._soc = soc
        self._flash = soc.board.flash

    def select(self, on: bool) -> None:
        self._flash.select(on)

    def exchange(self, data: bytes) -> bytes:
        answer = self._flash.exchange(data)
        self._skip_busy(data)
        return answer

    def instruct(self, instruction: int | None, address: int, address_bits: int, data: bytes, read: int) -> bytes:
        if instruction is None:
            return b"\xff" * read
        # With 32 address bits the low eight are the mode bits of a dual or quad read.
        place = None if address_bits == 0 else address >> max(0, address_bits - 24)
        return self._flash.transfer(instruction, place, data, read)

    def _skip_busy(self, data: bytes) -> None:
        """Reading the status while the chip is busy is a waiting loop."""
        if len(data) <= 2 and self._flash.busy_until > self._soc.clock.now:
            self._soc.wait_until(self._flash.busy_until)


class CardTarget:
    """The SD card. Its chip select is a GPIO, so the bus only carries bytes."""

    def __init__(self, soc: Soc) -> None:
        self._soc = soc
        self._spi = soc.board.card.spi

    def select(self, on: bool) -> None:
        pass

    def exchange(self, data: bytes) -> bytes:
        answer = self._spi.exchange(data)
        if len(data) <= 8:
            ready = self._spi.ready_at
            if ready is not None:
                self._soc.wait_until(ready)
        return answer

    def instruct(self, instruction: int | None, address: int, address_bits: int, data: bytes, read: int) -> bytes:
        return b"\xff" * read


class PanelTarget:
    """The ST7789 on eight data lines; the level of its D/C pin tells commands from data."""

    def __init__(self, soc: Soc) -> None:
        self._soc = soc
        self._panel = soc.board.panel

    def select(self, on: bool) -> None:
        pass

    def exchange(self, data: bytes) -> bytes:
        self._take(data)
        return b"\xff" * len(data)

    def instruct(self, instruction: int | None, address: int, address_bits: int, data: bytes, read: int) -> bytes:
        head = b"" if instruction is None else bytes((instruction & 0xFF,))
        if address_bits:
            size = -(-address_bits // 8)
            head += (address & (1 << 8 * size) - 1).to_bytes(size, "big")
        self._take(head + data)
        return b"\xff" * read

    def _take(self, data: bytes) -> None:
        if self._soc.board.pads.level(PANEL_DC):
            self._panel.data(data)
        else:
            for byte in data:
                self._panel.command(byte)
