"""Doctor on the Wi-Fi module: how it is wired, which firmware is in it, what that can, and how to put another in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maixpix.board import device_tables
from maixpix.doctor.findings import Finding

WANTED = "1.7.4"
"""The AT firmware that Sipeed offers for M1W modules, for their crystal of 40 MHz and 1 MB of flash."""

_TABLES = "atvers.py"


@dataclass(frozen=True)
class _Feature:
    """One row of the device code's table. `words` for people, `question` a command that changes nothing and is answered
    by more than ERROR alone where the feature is there; "" where no such command exists, and the version tells."""

    words: str
    question: str


_FEATURES = {
    "receive": _Feature("passive receive", "AT+CIPRECVMODE?"),
    "pipeline": _Feature("pipelined sending", ""),
    "names": _Feature("name resolution", 'AT+CIPDOMAIN="127.0.0.1"'),
    "rate": _Feature("a settable rate", "AT+UART_CUR?"),
    "clock": _Feature("SNTP", "AT+CIPSNTPCFG?"),
    "mdns": _Feature("mDNS", ""),
    "hostname": _Feature("a host name", "AT+CWHOSTNAME?"),
}


def questions() -> list[str]:
    """What the probe is to ask the module."""
    return [feature.question for feature in _FEATURES.values() if feature.question]


def wiring(found: Mapping[str, Any], tx: int, rx: int) -> Finding:
    """What the probe's search for the module on pads `tx` and `rx` means."""
    enable = found["enable"]
    if not found["rate"]:
        if found.get("talks_while_off"):
            return Finding(
                "modem", "wrong", f"it talks while its enable pad {enable} is low", "name the board: --board"
            )
        if found.get("boot_bytes"):
            remedy = f"name the right board (M1W modules need IO0 low), or flash AT {WANTED}: {how_to_flash(tx, rx)}"
            return Finding("modem", "wrong", "it starts but answers no AT command", remedy)
        pads = f"pads {tx}, {rx}, enable {enable}"
        return Finding("modem", "wrong", f"silent on {pads}", "this board may have none; name it with --board")
    text = f"answers at {found['rate']} baud"
    if enable is None:
        return Finding("modem", "ok", f"{text}, no enable pad")
    if found.get("talks_while_off"):
        return Finding(
            "modem", "note", f"{text}, it talks while its enable pad {enable} is low", "a crash cannot reset it"
        )
    if not found.get("boot_bytes"):
        return Finding("modem", "note", f"{text}, enable pad {enable} does not restart it", "name the board: --board")
    return Finding("modem", "ok", f"{text}, enable pad {enable} switches it")


def firmware(found: Mapping[str, Any], tx: int, rx: int) -> Finding:
    """Which firmware is in the module, and what it can: by its own answers, else by the device code's table."""
    lines = found["version"]
    remedy = f"flash AT {WANTED}: {how_to_flash(tx, rx)}"
    told = next((line.split(":", 1)[1] for line in lines if line.startswith("AT version:")), "")
    number = re.match(r"(\d+)\.(\d+)[.\d]*", told)
    if number is None:
        said = f"says {lines[0]!r}" if lines else "does not tell its version"
        return Finding("at", "note", f"no Espressif AT firmware that is known here: it {said}", remedy)
    version = int(number[1]), int(number[2])
    if version >= device_tables.constant(_TABLES, "OTHER"):
        return Finding("at", "wrong", f"ESP-AT {number[0]}, another program, which the board's code refuses", remedy)
    table = device_tables.constant(_TABLES, "FEATURES")
    has, lacks = [], []
    for name, feature in _FEATURES.items():
        _, first, gone = table[name]
        expected = first <= version and (not gone or version < gone)
        there = feature.question in found["answered"] if feature.question else expected
        (has if there else lacks).append(feature.words)
    text = f"AT {number[0]} {'with ' + ', '.join(has) if has else 'alone'}"
    if not lacks:
        return Finding("at", "ok", text)
    text += f"; without {', '.join(lacks)}"
    if _FEATURES["receive"].words not in lacks:
        return Finding("at", "ok", text)
    return Finding("at", "note", text, f"AT {WANTED} would receive without loss; {how_to_flash(tx, rx)}")


def how_to_flash(tx: int, rx: int) -> str:
    """One line: no K210 board of Sipeed's wires the module's GPIO0, so it takes an adapter and a hand."""
    return f"esptool on pads {tx} and {rx}, GPIO0 of the module at ground, K210 in reset (docs/modem.md)"
