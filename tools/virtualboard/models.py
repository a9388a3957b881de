"""The boards we know: which pad carries what.

Pin numbers are those of Sipeed's board configuration scripts (MaixPy-v1_scripts, board/config_maix_*.py) and of the
defaults in MaixPy-v1's drivers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BoardModel:
    """One kind of board. Pads by number; None where the board has no such part."""

    name: str
    title: str
    panel_width: int = 320
    panel_height: int = 240
    panel_upright: int = 0xA0
    """MADCTL value with which pictures stand upright on the glass as it is mounted."""
    panel_ips: bool = False
    """The glass shows colours right with inversion on."""
    modem_tx: int | None = 6
    """Pad that receives what the ESP8285 sends."""
    modem_rx: int | None = 7
    """Pad that sends to the ESP8285."""
    modem_enable: int | None = 8
    modem_strap: int | None = 0
    """ESP GPIO15 on M1W modules; must be low while the modem boots."""
    boot_key: int = 16
    other_keys: tuple[int, ...] = ()
    console_rx: int = 4
    console_tx: int = 5


MODELS = {
    model.name: model
    for model in (
        BoardModel("dock", "Sipeed Maix Dock (M1W)"),
        BoardModel("go", "Sipeed Maix Go"),
        BoardModel(
            "bit", "Sipeed Maix Bit (no modem)", modem_tx=None, modem_rx=None, modem_enable=None, modem_strap=None
        ),
        BoardModel(
            "cube",
            "Sipeed Maix Cube",
            panel_width=240,
            panel_height=240,
            panel_upright=0x60,
            panel_ips=True,
            other_keys=(11, 10),
        ),
        BoardModel("amigo", "Sipeed Maix Amigo", panel_width=480, panel_height=320, panel_upright=0x28),
    )
}
