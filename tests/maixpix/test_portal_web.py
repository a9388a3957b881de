"""A real browser in the network of a board's own modem: the portal by the systems' probes, wrong key first."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path

import pytest

from maixpix.board import bundle, install
from maixpix.board.places import FolderPlace
from maixpix.virtual.live import LiveBoard, LiveOptions
from rig.board_process import ENGINES, FIRMWARE
from rig.browser import PHONE, browser
from rig.panel_text import read
from rig.patience import patient

# Chromium knows hosts of Google's and GNOME's to be HTTPS only; what asks there in earnest is no browser.
PROBES = (
    "http://captive.apple.com/hotspot-detect.html",
    "http://connectivitycheck.gstatic.com/generate_204",
    "http://www.msftconnecttest.com/redirect",
    "http://detectportal.firefox.com/canonical.html",
    "http://network-test.debian.org/nm",
    "http://anything.example/",
)
HOME = "http://4.3.2.1/"


class Board:
    """A board that is to be set up, played in a thread; `address` is where browsers find it."""

    def __init__(self, engine, folder):
        card = folder / "card"
        card.mkdir()
        install.install(FolderPlace(card), bundle.build())
        self.settings = card / "pix.json"
        self.settings.write_text(
            json.dumps({"wifi": [["old", "12345678"]], "app": "frame", "server": "http://pc:1", "portal_s": 3600})
        )
        options = LiveOptions(engine, card=card, at="1.7.4", ap_web=0, paced=True)
        if engine == "k210":
            options.firmware = Path(FIRMWARE)
        self.live = LiveBoard(options)
        self.said = bytearray()
        self.live.console.listen(lambda _when, data: self.said.extend(data))
        self.address = f"127.0.0.1:{self.live.board.bridge.port}"
        self._thread = threading.Thread(target=self.live.run)
        self._thread.start()
        self._closed = False

    def wait_for(self, what, limit_s):
        deadline = time.monotonic() + patient(limit_s)
        while not self.live.mailbox.ask(lambda: what(self.live.board)).result(patient(30)):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def save_panel(self, name):
        if folder := os.environ.get("MAIXPIX_SCREENSHOTS"):
            image = self.live.mailbox.ask(lambda: self.live.board.panel.image()).result(patient(30))
            image.save(Path(folder, name + ".png"))

    def close(self):
        if self._closed:
            return
        self._closed = True
        self.live.stop()
        self._thread.join(patient(60))
        assert not self._thread.is_alive()
        self.live.close()


@pytest.fixture(params=ENGINES)
def board(request, tmp_path):
    made = Board(request.param, tmp_path)
    yield made
    made.close()


def test_a_browser_sets_the_board_up(board, tmp_path):
    board.wait_for(lambda b: b.modem.own.on and b.modem.own.key and b.modem.settings.server_port, 120)
    key = board.live.board.modem.own.key.decode()
    board.save_panel("portal-panel")

    async def visit():
        # The module has no port for HTTPS; what Chromium asks in the background must not take the links of others.
        rules = f"--host-resolver-rules=MAP *:80 {board.address}, MAP *:443 ~NOTFOUND"
        async with browser(tmp_path / "profile", rules) as page:
            for probe in PROBES:
                await arrive(page, probe)
            await page.screenshot("portal-choose")
            assert await page.value("document.documentElement.scrollWidth") <= PHONE[0]
            assert await page.value("document.querySelectorAll('input[name=ssid]').length") == 1
            await join(page, "wrong horse")
            await shown(page, "refused the key")
            await page.screenshot("portal-refused")
            assert await page.value("document.querySelector('input[name=ssid]').checked")
            await join(page, "correct horse")
            await shown(page, "192.168.4.50")
            await page.screenshot("portal-done")
            assert key not in await page.value("document.documentElement.outerHTML")
            assert not [text for text in page.complaints if "favicon" not in text]

    asyncio.run(visit())
    board.wait_for(lambda b: not b.modem.own.on and b.modem.station.online, 120)
    board.close()  # writes the card back
    assert json.loads(board.settings.read_text()) == {
        "wifi": [["home", "correct horse"], ["old", "12345678"]], "server": "http://pc:8000", "app": "show",
        "portal_s": 3600,
    }  # fmt: skip


async def arrive(page, probe):
    """Open the address; again when Chromium took a link that it had opened ahead and the board had dropped since."""
    for _ in range(4):
        await page.show(probe, PHONE)
        if await page.value("location.href") == HOME:
            return
        await asyncio.sleep(1)
    raise AssertionError((probe, await page.value("document.body.innerText")))


async def shown(page, text):
    """The page has come whole, and says `text`."""
    await page.until(f"document.readyState == 'complete' && document.body.innerText.includes({text!r})")


async def join(page, key):
    await page.value(
        f"document.querySelector('input[name=ssid]').checked = true;"
        f"document.querySelector('input[name=key]').value = '{key}';"
        f"document.querySelector('input[name=server]').value = 'pc:8000';"
        f"document.querySelector('select').value = 'show';"
        f"document.querySelector('button').click()"
    )


def test_a_browser_has_the_router_push_its_button(board, tmp_path):
    board.wait_for(lambda b: b.modem.own.on and b.modem.own.key and b.modem.settings.server_port, 120)

    async def visit():
        rules = f"--host-resolver-rules=MAP *:80 {board.address}, MAP *:443 ~NOTFOUND"
        async with browser(tmp_path / "profile", rules) as page:
            await arrive(page, PROBES[0])
            await page.screenshot("portal-wps")
            assert await page.value("document.documentElement.scrollWidth") <= PHONE[0]
            await page.value("document.querySelector('button[name=wps]').click()")
            await shown(page, "You have two minutes")
            await page.screenshot("portal-wps-now")
            assert await page.value("document.documentElement.scrollWidth") <= PHONE[0]

    asyncio.run(visit())
    board.wait_for(lambda _: b"portal waiting for the push of a router's button" in board.said, 60)
    board.wait_for(lambda b: "Push the WPS button" in told(b) or (is_chip(board) and lit(b)), 60)
    board.save_panel("portal-wps-panel")
    board.live.mailbox.ask(lambda: setattr(board.live.board.air.points[0], "wps", True)).result(patient(30))
    board.wait_for(lambda _: b"portal home works, address " in board.said, 120)
    board.wait_for(lambda b: "home works" in told(b) or (is_chip(board) and lit(b)), 120)
    board.save_panel("portal-wps-done")
    board.close()  # writes the card back
    assert json.loads(board.settings.read_text())["wifi"] == [["home", "WPS"], ["old", "12345678"]]


def is_chip(board):
    """The letters of MaixPy's own font are nobody's to read here; pictures of the panel are looked at."""
    return board.live.options.engine == "k210"


def lit(board):
    """Something is on the panel."""
    return len(board.panel.image().getcolors(1 << 16) or ()) != 1


def told(board):
    """The text on the panel."""
    return " ".join(line.text for line in read(board.panel.image()))
