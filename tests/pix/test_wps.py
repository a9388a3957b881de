"""A network by the push of a router's button, from the set-up portal: the modem has the key, nobody else does."""

import json
from pathlib import Path

import pytest

from rig.panel_text import read
from rig.portal_place import PROGRAM
from virtualboard.board import WifiNetwork

PROBE = Path(__file__).resolve().parents[2] / "tools" / "maixpix" / "doctor" / "probes" / "modem.py"
OLD = ["old", "12345678"]
BUTTON = 'name="wps"'


def nobody(phone):
    """Nobody is there."""


class Pusher:
    """Somebody who presses the page's button, and `push_s` later that of the router "home" (None: never)."""

    def __init__(self, push_s=20, then=None, **form):
        self._push_s, self._then, self._form = push_s, then, form
        self.page = self.told = self.key = self.own = None
        self.panels = []  # when the router's button is pushed, and some time after

    def __call__(self, phone):
        def look():
            self.key = phone.board.modem.own.key
            phone.get("/", press)

        def press(page):
            self.page = page
            phone.post("/join", {"csrf": page.token, "wps": "1", **self._form}, told)

        def told(answer):
            self.told = answer
            if self._push_s is not None:
                phone.after(self._push_s, lambda: self.push(phone))
            if self._then is not None:
                self._then(phone)

        phone.when_open(look)

    def push(self, phone):
        self.own = phone.board.modem.own.on
        self.panels.append(phone.board.panel.image())
        phone.after(15, lambda: self.panels.append(phone.board.panel.image()))
        phone.board.air.points[0].wps = True


@pytest.mark.parametrize("at", ["1.3", "1.7.4"])
def test_the_button_sets_the_board_up_and_the_next_start_joins_by_itself(place, at):
    pusher = Pusher(app="frame", server="pc:8000")
    outcome = place(pusher, {"wifi": [OLD, ["before", "WPS"]]}, at=at)
    assert BUTTON in pusher.page.body and pusher.told.status == 200
    assert "Push the router" in pusher.told.body and "two minutes" in pusher.told.body
    assert pusher.own is False  # the board's network was closed when the router's button was pushed
    assert "portal home works, address 192.168.4.50\nportal: the board starts anew" in outcome.console
    assert place.settings == {"wifi": [["home", "WPS"], OLD], "app": "frame", "server": "http://pc:8000"}
    asking, done = [" ".join(line.text for line in read(panel)) for panel in pusher.panels]
    assert asking.startswith("Push the WPS button of the router now.")
    assert "home works" in done and "address 192.168.4.50" in done
    assert place.phone.visitor.ip is None and "correct horse" not in outcome.console
    again = place(nobody, again=True, at=at)
    assert "joined 192.168.4.50 sound False home" in again.console and "portal" not in again.console
    assert place.settings["wifi"] == [["home", "WPS"], OLD]


def test_when_nobody_pushes_the_portal_is_back_and_says_so(place):
    seen = {}

    def later(phone):
        phone.after(30, lambda: seen.update(closed=not phone.board.modem.own.on))
        phone.after(100, lambda: phone.when_open(back))

        def back():
            seen["key"] = phone.board.modem.own.key
            phone.get("/", lambda page: seen.update(page=page))

    pusher = Pusher(None, later)
    outcome = place(pusher, {"wifi": [OLD], "portal_s": 30}, end_s=260)
    assert seen["closed"] and seen["key"] == pusher.key
    assert "Not set up by WPS" in seen["page"].body and "No router&#39;s button was pushed" in seen["page"].body
    assert BUTTON in seen["page"].body
    assert place.settings == {"wifi": [OLD], "portal_s": 30} and "ended no-network" in outcome.console


@pytest.mark.parametrize(
    ("baud", "back_s", "words"),
    [
        (115200, 22, "The Wi-Fi module did not stay on."),
        (1000000, 100, "The Wi-Fi module did not tell how it ended."),  # its `ready` is not understood
    ],
)
def test_a_module_that_restarts_meanwhile_brings_the_portal_back(place, baud, back_s, words):
    seen = {}

    def later(phone):
        phone.after(20, phone.board.modem.restart)
        phone.after(back_s, lambda: phone.when_open(lambda: phone.get("/", lambda page: seen.update(page=page))))

    place(Pusher(None, later), {"portal_s": 30, "baud": baud}, end_s=200)
    assert "Not set up by WPS" in seen["page"].body and words in seen["page"].body


def test_a_cut_in_between_leaves_everything_as_it_was(place):
    for seconds in (10, 22, 27, 30):
        outcome = place(Pusher(16), {"wifi": [OLD], "portal_s": 30}, end_s=seconds)
        assert "works" not in outcome.console and place.settings == {"wifi": [OLD], "portal_s": 30}
        again = place(nobody, again=True)
        assert "portal network" in again.console and place.settings == {"wifi": [OLD], "portal_s": 30}


def test_a_router_without_addresses_is_named_as_the_reason(place):
    seen = {}

    def later(phone):
        phone.after(40, lambda: phone.when_open(lambda: phone.get("/", lambda page: seen.update(page=page))))

    air = [WifiNetwork("home", "correct horse", dhcp_ok=False)]
    place(Pusher(5, later), {"portal_s": 30}, wifi=air, end_s=200)
    assert "gave it no address" in seen["page"].body and place.settings == {"portal_s": 30}


@pytest.mark.parametrize("at", ["1.1", "1.2"])
def test_where_the_version_has_none_there_is_no_button(place, at):
    pusher = Pusher(1)
    place(pusher, {"portal_s": 30}, at=at)
    assert BUTTON not in pusher.page.body
    assert pusher.told.status == 400 and "Choose a network" in pusher.told.body


# -- a network whose key only the module has ------------------------------------------------------------------------


def stored(phone, name=b"home", key=b"correct horse"):
    flash = phone.board.modem.flash
    flash.ssid, flash.password = name, key
    phone.board.modem.enable(False)
    phone.board.modem.enable(True)


def test_a_key_that_the_module_has_forgotten_is_told_and_the_portal_opens(place):
    wifi = [["home", "WPS"]]
    outcome = place(nobody, {"wifi": wifi, "portal": "key"})
    assert "ended key-lost" in outcome.console
    outcome = place(lambda phone: stored(phone, b"elsewhere"), {"wifi": wifi, "portal_s": 30})
    assert "portal network" in outcome.console


def test_a_module_that_lost_it_uses_the_networks_behind(place):
    air = [WifiNetwork("home", "correct horse"), WifiNetwork("old", "12345678")]
    outcome = place(nobody, {"wifi": [["home", "WPS"], OLD]}, wifi=air)
    assert "wifi old, address 192.168.4.50" in outcome.console


def test_a_network_that_is_not_there_is_no_lost_key(place):
    outcome = place(stored, {"wifi": [["home", "WPS"]], "portal": "off"}, wifi=[WifiNetwork("else", "")])
    assert "ended no-network" in outcome.console


def test_no_address_there_is_told(place):
    air = [WifiNetwork("home", "correct horse", dhcp_ok=False)]
    outcome = place(stored, {"wifi": [["home", "WPS"]], "portal": "off"}, wifi=air)
    assert "ended no-address" in outcome.console


WARM = PROGRAM.replace("Tell(None).stage", "Tell(None).stage, warm=True")


def test_no_other_network_is_stored_over_it(place):
    """A frame has its module remember a network, which must not cost it the key."""
    air = [WifiNetwork("home", "correct horse"), WifiNetwork("old", "12345678")]

    def away(phone):
        stored(phone)
        phone.board.air.lose("home")

    outcome = place(away, {"wifi": [["home", "WPS"], OLD]}, wifi=air, program=WARM)
    assert "wifi old, address" in outcome.console and place.phone.board.modem.flash.ssid == b"home"
    outcome = place(nobody, again=True, wifi=air, program=WARM)
    assert "wifi home, address" in outcome.console and "old" not in outcome.console


def test_after_another_network_it_goes_back_to_it(place):
    """Told to join another one, the module never goes back by itself: it takes a reset."""
    air = [WifiNetwork("home", "correct horse"), WifiNetwork("old", "12345678", dhcp_ok=False)]
    outcome = place(stored, {"wifi": [OLD, ["home", "WPS"]]}, wifi=air)
    assert "wifi home, address 192.168.4.50" in outcome.console and "joined" in outcome.console


def test_a_network_that_goes_and_comes_is_joined_again(place):
    program = (
        PROGRAM
        + """
import utime
while modem.online:
    modem.poll()
try:
    modem.repair()
except PixError as error:
    print("not yet", error.code)
utime.sleep_ms(20000)
modem.repair()
print("again", modem.address, modem.lost or "sound")
"""
    )

    def script(phone):
        stored(phone)
        phone.after(15, lambda: phone.board.air.lose("home"))
        phone.after(75, lambda: phone.board.air.back("home"))

    outcome = place(script, {"wifi": [["home", "WPS"]]}, program=program)
    assert "not yet wifi-lost" in outcome.console and "again 192.168.4.50 sound" in outcome.console


@pytest.mark.parametrize(
    ("wifi", "told"),
    [
        ([["home", "WPS"]], '{"name": "home", "joined": true}'),
        ([["none", "12345678"], ["home", "WPS"]], '{"name": "home", "joined": true}'),
        ([["none", "WPS"]], '{"name": "none", "joined": false, "code": "W"}'),
    ],
)
def test_doctor_waits_for_the_module_to_join(place, wifi, told):
    program = PROBE.read_text() + "\nfind(6, 7, 8, 0, [])\njoin('/sd/pix.json', [])\n"
    outcome = place(stored, {"wifi": wifi}, program=program)
    last = json.loads(outcome.console.split("\n")[-2])[-1]
    del last["ms"]
    assert last == json.loads(told)
