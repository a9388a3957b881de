"""The set-up portal on a whole virtual board, with a scripted telephone; every second is a virtual one."""

import pytest

from rig.portal_place import PIX, PROGRAM
from rig.telephone import HOME
from virtualboard.board import WifiNetwork

APPS = PIX.parents[1] / "apps"

PROBES = (
    ("captive.apple.com", "/hotspot-detect.html"),
    ("www.apple.com", "/library/test/success.html"),
    ("connectivitycheck.gstatic.com", "/generate_204"),
    ("www.google.com", "/gen_204"),
    ("www.msftconnecttest.com", "/connecttest.txt"),
    ("www.msftncsi.com", "/ncsi.txt"),
    ("www.msftconnecttest.com", "/redirect"),
    ("detectportal.firefox.com", "/canonical.html"),
    ("detectportal.firefox.com", "/success.txt?ipv4"),
    ("nmcheck.gnome.org", "/check_network_status.txt"),
    ("connectivity-check.ubuntu.com", "/"),
    ("network-test.debian.org", "/nm"),
    ("example.com", "/a/b?c=d"),
)


def nobody(phone):
    """Nobody is there."""


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_the_wrong_key_first_then_the_right_one(place, at):
    seen = {}

    def script(phone):
        def start():
            seen["key"] = phone.board.modem.own.key
            phone.ask_name(lambda: phone.get("/hotspot-detect.html", probed, host="captive.apple.com"))

        def probed(answer):
            seen["probe"] = answer
            phone.get("/", chosen)

        def chosen(page):
            seen["page"] = page
            phone.join(page, refused, ssid="home", key="wrong horse", server="pc:8000", app="frame")

        def refused(page):
            seen["refused"] = page
            seen["own"] = phone.board.modem.own.on
            phone.join(page, done, ssid="home", key="correct horse", server="pc:8000", app="frame")

        def done(page):
            seen["done"] = page

        phone.when_open(start)

    outcome = place(script, {"wifi": [["old", "12345678"]], "rotation": 0}, at=at)
    phone = place.phone
    assert phone.names and phone.names[0].endswith(b"\x04\x03\x02\x01")
    assert seen["probe"].status == 302 and seen["probe"].fields["location"] == f"http://{HOME}/"
    page = seen["page"]
    assert page.status == 200 and 'value="home"' in page.body and "locked <meter" in page.body and page.size < 12_000
    assert "home refused the key" in seen["refused"].body and seen["own"]
    assert "home</b> and has the address <b>192.168.4.50" in seen["done"].body
    assert "portal home works, address 192.168.4.50\nportal: the board starts anew" in outcome.console
    assert place.settings == {
        "wifi": [["home", "correct horse"], ["old", "12345678"]], "rotation": 0, "server": "http://pc:8000",
        "app": "frame",
    }  # fmt: skip
    assert phone.visitor.ip is None  # it was sent away: the network is closed
    everything = "".join(answer.body + str(answer.fields) for answer in phone.answers)
    assert "success" not in everything.lower()
    key = seen["key"]
    assert len(key) == 8 and key.decode() not in everything + outcome.console
    assert phone.board.modem.flash.own_network[0] == b"ESP_9A7C21"  # nothing of it stays in the module's flash


def test_every_systems_probe_leads_to_the_page(place):
    got = {}

    def script(phone):
        def ask(index):
            if index < len(PROBES):
                host, path = PROBES[index]
                phone.get(path, lambda answer: (got.update({(host, path): answer}), ask(index + 1)), host=host)
            else:
                phone.get("/wpad.dat", lambda answer: (got.update(wpad=answer), head()), host="wpad")

        def head():
            phone.get("/generate_204", lambda answer: got.update(head=answer), method="HEAD", host="www.google.com")

        phone.when_open(lambda: ask(0))

    place(script, {"portal_s": 30}, end_s=80)
    assert got.pop("wpad").status == 404
    assert got["head"].status == 302 and got.pop("head").body == ""
    assert sorted(got) == sorted(PROBES)
    for answer in got.values():
        assert answer.status == 302 and answer.fields["location"] == f"http://{HOME}/", answer.path
        assert answer.fields["cache-control"] == "no-store"


REFUSED = [
    ({"ssid": "home"}, "home wants a key"),
    ({"ssid": "home", "key": "1234567"}, "8 to 63"),
    ({"ssid": "cafe", "key": "12345678"}, "cafe is open"),
    ({"key": "12345678"}, "Choose a network"),
    ({"other": "n" * 33, "key": "12345678"}, "1 to 32 bytes"),
    ({"other": "a\nb", "key": "12345678"}, "control character"),
    ({"ssid": "home", "key": "12345678", "server": "https://pc"}, "no usable TLS"),
    ({"ssid": "home", "key": "12345678", "server": "pc:x"}, "no http URL"),
    ({"ssid": "home", "key": "12345678", "app": "nosuch"}, "no app of that name"),
]
FAILED = [
    ({"other": "elsewhere", "key": "12345678"}, "2.4 GHz only"),
    ({"ssid": "mute", "key": "12345678"}, "gave it no address"),
]


def test_what_cannot_be_is_said_at_once_and_what_fails_with_its_true_reason(place):
    told = []

    def script(phone):
        def start():
            phone.get("/", first)

        def first(page):
            phone.post(
                "/join",
                {"ssid": "home", "key": "12345678"},
                lambda answer: told.append(answer.status) or refuse(page, 0),
            )

        def refuse(page, index):
            if index < len(REFUSED):
                form = {"csrf": page.token, **REFUSED[index][0]}
                phone.post("/join", form, lambda answer: told.append(answer) or refuse(page, index + 1))
            else:
                fail(page, 0)

        def fail(page, index):
            if index < len(FAILED):
                phone.join(page, lambda answer: told.append(answer) or fail(answer, index + 1), **FAILED[index][0])
            else:
                phone.join(page, lambda answer: told.append(answer), other="hidden caf\u00e9", key="x,\"y\\z'<>&;")

        phone.when_open(start)

    air = [
        WifiNetwork("home", "correct horse"), WifiNetwork("cafe", "", rssi=-85),
        WifiNetwork("mute", "12345678", dhcp_ok=False), WifiNetwork("hidden caf\u00e9", "x,\"y\\z'<>&;", rssi=-60),
        WifiNetwork("<b>&\"", "12345678", rssi=-90),
    ]  # fmt: skip
    outcome = place(script, wifi=air, end_s=200)
    assert told.pop(0) == 403  # without the form's token
    for (form, words), answer in zip(REFUSED, told, strict=False):
        assert answer.status == 400 and words in answer.body, (form, answer.body[answer.body.find("alert") :][:200])
    for (form, words), answer in zip(FAILED, told[len(REFUSED) :], strict=False):
        assert answer.status == 200 and words in answer.body, form
    assert "&lt;b&gt;&amp;&quot;" in told[0].body and '<b>&"' not in told[0].body
    assert 'open <meter max="4" value="1">' in told[0].body
    assert "It works" in told[-1].body and "the board starts anew" in outcome.console
    assert place.settings["wifi"] == [["hidden caf\u00e9", "x,\"y\\z'<>&;"]]


def test_without_a_visitor_it_closes_and_does_not_open_again_by_itself(place):
    again = PROGRAM + "\n" + PROGRAM.replace("settings, screen = begin()", "")
    outcome = place(nobody, {"portal_s": 30}, program=again)
    assert outcome.console.count("portal network maixpix-7c21, page http://4.3.2.1/") == 1
    assert outcome.console.count("ended settings") == 2
    assert not place.phone.board.modem.own.on


def test_a_restart_of_the_boards_own_does_not_open_it_again_but_the_power_does(place):
    """Of a board without a network whose heap is in pieces: else it would be a portal for ever."""
    anew = PROGRAM + "from pix import start\nstart._reset()\n"
    outcome = place(nobody, {"portal_s": 30}, program=anew)
    assert "portal network" in outcome.console and "ended settings" in outcome.console
    outcome = place(nobody, {"portal_s": 30}, program=anew)
    assert "portal" not in outcome.console and "ended settings" in outcome.console
    outcome = place(nobody, {"portal_s": 30}, program=anew)
    assert "portal" not in outcome.console  # the mark is passed on from one restart to the next
    outcome = place(nobody, {"portal_s": 30})
    assert "portal" not in outcome.console
    outcome = place(nobody, {"portal_s": 30})  # the power came
    assert "portal network" in outcome.console


def test_a_known_network_that_is_back_ends_it(place, deployed):
    def script(phone):
        phone.board.air.lose("home")
        phone.after(70, lambda: phone.board.air.back("home"))

    # As byte code: from source the portal leaves no block for a picture, and the board starts anew.
    outcome = place(script, {"wifi": [["home", "correct horse"]]}, end_s=300, deployed=deployed)
    assert "portal network" in outcome.console and "joined 192.168.4.50 sound False home" in outcome.console
    assert place.settings == {"wifi": [["home", "correct horse"]]}


@pytest.mark.parametrize("portal", ["key", "off"])
def test_it_opens_only_where_the_setting_says_so(place, portal):
    outcome = place(nobody, {"portal": portal})
    assert "ended settings" in outcome.console and "portal" not in outcome.console


def test_a_restart_of_the_module_opens_it_again_with_the_same_key(place):
    keys = []

    def script(phone):
        def first():
            keys.append(phone.board.modem.own.key)
            phone.get("/")
            phone.after(2, phone.board.modem.restart)
            phone.after(12, lambda: phone.when_open(second))

        def second():
            keys.append(phone.board.modem.own.key)
            phone.get("/")

        phone.when_open(first)

    outcome = place(script, {"portal_s": 30})
    assert len(keys) == 2 and keys[0] == keys[1] and len(keys[0]) == 8
    assert [answer.status for answer in place.phone.answers] == [200, 200]
    assert "ended settings" in outcome.console


def test_the_panel_tells_what_to_do_and_only_it_tells_the_key(place):
    shown = []

    def script(phone):
        def look():
            shown.append(phone.board.panel.image())
            phone.get(
                "/", lambda page: phone.join(page, lambda _: phone.after(1, again), ssid="home", key="wrong horse")
            )

        def again():
            shown.append(phone.board.panel.image())

        phone.when_open(look)

    place(script, {"portal_s": 30}, end_s=100)
    assert len(shown) == 2 and shown[0].tobytes() != shown[1].tobytes()


def test_a_frame_is_set_up_by_a_long_press(place):
    def script(phone):
        def press():
            phone.board.press(down=True)
            phone.after(4, lambda: phone.board.press(down=False))
            phone.when_open(
                lambda: phone.get("/", lambda page: phone.join(page, lambda _: None, ssid="new", key="12345678"))
            )

        phone.after(20, press)

    settings = {
        "wifi": [["home", "correct horse"]], "server": "http://127.0.0.1", "interval_s": 100, "portal": "key",
        "app": "frame",
    }  # fmt: skip
    air = [WifiNetwork("home", "correct horse"), WifiNetwork("new", "12345678")]
    outcome = place(script, settings, program=APPS / "frame.py", answer=lambda path, head: [b"HTTP/1.0 404 No\r\n\r\n"],
                    wifi=air, end_s=90)  # fmt: skip
    assert place.settings["wifi"] == [["new", "12345678"], ["home", "correct horse"]]
    joined = [line for _, line in outcome.lines if "address 192.168.4.50" in line]
    assert joined[0].startswith("wifi home") and joined[-1].startswith("portal new works")
