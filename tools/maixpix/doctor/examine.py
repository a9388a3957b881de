"""Find out what is wrong with a board: from the port to a measured fetch, one line each, with the remedy.

The board is questioned through its raw REPL by device code (probes/), which uses MaixPy's modules only, so that a
board without our software, or with a broken copy of it, is examined too. No key or password is part of a finding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from maixpix import ports
from maixpix.board import bundle, device_tables, install, own, settings
from maixpix.board.bundle import is_loader
from maixpix.board.link import BOOT_REMEDY, BoardError, Link
from maixpix.board.places import BoardPlace
from maixpix.doctor import modem, network
from maixpix.doctor.findings import Finding
from maixpix.errors import UserError

OLDEST = (0, 5, 1)
"""MaixPy before 0.5.1 has another serial driver with 4096-byte buffers; nothing here is tested on it."""

_USUAL_SLOT = ("dock", "go", "bit")
"""Boards whose card is on pads 26 to 29 (MaixPy-v1 machine_sdcard); the others' pads are not certain."""

LITTLE_HEAP = 200 * 1024
SLOW_CARD = 100 * 1024


def examine(link: Link, port: str, board: str | None = None, network: bool = True) -> Iterator[Finding]:
    """Examine the board behind an open `link`; findings come as they are made.

    `board` names the board where the settings do not. `network` False leaves the modem alone.
    """
    yield Finding("port", "ok", f"{port}, {adapter(port)}")
    if link.soft_reset_works:
        yield Finding("repl", "ok", "raw REPL, soft reset")
    else:
        does = "restarts it again and again" if link.restarts else "loops"
        yield Finding("repl", "wrong", f"boot.py on the board {does}", BOOT_REMEDY)
    examination = _Examination(link, board)
    link.wait_for_card()
    # The board's software needs the whole heap, and so do the probes: it goes first, and away again.
    examination.start_software()
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


def adapter(port: str) -> str:
    """What is behind `port`, as far as its USB ids tell."""
    if "://" in port:
        return "over the network"
    for one in ports.scan():
        if Path(one.device).resolve() == Path(port).resolve() and one.usb:
            pair = f", port {one.place + 1} of {one.count}" if one.count > 1 else ""
            return f"{one.guess or 'an adapter that K210 boards do not have'} ({one.usb}){pair}"
    return "no USB adapter"


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
        self.wifi_path = ""
        self.has_card = False
        self.size = (320, 240)
        self._version = install.Version("", 0, {})
        self._place_name = ""
        self._trouble: BoardError | None = None

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
        vision = "full" if found["threads"] else "openmv"
        kind = vision if found["full"] else "minimum"
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
            text, remedy = self._slot() if root == "/sd" else ("", "flash MaixPy again: `maixpix flash`")
            return Finding(name, "wrong", text or "not mounted", remedy)
        if root == "/sd":
            self.has_card = True
        if "error" in found:
            remedy = "free some room on it" if found["full"] else "check it on a PC, or use another"
            return Finding(name, "wrong", f"mounted, but: {found['error']}", remedy)
        if not found["same"]:
            return Finding(name, "wrong", "what is read is not what was written", "use another card")
        text = f"{_size(found['free'])} of {_size(found['cluster'] * found['clusters'])} free"
        if root == "/sd":
            text = f"{fat_kind(found['clusters'])}, clusters of {_size(found['cluster'])}, {text}"
        # MaixPy's clock may stand still in a very fast simulation; a rate needs a time.
        if found["write_us"] and found["read_us"]:
            write, read = (32 * 1024 * 1_000_000 // found[key] for key in ("write_us", "read_us"))
            text += f", writes {write // 1024} kB/s, reads {read // 1024} kB/s"
            if root == "/sd" and write < SLOW_CARD:
                return Finding(name, "note", text, "a faster card fetches faster")
        return Finding(name, "ok", text)

    def _slot(self) -> tuple[str, str]:
        """What is in the slot when nothing was mounted, and the remedy."""
        if (self.board or "dock") not in _USUAL_SLOT:
            return unmounted({"looked": False})
        self.load("slot")
        return unmounted(self.ask("slot()", 20))

    def settings(self) -> Finding:
        """The flash's settings, then the card's over them, as the board itself takes them."""
        files: dict[str, dict[str, Any]] = {}
        unknown: list[str] = []
        for root in ("/flash", "/sd") if self.has_card else ("/flash",):
            path = f"{root}/{settings.FILE}"
            data = BoardPlace(self.link, root).read(settings.FILE)
            if data is None:
                continue
            try:
                files[path] = settings.parse_as_board(data, path)
                unknown += settings.check(files[path])
            except UserError as error:
                said = error.message if path in error.message else f"{path}: {error.message}"
                return Finding("settings", "wrong", said, error.remedy)
            self.values.update(files[path])
            if "wifi" in files[path]:
                self.wifi_path = path
        if not files:
            return Finding("settings", "wrong", "none", "run `maixpix setup`")
        count = len(self.values.get("wifi", []))
        app = self.values.get("app", settings.keys()["app"][0])
        text = f"{' and '.join(files)}: {count} network{'s' * (count != 1)}, app {app}"
        if len(files) == 2:
            flash, card = files.values()
            both, only = sorted(flash.keys() & card.keys()), sorted(flash.keys() - card.keys())
            text += f"; the card's {', '.join(both)} win" if both else ""
            text += f"; from the flash: {', '.join(only)}" if only else ""
        if unknown:
            return Finding("settings", "note", text, f"unknown here: {', '.join(unknown)}")
        return Finding("settings", "ok", text)

    def start_software(self) -> None:
        """Import what main.py would import, for `software` to tell what came of it."""
        place = BoardPlace(self.link, "/sd" if self._card_is_mounted() else "/flash")
        self._version, self._place_name = install.versions(place)[0], place.name
        if not self._version.number:
            return
        slot, package = f"{install.HOME}/{self._version.slot}", "pix_start" if place.flat else "pix.start"
        app = self._app()
        # Ours do nothing when they are imported; a program of the user's may do anything.
        app = app if app in bundle.app_names() else ""
        try:
            self.link.run(
                f"import sys,uos\nuos.chdir({place.root!r})\nsys.path[:0]=[{slot!r},{slot + '/apps'!r}]\n"
                f"__import__({package!r})" + (f"\n__import__({app!r})" if app else ""),
                timeout_s=30,
            )
        except BoardError as error:
            self._trouble = error
        self.link.fresh()
        self.link.wait_for_card()

    def software(self) -> Finding:
        version = self._version
        place = BoardPlace(self.link, "/sd" if self.has_card else "/flash")
        main = place.read("main.py")
        if version.number == 0:
            return Finding("software", "wrong", f"maixpix is not on {self._place_name}", "run `maixpix deploy`")
        if main is None or not is_loader(main):
            return Finding("software", "wrong", "main.py is not maixpix's", "run `maixpix deploy`")
        if self._trouble is not None:
            text = f"version {version.number} on {self._place_name} does not start: {self._trouble.last}"
            return Finding("software", "wrong", text, self._trouble.remedy)
        text = f"version {version.number} starts, {len(version.files)} files on {self._place_name}"
        mine = own.names(version.files)
        text += f", apps of your own: {', '.join(mine)}" if mine else ""
        app = str(self.values.get("app", settings.keys()["app"][0]))
        try:
            own.resolve(place, version.files, app)
        except UserError as error:
            return Finding("software", "wrong", f"{text}; the settings start {app}: {error.message}", error.remedy)
        return Finding("software", "ok", text)

    def _card_is_mounted(self) -> bool:
        return bool(self.link.eval("'sd' in __import__('uos').listdir('/')"))

    def _app(self) -> str:
        """The app of the settings; "" when they cannot be read, which has a line of its own."""
        app = settings.keys()["app"][0]
        for root in ("/flash", "/sd") if self._card_is_mounted() else ("/flash",):
            data = BoardPlace(self.link, root).read(settings.FILE)
            try:
                app = settings.parse_as_board(data, root).get("app", app) if data is not None else app
            except UserError:
                return ""
        return str(app)

    @property
    def _wiring(self) -> device_tables.Wiring:
        return device_tables.wiring(self.board or str(self.values.get("board", "dock")))

    def panel(self) -> Finding:
        wiring = self._wiring
        rotation = int(self.values.get("rotation", 0))
        found = self.ask(f"panel({wiring.lcd!r},{wiring.direction},{wiring.backlight},{rotation})")
        self.size = found["width"], found["height"]
        size = f"{found['width']}x{found['height']}"
        return Finding("panel", "ok", f"test card of {size} drawn: eight colour bars from white to black")

    def camera(self) -> Finding:
        found = self.ask("camera()", 30)
        if "error" in found:
            return Finding("camera", "note", f"none found ({found['error']})", "needed by the snap app only")
        return Finding("camera", "ok", f"sensor {found['id']:#x}, {found['width']}x{found['height']} frames")

    def network(self) -> Iterator[Finding]:
        """Modem, networks, join, address, name resolution, server, fetch; each step needs the one before."""
        wiring = self._wiring
        tx, rx, enable = self.ask(f"pads({wiring.tx},{wiring.rx},{wiring.enable})")
        self.load("modem")
        try:
            found = self.ask(f"find({tx},{rx},{enable},{wiring.strap},{modem.questions()!r})", 45)
            yield modem.wiring(found, tx, rx)
            if found["rate"]:
                firmware = modem.firmware(found, tx, rx)
                yield firmware
                if firmware.state == "wrong":
                    return
                yield from network.networks(self.ask, self.values, self.wifi_path, found["rate"], self.size)
        except BoardError as error:
            yield Finding("modem", "wrong", error.last, error.remedy)
        finally:
            # The modem's supply is switched off again; a lost connection has said so already.
            try:
                self.link.run("off()")
            except UserError:
                return


def unmounted(found: dict[str, Any]) -> tuple[str, str]:
    """(what, remedy) for a card that MaixPy did not mount, from what the probe read of it."""
    form = "format it on a PC: MBR partition table, FAT32"
    if not found["looked"]:
        return (
            "not mounted: no card, or none in FAT",
            "insert a FAT32 card (above 32 GB they come with exFAT), then reset",
        )
    if not found["answers"]:
        return "no card answers in the slot", "push one in firmly (FAT32, SPI mode), then reset the board"
    first, boot = bytes.fromhex(found["first"]), bytes.fromhex(found["boot"])
    if not first:
        return "a card is there, but cannot be read", "use another card"
    if first[510:] != b"\x55\xaa":
        return "the card is not formatted", form
    for sector, where in ((first, ", without a partition table"), (boot, "")):
        for mark, kind in ((b"EXFAT", "exFAT"), (b"NTFS", "NTFS")):
            if sector[3:11].strip() == mark:
                return f"the card is formatted {kind}{where}", form
    if first[54:57] == b"FAT" or first[82:85] == b"FAT":
        return "the card has FAT, but no partition table", form
    if first[450] == 0xEE:
        return "the card has a GPT partition table", form
    if boot[54:57] == b"FAT" or boot[82:85] == b"FAT":
        return "the card has FAT, but was not mounted", "reset the board; use another card if that does not help"
    return f"the card's first partition is no FAT (type {first[450]:#04x})", form


def fat_kind(clusters: int) -> str:
    """The FAT type, which follows from the number of clusters (Microsoft, FAT specification)."""
    return "FAT12" if clusters < 4085 else "FAT16" if clusters < 65525 else "FAT32"


def _blocks(code: str) -> list[str]:
    """Top-level blocks of squeezed code, one command each; all fit the console's ring."""
    return re.sub(r"\n(?=[^ \n])", "\0", code.strip()).split("\0")


def _size(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MB" if count >= 1024 * 1024 else f"{count // 1024} kB"
