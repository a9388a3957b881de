"""Find out what is wrong with a board: from the port to a measured fetch, one line each, with the remedy.

The board is questioned through its raw REPL by device code (probes/), which uses MaixPy's modules only, so that a
board without our software, or with a broken copy of it, is examined too. The keys of networks stay on the board.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from maixpix import bundle, install, settings
from maixpix.bundle import is_loader
from maixpix.errors import UserError
from maixpix.link import BoardError, Link
from maixpix.places import BoardPlace

OLDEST = (0, 5, 1)
"""MaixPy before 0.5.1 has another serial driver with 4096-byte buffers; nothing here is tested on it."""

LITTLE_HEAP = 200 * 1024
SLOW_CARD = 100 * 1024

# pads: modem sends, modem receives, modem enable, strap; arguments of lcd.init (Sipeed's board scripts).
_BOARDS: dict[str, tuple[int, int, int | None, int | None, dict[str, int]]] = {
    "dock": (6, 7, 8, 0, {}),
    "go": (6, 7, 8, 0, {}),
    "bit": (6, 7, 8, None, {}),
    "cube": (6, 7, 8, None, {"type": 2}),
    "amigo": (6, 7, 8, None, {"width": 480, "height": 320, "lcd_type": 1}),
}
_JOIN_CODES = {
    "1": "timeout",
    "2": "wrong password",
    "3": "no such network",
    "4": "the access point refused",
}  # Espressif AT instruction set, AT+CWJAP


@dataclass(frozen=True)
class Finding:
    """One line: `state` is "ok", "note" (works, could be better), "wrong", or "skip"."""

    name: str
    state: str
    text: str
    remedy: str = ""


def healthy(findings: list[Finding]) -> bool:
    """True when nothing is wrong."""
    return all(finding.state != "wrong" for finding in findings)


def as_json(findings: list[Finding]) -> str:
    """The findings for scripts."""
    return json.dumps({"ok": healthy(findings), "findings": [asdict(finding) for finding in findings]}, indent=2)


def examine(link: Link, port: str, board: str | None = None, network: bool = True) -> Iterator[Finding]:
    """Examine the board behind an open `link`; findings come as they are made.

    `board` names the board where the settings do not. `network` False leaves the modem alone.
    """
    yield Finding("port", "ok", port)
    if link.soft_reset_works:
        yield Finding("repl", "ok", "raw REPL, soft reset")
    else:
        yield Finding("repl", "wrong", "boot.py on the board loops", "remove it: `maixpix run` a script that does")
    examination = _Examination(link, board)
    link.wait_for_card()
    examination.load("system")
    for step in (
        examination.firmware,
        examination.memory,
        examination.flash,
        examination.card,
        examination.settings,
        examination.software,
        examination.panel,
        examination.camera,
    ):
        yield from _guarded(step)
    if network:
        yield from examination.network()


def _guarded(step: Callable[[], Finding]) -> Iterator[Finding]:
    """A probe that fails is itself a finding; a lost connection is not."""
    try:
        yield step()
    except BoardError as error:
        yield Finding(step.__name__, "wrong", error.last, error.remedy)


class _Examination:
    """The steps, and what later ones need of earlier ones."""

    def __init__(self, link: Link, board: str | None) -> None:
        self.link = link
        self.board = board
        self.values: dict[str, Any] = {}
        self.settings_path = ""
        self.has_card = False

    def load(self, probe: str) -> None:
        """Send a probe's code; its comments stay here."""
        text = (Path(__file__).parent / "probes" / f"{probe}.py").read_text("utf-8")
        self.link.run("import gc\ngc.collect()")
        for piece in _blocks(bundle.squeeze(text)):
            self.link.run(piece)

    def ask(self, call: str, timeout_s: float = 15) -> Any:
        """Run a probe's function and return the JSON it prints, behind whatever MaixPy's C code printed."""
        text = self.link.run(call, timeout_s=timeout_s)
        for line in reversed(text.strip().splitlines()):
            try:
                return json.loads(line.strip().lstrip("@"))
            except ValueError:
                continue
        raise UserError(f"the board gave no answer to {call.split('(')[0]}", "reset it and try again")

    def firmware(self) -> Finding:
        found = self.ask("firmware()")
        if found["platform"] != "MaixPy":
            return Finding("firmware", "wrong", f"this is {found['platform']}, not MaixPy", "flash MaixPy v1")
        kind = "full" if found["full"] else "minimum"
        text = f"MaixPy {found['version'] or found['release']}, {kind} build"
        text += ", threads" if found["threads"] else ""
        if tuple(found["numbers"]) < OLDEST:
            return Finding("firmware", "wrong", text, "flash 0.6.2 or newer: `maixpix firmware get`")
        return Finding("firmware", "ok", text)

    def memory(self) -> Finding:
        found = self.ask("memory()")
        text = f"{found['free'] // 1024} kB free"
        if "heap" in found:
            text += f" of a {found['heap'] // 1024} kB heap"
        if "system" in found:
            text += f", {found['system'] // 1024} kB outside it"
        if found["free"] < LITTLE_HEAP:
            return Finding("memory", "wrong", text, "run Maix.utils.gc_heap_size(0x80000) on it, then reset")
        return Finding("memory", "ok", text)

    def flash(self) -> Finding:
        return self._storage("flash", "/flash")

    def card(self) -> Finding:
        return self._storage("card", "/sd")

    def _storage(self, name: str, root: str) -> Finding:
        found = self.ask(f"storage({root!r})", 60)
        if not found["present"]:
            remedy = "insert a card with an MBR partition in FAT32 (not exFAT) and reset the board"
            return Finding(name, "wrong", "not mounted", remedy)
        if root == "/sd":
            self.has_card = True
        if "error" in found:
            remedy = "free some room on it" if "28" in found["error"] else "check it on a PC, or use another"
            return Finding(name, "wrong", f"mounted, but: {found['error']}", remedy)
        if not found["same"]:
            return Finding(name, "wrong", "what is read is not what was written", "use another card")
        text = f"{_size(found['free'])} of {_size(found['total'])} free"
        # MaixPy's clock may stand still in a very fast simulation; a rate needs a time.
        if found["write_us"] and found["read_us"]:
            write, read = (32 * 1024 * 1_000_000 // found[key] for key in ("write_us", "read_us"))
            text += f", writes {write // 1024} kB/s, reads {read // 1024} kB/s"
            if root == "/sd" and write < SLOW_CARD:
                return Finding(name, "note", text, "a faster card fetches faster")
        return Finding(name, "ok", text)

    def settings(self) -> Finding:
        for root in ("/sd", "/flash"):
            if root == "/sd" and not self.has_card:
                continue
            place = BoardPlace(self.link, root)
            data = place.read(settings.FILE)
            if data is None:
                continue
            self.settings_path = f"{root}/{settings.FILE}"
            try:
                self.values = settings.parse(data, self.settings_path)
                unknown = settings.check(self.values)
            except UserError as error:
                return Finding("settings", "wrong", error.message, error.remedy)
            text = f"{self.settings_path}: {len(self.values.get('wifi', []))} networks, app {self.values.get('app')}"
            if unknown:
                return Finding("settings", "note", text, f"unknown here: {', '.join(unknown)}")
            return Finding("settings", "ok", text)
        return Finding("settings", "wrong", "none", "run `maixpix setup`")

    def software(self) -> Finding:
        place = BoardPlace(self.link, "/sd" if self.has_card else "/flash")
        running = install.versions(place)[0]
        main = place.read("main.py")
        if running.number == 0:
            return Finding("software", "wrong", f"maixpix is not on {place.name}", "run `maixpix deploy`")
        if main is None or not is_loader(main):
            return Finding("software", "wrong", "main.py is not maixpix's", "run `maixpix deploy`")
        return Finding("software", "ok", f"version {running.number}, {len(running.files)} files on {place.name}")

    @property
    def _pads(self) -> tuple[int, int, int | None, int | None, dict[str, int]]:
        return _BOARDS.get(self.board or str(self.values.get("board", "dock")), _BOARDS["dock"])

    def panel(self) -> Finding:
        found = self.ask(f"panel({self._pads[4]!r})")
        size = f"{found['width']}x{found['height']}"
        return Finding("panel", "ok", f"test card of {size} drawn: eight colour bars from white to black")

    def camera(self) -> Finding:
        found = self.ask("camera()", 30)
        if "error" in found:
            return Finding("camera", "note", f"none found ({found['error']})", "needed by the snap app only")
        return Finding("camera", "ok", f"sensor {found['id']:#x}, {found['width']}x{found['height']} frames")

    def network(self) -> Iterator[Finding]:
        """Modem, networks, join, address, name resolution, server, fetch; each step needs the one before."""
        self.load("modem")
        tx, rx, enable, strap, _ = self._pads
        try:
            found = self.ask(f"find({tx},{rx},{enable},{strap})", 40)
            yield from self._modem(found)
            if found["rate"]:
                yield from self._networks()
        except BoardError as error:
            yield Finding("modem", "wrong", error.last, error.remedy)
        finally:
            # The modem's supply is switched off again; a lost connection has said so already.
            try:
                self.link.run("off()")
            except UserError:
                return

    def _modem(self, found: dict[str, Any]) -> Iterator[Finding]:
        if not found["rate"]:
            if found.get("talks_while_off"):
                yield Finding("modem", "wrong", "it talks while its enable pin is low", "name the board with --board")
            elif found.get("boot_bytes"):
                yield Finding(
                    "modem",
                    "wrong",
                    "it starts but answers no AT command",
                    "name the right board (M1W modules need IO0 low), or flash AT firmware onto it",
                )
            else:
                pads = f"pads {self._pads[0]}, {self._pads[1]}, enable {self._pads[2]}"
                yield Finding("modem", "wrong", f"silent on {pads}", "this board may have none; name it with --board")
            return
        version = next((re.sub(r"\(.*", "", line.split(":", 1)[-1]) for line in found["version"]), "unknown")
        text = f"AT {version} at {found['rate']} baud"
        if found["passive"]:
            yield Finding("modem", "ok", f"{text}, passive receive")
        else:
            yield Finding("modem", "note", f"{text}, no passive receive", "AT 1.7.4 would make receiving lossless")

    def _networks(self) -> Iterator[Finding]:
        seen = sorted(self.ask("scan()", 20), key=lambda entry: -entry[1])
        if not seen:
            yield Finding("networks", "wrong", "none in range", "is the antenna connected? 2.4 GHz only")
            return
        yield Finding("networks", "ok", ", ".join(f"{name} {signal} dBm" for name, signal, _ in seen[:6]))
        if not self.values.get("wifi"):
            yield Finding("join", "skip", "no network in the settings", "run `maixpix setup --wifi NAME`")
            return
        names = [entry[0] for entry in seen]
        count = len(self.values["wifi"])
        tried = self.ask(f"join({self.settings_path!r},{names!r})", 25 * count + 5)
        last = tried[-1]
        if not last["joined"]:
            words = "; ".join(f"{one['name']}: {_JOIN_CODES.get(one.get('code', ''), 'no answer')}" for one in tried)
            yield Finding("join", "wrong", words, "check name and key with `maixpix setup`")
            return
        yield Finding("join", "ok", f"{last['name']} in {last['ms'] / 1000:.1f} s")
        address = self.ask("address()")
        if address in ("", "0.0.0.0"):
            yield Finding("address", "wrong", "none", "is DHCP on in the access point?")
            return
        yield Finding("address", "ok", address)
        yield from self._server()

    def _server(self) -> Iterator[Finding]:
        server = str(self.values.get("server") or "")
        if not server:
            yield Finding("server", "skip", "none in the settings", "run `maixpix setup --server http://...`")
            return
        parts = urlsplit(server)
        host, port = parts.hostname or "", parts.port or 80
        if not re.fullmatch(r"\d+\.\d+\.\d+\.\d+", host):
            address = self.ask(f"resolve({host!r})")
            if not address:
                yield Finding("names", "wrong", f"{host} is unknown", "use the server's address instead of its name")
                return
            yield Finding("names", "ok", f"{host} is {address}")
        else:
            address = host
        found = self.ask(f"fetch({address!r},{port},{host!r},'/')", 40)
        if not found["connected"]:
            remedy = "is `maixpix serve --host 0.0.0.0` running there, and does its firewall let it?"
            yield Finding("server", "wrong", f"no connection to {address}:{port}", remedy)
            return
        status = found.get("status", "no answer")
        if not status.startswith("HTTP/1.") or status[9:10] not in ("2", "3"):
            yield Finding("server", "wrong", f"{server} answered {status}", "is this address `maixpix serve`'s?")
            return
        yield Finding("server", "ok", f"connected in {found['connect_ms']} ms, {status}")
        rate = found["bytes"] * 1000 // max(1, found["ms"])
        yield Finding("fetch", "ok", f"{found['bytes']:,} bytes in {found['ms']} ms, {rate / 1024:.1f} kB/s")


def _blocks(code: str) -> list[str]:
    """Top-level blocks of squeezed code, one command each; all fit the console's ring."""
    return re.sub(r"\n(?=[^ \n])", "\0", code.strip()).split("\0")


def _size(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MB" if count >= 1024 * 1024 else f"{count // 1024} kB"
