"""The boards people own: how each is reset into its boot ROM, and how fast its USB adapter can go."""

from __future__ import annotations

from dataclasses import dataclass

from maixpix.errors import UserError

SAFE_BAUD = 115200
"""Works with every adapter and cable; also the rate at which boot ROM, stub and MaixPy's console begin."""


@dataclass(frozen=True)
class Board:
    """`kflash` is the value for kflash's -B (its reset pattern on DTR and RTS); empty lets it try all patterns.

    `baud` is the rate to try first. `port_of_two` counts from 0: which of the adapter's two ports reaches the K210.
    """

    name: str
    title: str
    kflash: str
    baud: int
    port_of_two: int = 0


# Reset patterns and rates: kflash 1.1.6 (reset_to_isp_*), Krux's flashing script, Sipeed's MaixPy documentation.
_TABLE = (
    Board("auto", "unknown board, all reset patterns are tried", "", 460800),
    Board("dock", "Maix Dock (Dan), also Yahboom, WonderMV and other CH340 boards", "dan", 1_500_000),
    Board("bit", "Maix Bit without microphone", "bit", 1_500_000),
    Board("bit-mic", "Maix Bit with microphone", "bit_mic", 1_500_000),
    Board("go", "Maix Go", "goE", 1_500_000, port_of_two=1),
    Board("go-dap", "Maix Go with its old CMSIS-DAP firmware", "goD", SAFE_BAUD, port_of_two=1),
    Board("maixduino", "Maixduino", "maixduino", 1_500_000),
    Board("amigo", "Maix Amigo", "goE", 1_500_000, port_of_two=1),
    Board("cube", "Maix Cube", "goE", 1_500_000),
    Board("nano", "Maix Nano", "goE", 1_500_000),
    Board("m5stickv", "M5StickV, M5 UnitV", "goE", 1_500_000),
    Board("kd233", "Kendryte KD233", "kd233", SAFE_BAUD),
    Board("trainer", "Kendryte trainer board", "trainer", 1_500_000),
)

NAMES = tuple(board.name for board in _TABLE)


def find(name: str) -> Board:
    """The board called `name`; kflash's own names (dan, goE, bit_mic...) are understood too."""
    wanted = name.lower().replace("_", "-")
    for board in _TABLE:
        if wanted == board.name:
            return board
    for board in _TABLE[1:]:
        if wanted == board.kflash.lower().replace("_", "-"):
            return board
    raise UserError(f"no board is called {name}", "choose one of " + ", ".join(NAMES))
