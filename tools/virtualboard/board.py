"""Puts the parts together: the one place that knows all of them.

    modem -- to_chip lane --> pad 6   chip   pad 7 -- to_modem lane --> modem
    host  -- console_rx ----> pad 4   chip   pad 5 -- console_tx -----> host
    pad 8 -> modem enable, pad 0 -> modem strap, pads 26-29 card, 36-39 panel, 40-47 camera, SPI3 flash

An engine (`hosted` or `k210`) is handed a `Board` and plays the chip: it advances the clock, drives pads, moves bytes
through lanes and uses the card, panel, camera and flash objects. Everything is described by a `BoardConfig`, which is
plain data and survives a trip through JSON, so that a board can be built in another process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from virtualboard.camera import Camera
from virtualboard.card.card import SdCard
from virtualboard.clock import GRACE_NS, MS, Clock
from virtualboard.esp8285 import AccessPoint, Air, Modem
from virtualboard.models import MODELS
from virtualboard.network import Bridge, Network, Visitor
from virtualboard.nor_flash import NorFlash
from virtualboard.panel import Panel
from virtualboard.pins import Pads
from virtualboard.wire import Lane

BROWSER_MAC = "02:00:00:00:00:0a"
"""Of the station that a browser behind `ap_web` is."""


@dataclass
class WifiNetwork:
    """One access point in range. `password` "" is an open network; `dhcp_ms` is how long its DHCP takes."""

    ssid: str
    password: str
    rssi: int = -50
    dhcp_ms: int = 600
    dhcp_ok: bool = True


@dataclass
class BoardConfig:
    """Everything that makes one virtual board. Paths are host paths; None means the part is absent."""

    model: str = "dock"
    at: str = "1.1"
    """AT firmware of the modem, one of `esp8285.PROFILES`."""
    card: str | None = None
    """Folder that is the SD card."""
    card_bytes: int = 256 * 1024 * 1024
    flash_dir: str | None = None
    """Folder that is /flash on the hosted engine."""
    camera: str | None = None
    """Picture file or folder that the camera sees."""
    no_camera: bool = False
    panel_width: int | None = None
    panel_height: int | None = None
    wifi: list[WifiNetwork] = field(default_factory=lambda: [WifiNetwork("home", "correct horse")])
    names: dict[str, str] = field(default_factory=dict)
    """Host names the network resolves, name -> IPv4 address."""
    reach: list[str] = field(default_factory=lambda: ["127.0.0.0/8"])
    """Address ranges that links may reach on this machine's network."""
    web_port: int | None = None
    """Port of this machine (loopback) at which the module's own server appears: 0 is any free one, None the module's
    number, or a free one when that cannot be had."""
    dns: bool = False
    """Names that are not in `names` are looked up by this machine's resolver."""
    rtt_ms: float = 4.0
    """Round trip to every peer, milliseconds of virtual time."""
    grace_ms: float = GRACE_NS / MS
    """A peer that answers within so many real milliseconds answers at once; of a slower one all its time is seen (see
    `clock`). More of it makes figures of a busy machine comparable, and hides what a server really takes."""
    boot_baud: int = 74880
    """Rate of the modem's boot ROM text: 74880 with a 26 MHz crystal, 115200 with 40 MHz."""
    ap_web: int | None = None
    """Port of loopback whose connections come from a station of the modem's own network; 0 takes any."""
    faults: list[dict[str, Any]] = field(default_factory=list)
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BoardConfig:
        """Inverse of `to_dict`; unknown keys are a ValueError that names them."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ValueError(f"unknown board settings: {', '.join(unknown)}")
        values = dict(data)
        if "wifi" in values:
            values["wifi"] = [w if isinstance(w, WifiNetwork) else WifiNetwork(**w) for w in values["wifi"]]
        return cls(**values)


class Board:
    """The parts of one board, wired. `power_off` closes every socket and writes the card back."""

    def __init__(self, config: BoardConfig, clock: Clock | None = None) -> None:
        self.config = config
        try:
            self.model = MODELS[config.model]
        except KeyError:
            raise ValueError(f"no board model {config.model!r}; known: {', '.join(MODELS)}") from None
        self.clock = clock or Clock(round(config.grace_ms * MS))
        self.pads = Pads()
        self.panel = Panel(
            self.clock,
            config.panel_width or self.model.panel_width,
            config.panel_height or self.model.panel_height,
            ips=self.model.panel_ips,
            upright=self.model.panel_upright,
        )
        self.card = SdCard(
            self.clock, Path(config.card) if config.card else None, capacity=config.card_bytes, seed=config.seed
        )
        self.flash = NorFlash(self.clock)
        self.camera = Camera(self.clock, Path(config.camera) if config.camera else None, present=not config.no_camera)
        self.to_chip = Lane(self.clock, "to_chip")
        self.to_modem = Lane(self.clock, "to_modem")
        self.console_rx = Lane(self.clock, "console_rx")
        self.console_tx = Lane(self.clock, "console_tx")
        self.network = Network(
            self.clock,
            config.names,
            rtt_ns=round(config.rtt_ms * MS),
            allow=tuple(config.reach),
            dns=config.dns,
            listen_port=config.web_port,
        )
        self.air = Air(
            [AccessPoint(w.ssid, w.password, rssi=w.rssi, dhcp_ms=w.dhcp_ms, dhcp_ok=w.dhcp_ok) for w in config.wifi]
        )
        self.modem = Modem(
            self.clock, self.to_modem, self.to_chip, self.air, self.network, profile=config.at, seed=config.seed
        )
        self.modem.boot_baud = config.boot_baud
        own = self.modem.own
        self.bridge: Bridge | None = None
        """Browsers of this machine in the modem's own network."""
        if config.ap_web is not None:
            visitor = Visitor(self.network, own, mac=BROWSER_MAC)
            self.bridge = Bridge(self.network, visitor, config.ap_web, lambda: own.on, lambda: own.key)
        self.on_power_cut: Callable[[], None] | None = None
        """Set by the engine: the chip stops where it is."""
        self._wire()

    def _wire(self) -> None:
        model, pads = self.model, self.pads
        pads.serial_in[model.console_rx] = self.console_rx
        pads.serial_out[model.console_tx] = self.console_tx
        pads.pull(model.boot_key, True)
        for key in model.other_keys:
            pads.pull(key, True)
        if model.modem_tx is None or model.modem_rx is None:
            return
        pads.serial_in[model.modem_tx] = self.to_chip
        pads.serial_out[model.modem_rx] = self.to_modem
        if model.modem_strap is not None:
            pads.on_level(model.modem_strap, self.modem.strap)
        if model.modem_enable is not None:
            # The module's own resistor: stock samples that never drive the pin still find a running modem.
            pads.pull(model.modem_enable, True)
            pads.on_level(model.modem_enable, self.modem.enable)
        self.modem.enable(True)

    def press(self, pad: int | None = None, down: bool = True) -> None:
        """Press (or let go of) a key; the BOOT key unless `pad` says otherwise. Keys pull low."""
        self.pads.press(self.model.boot_key if pad is None else pad, False if down else None)

    def cut_power(self) -> None:
        """The supply fails: what the card had not been told to keep is torn, modem and chip stop at once."""
        if self.on_power_cut is not None:
            self.on_power_cut()
        self.modem.enable(False)
        self.card.power_loss()

    def power_off(self) -> None:
        """Orderly end: links closed, the card's contents on the host. Who wants to keep the flash saves it."""
        if self.bridge is not None:
            self.bridge.close()
        self.modem.enable(False)
        self.network.close()
        self.card.close()
