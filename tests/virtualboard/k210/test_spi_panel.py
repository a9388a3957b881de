"""SPI0 in octal mode to the panel, by DMA, as MaixPy-v1's st7789.c drives it over the SDK's spi.c and dmac.c."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from rig.registers import Registers, claim, enable_interrupt
from virtualboard.board import Board
from virtualboard.clock import SECOND
from virtualboard.k210.engine import K210Engine
from virtualboard.k210.soc import Soc

GPIOHS_DC, GPIOHS_RST = 31, 30
BUFFER = 0x8010_0000
CHANNEL = 2
DR = 0x5200_0060
COMMAND, BYTES, PIXELS = 0x202, 0x0A, 0x22  # spi_ctrlr0: 8-bit instruction; 8- and 32-bit address phases
PLL0_HZ = 780_000_000


class Lcd:
    """The register accesses of st7789.c."""

    def __init__(self, soc: Soc) -> None:
        self.soc = soc
        self.spi, self.dmac = Registers(soc.spis[0]), Registers(soc.dmac)
        self.pins, fpioa = Registers(soc.gpiohs), Registers(soc.fpioa)
        for pad, function in ((36, 15), (37, 24 + GPIOHS_RST), (38, 24 + GPIOHS_DC), (39, 17)):
            fpioa[f"io[{pad}]"] = function
        for pin in (GPIOHS_DC, GPIOHS_RST):
            self.pins.insert("output_en", 1, pin, 1)
        self.pins.insert("output_val", 1, GPIOHS_RST, 1)
        self.spi["baudr"] = 40  # PLL0 / 2 / 40: about 10 MHz
        self.frames(8, 0)

    def frames(self, bits: int, phases: int) -> None:
        """spi_init and spi_init_non_standard: frame size, octal, phases."""
        for name in ("imr", "dmacr", "ser", "ssienr"):
            self.spi[name] = 0
        self.spi["ctrlr0"] = 3 << 21 | bits - 1 << 16
        self.spi["spi_ctrlr0"] = phases
        self.spi["endian"] = 0

    def send(self, words: list[int], fixed: bool = False, count: int | None = None) -> None:
        """spi_send_data_normal_dma; `fixed` is spi_fill_data_dma: one word `count` times."""
        self.begin(words, fixed, count)
        spins = 0
        while self.dmac["chen"] >> CHANNEL & 1:  # dmac_wait_done
            self.soc.clock.advance(1000)
            spins += 1
        while self.spi["sr"] & 5 != 4:
            self.soc.clock.advance(1000)
        self.end()

    def begin(self, words: list[int], fixed: bool = False, count: int | None = None) -> None:
        """dmac_set_single_mode in its order, then the chip select."""
        self.soc.write_words(BUFFER, words, 4)
        name = f"channel[{CHANNEL}]"
        self.spi["ctrlr0"] &= ~(3 << 8)
        self.spi["dmacr"] = 2
        self.spi["ssienr"] = 1
        self.dmac[f"{name}.intclear"] = 0xFFFF_FFFF
        self.dmac["chen"] = 0x100 << CHANNEL
        assert not self.dmac["chen"] >> CHANNEL & 1
        self.dmac[f"{name}.sar"], self.dmac[f"{name}.dar"] = BUFFER, DR
        self.dmac[f"{name}.ctl"] = fixed << 4 | 1 << 6 | 2 << 8 | 2 << 11
        self.dmac[f"{name}.block_ts"] = (count or len(words)) - 1
        self.dmac["cfg"] = 3
        self.dmac["chen"] = 0x101 << CHANNEL
        self.spi["ser"] = 1 << 3

    def end(self) -> None:
        self.spi["ser"] = 0
        self.spi["ssienr"] = 0

    def dc(self, data: bool) -> None:
        self.pins.insert("output_val", int(data), GPIOHS_DC, 1)

    def command(self, byte: int, *parameters: int) -> None:
        """tft_write_command and tft_write_byte."""
        self.dc(False)
        self.frames(8, COMMAND)
        self.send([byte])
        if parameters:
            self.dc(True)
            self.frames(8, BYTES)
            self.send(list(parameters))

    def window(self, left: int, top: int, right: int, bottom: int) -> None:
        """lcd_set_area."""
        self.command(0x2A, left >> 8, left & 0xFF, right >> 8, right & 0xFF)
        self.command(0x2B, top >> 8, top & 0xFF, bottom >> 8, bottom & 0xFF)
        self.command(0x2C)

    def pixels(self, colours: list[int]) -> None:
        """tft_write_word: two pixels a word, the left one high; an odd last pixel by tft_write_half (16 bits)."""
        self.dc(True)
        pairs = len(colours) // 2
        if pairs:
            self.frames(32, PIXELS)
            self.send([colours[2 * n] << 16 | colours[2 * n + 1] for n in range(pairs)])
        if len(colours) % 2:
            self.frames(16, 0x12)
            self.send(colours[-1:])


@pytest.fixture
def lcd(soc: Soc) -> Lcd:
    """After the start sequence of lcd_init."""
    built = Lcd(soc)
    built.command(0x01)
    built.command(0x11)
    built.command(0x3A, 0x55)
    built.command(0x36, 0xA0)
    built.command(0x29)
    return built


def shown(board: Board, *places: tuple[int, int]) -> list[int]:
    """The RGB565 colours at places."""
    image = board.panel.image()
    return [r >> 3 << 11 | g >> 2 << 5 | b >> 3 for r, g, b in map(image.getpixel, places)]


def test_commands_and_parameters_by_the_level_of_dc(lcd: Lcd, board: Board) -> None:
    panel = board.panel
    assert (panel.asleep, panel.display_on, panel.pixel_format, panel.madctl) == (False, True, 0x55, 0xA0)
    assert not panel.unknown
    lcd.command(0x21)
    assert panel.inverted
    lcd.command(0x36, 0x60)
    assert panel.rotation == 2


def test_the_reset_pin(lcd: Lcd, board: Board) -> None:
    lcd.pins.insert("output_val", 0, GPIOHS_RST, 1)
    assert (board.panel.resets, board.panel.display_on) == (1, False)
    lcd.command(0x29)
    assert not board.panel.display_on  # held in reset it hears nothing
    lcd.pins.insert("output_val", 1, GPIOHS_RST, 1)
    lcd.command(0x29)
    assert board.panel.display_on


@pytest.mark.parametrize(("width", "height"), [(8, 4), (3, 5), (1, 1), (320, 3)])
def test_pixels_of_a_window(lcd: Lcd, board: Board, width: int, height: int) -> None:
    noise = random.Random(width)
    colours = [noise.getrandbits(16) for _ in range(width * height)]
    lcd.window(0, 100, width - 1, 100 + height - 1)
    lcd.pixels(colours)
    assert shown(board, *((n % width, 100 + n // width) for n in range(width * height))) == colours
    assert shown(board, (0, 99), (0, 100 + height)) == [0, 0]
    assert board.panel.frames == 1


def test_a_fill_repeats_one_word(lcd: Lcd, board: Board) -> None:
    """lcd_clear: spi_fill_data_dma, neither address moves."""
    lcd.window(0, 0, 319, 239)
    lcd.dc(True)
    lcd.frames(32, PIXELS)
    lcd.send([0xF800_F800], fixed=True, count=320 * 240 // 2)
    assert board.panel.image().getcolors() == [(320 * 240, (255, 0, 0))]


def test_a_frame_takes_the_time_of_its_bits(lcd: Lcd, board: Board) -> None:
    lcd.window(0, 0, 319, 239)
    lcd.dc(True)
    lcd.frames(32, PIXELS)
    start = board.clock.now
    lcd.send([0] * 38_400)
    # Four bytes a word on eight lines, four clocks.
    expected = 4 * 38_400 * SECOND * 40 * 2 // PLL0_HZ
    assert expected <= board.clock.now - start <= expected + 20_000


def test_dma_tells_its_end_by_an_interrupt(soc: Soc, lcd: Lcd, board: Board) -> None:
    """dmac_irq_register, dmac_irq: channel 2 is source 29."""
    name = f"channel[{CHANNEL}]"
    enable_interrupt(soc, 27 + CHANNEL)
    lcd.window(0, 0, 319, 239)
    lcd.dc(True)
    lcd.frames(32, PIXELS)
    lcd.dmac[f"{name}.intstatus_en"] = 2
    start = board.clock.now
    lcd.begin([0x07E0_07E0], fixed=True, count=38_400)
    assert claim(soc) == 0
    assert board.clock.run_until(lambda: claim(soc) == 27 + CHANNEL, start + SECOND)
    assert board.clock.now - start == pytest.approx(4 * 38_400 * SECOND * 80 / PLL0_HZ, rel=0.001)
    assert lcd.dmac[f"{name}.intstatus"] == 2
    lcd.dmac[f"{name}.intclear"] = 0xFFFF_FFFF
    assert lcd.dmac["intstatus"] == 0
    lcd.end()
    assert shown(board, (0, 0), (319, 239)) == [0x07E0, 0x07E0]


# -- the same by a program on the core ----------------------------------------------------------------------

SPI0, DMAC, OUTPUT = 0x5200_0000, 0x5000_0000, 0x3800_100C


def store(address: int, value: int) -> str:
    return f"li t0, {address:#x}\nli t1, {value & 0xFFFF_FFFF:#x}\nsw t1, 0(t0)\n"


def octal_write(label: str, bits: int, phases: int, data: bool, words: list[int], count: int = 0) -> str:
    """D/C, frame format, DMA of `words` (of the first one `count` times), the wait, deselected."""
    text = store(OUTPUT, 1 << GPIOHS_RST | data << GPIOHS_DC)
    text += store(SPI0, 3 << 21 | bits - 1 << 16) + store(SPI0 + 0xF4, phases) + store(SPI0 + 0x08, 1)
    text += "".join(store(BUFFER + 4 * n, word) for n, word in enumerate(words))
    at = DMAC + 0x100 + 0x100 * CHANNEL
    control = bool(count) << 4 | 1 << 6 | 2 << 8 | 2 << 11
    for offset, value in ((0, BUFFER), (8, DR), (0x18, control), (0x10, (count or len(words)) - 1)):
        text += store(at + offset, value)
    text += store(DMAC + 0x18, 0x101 << CHANNEL) + store(SPI0 + 0x10, 8)
    text += f"li t0, {DMAC + 0x18:#x}\n{label}: lw t1, 0(t0)\nandi t1, t1, {1 << CHANNEL}\nbne t1, zero, {label}\n"
    text += f"li t0, {SPI0 + 0x28:#x}\n{label}s: lw t1, 0(t0)\nandi t1, t1, 5\naddi t2, zero, 4\nbne t1, t2, {label}s\n"
    return text + store(SPI0 + 0x10, 0) + store(SPI0 + 0x08, 0)


def test_a_program_of_ours_paints_a_window(run_program: Callable[..., K210Engine], board: Board) -> None:
    program = "csrr t0, mhartid\npark: bne t0, zero, park\n"
    for pad, function in ((37, 24 + GPIOHS_RST), (38, 24 + GPIOHS_DC)):
        program += store(0x502B_0000 + 4 * pad, function)
    program += store(OUTPUT - 4, 1 << GPIOHS_DC | 1 << GPIOHS_RST) + store(OUTPUT, 1 << GPIOHS_RST)
    program += store(SPI0 + 0x14, 40)
    steps: list[tuple[int, tuple[int, ...]]] = [
        (0x11, ()), (0x3A, (0x55,)), (0x36, (0xA0,)), (0x29, ()),
        (0x2A, (0, 10, 0, 13)), (0x2B, (0, 20, 0, 21)), (0x2C, ()),
    ]  # fmt: skip
    for number, (command, parameters) in enumerate(steps):
        program += octal_write(f"c{number}", 8, COMMAND, False, [command])
        if parameters:
            program += octal_write(f"p{number}", 8, BYTES, True, list(parameters))
    program += octal_write("pixels", 32, PIXELS, True, [0xF800_07E0, 0x001F_FFFF, 0x1234_5678, 0x9ABC_DEF0])
    run_program(program + "end: j end")
    assert shown(board, *((10 + n % 4, 20 + n // 4) for n in range(8))) == [
        0xF800, 0x07E0, 0x001F, 0xFFFF, 0x1234, 0x5678, 0x9ABC, 0xDEF0,
    ]  # fmt: skip
    assert board.panel.frames == 1
