"""What `maixpix torture` has found in the device code: each run broke a law before it was mended."""

from __future__ import annotations

import pytest

from maixpix.torture.laws import breaches
from maixpix.torture.play import play
from maixpix.torture.scenario import FILES, HOST, KEY, SSID, TOKEN, Cycle, Lie, Scenario

PICTURE = {"picture": f"http://{HOST}/a.jpg", "interval_s": 2}
UPLOAD = {"upload": f"http://{HOST}:{FILES}/files/", "token": TOKEN, "send": "DCIM/*.jpg"}
SNAP = {**UPLOAD, "snaps": 2, "snap_s": 1, "frame": "QQVGA", "reserve_kb": 64}


def run(app, settings, *cycles, **more):
    wanted = {"app": app, "wifi": [[SSID, KEY]], **settings}
    given = {"pictures": [3, 0], "quiet_ms": 12_000, **more}
    return play(Scenario(app, settings=wanted, cycles=list(cycles), **given))


@pytest.mark.parametrize(("app", "settings"), [("show", PICTURE), ("frame", PICTURE), ("snap", SNAP)])
def test_a_card_that_was_out_for_a_moment(app, settings):
    """The app could not be imported again: an error of the program, for ever. Now the board tells that the card is
    gone, looks for it, and starts afresh when it is back."""
    played = run(app, settings, Cycle([{"when": {"ms": 2500}, "do": "remove-card", "for_ms": 3000}]), planted=0)
    assert breaches(played) == []
    assert played.last.text.count("error no-card: ") + played.last.text.count("error card-error: ") >= 1
    assert played.last.text.count("cpu:freq") == 2  # it has restarted by itself


@pytest.mark.parametrize(("app", "settings", "names"), [
    ("send", UPLOAD, [b"/sd/DCIM/p0.jpg", b"/sd/DCIM/p1.jpg"]), ("snap", SNAP, [b"s0000001.jpg"]),
])  # fmt: skip
def test_files_that_are_refused_are_in_the_log(app, settings, names):
    """Both told it on the console alone, which nobody saw, and then of every file the same: which ones, nobody knew."""
    played = run(app, settings, Cycle([], [Lie(0, "413"), Lie(1, "413")]), planted=2)
    assert breaches(played) == []
    for name in names:
        told = b"error upload-refused: The receiver did not take the file: %s, status 413; " % name
        assert told in played.last.files["pix.log"] and told.decode() in played.last.text


def test_the_log_has_one_number_for_a_start_however_often_its_app_is_run():
    """Each run of the app took a number of its own, and the next start of the board had one of them again."""
    full = Cycle([{"when": {"ms": 900}, "do": "fill-card", "leave": 70_000}], end_ms=9000)
    played = run("snap", {**SNAP, "reserve_kb": 512}, full, Cycle([], [Lie(0, "413")]), planted=1)
    assert breaches(played) == []
    lines = played.last.files["pix.log"].split(b"\n")[:-1]
    numbers = [int(line.split(b" ")[0]) for line in lines]
    assert numbers == sorted(numbers) and set(numbers) == {1, 2} and numbers.count(1) > 2


def test_a_first_picture_that_shows_while_the_network_is_looked_for_keeps_the_panel():
    """What the Wi-Fi did was written over it, and the same picture was not drawn again: text until another one came."""
    stalled = {"when": {"ms": 5050}, "do": "stall-modem", "ms": 4000}
    server = {"validator": "none", "framing": "close", "digest": True}
    settings = PICTURE | {"body_kb": 400, "body_s": 60}
    played = run("frame", settings, Cycle([stalled], [Lie(2, "gzip")]), at="1.7.4", server=server, pictures=[7, 1])
    lines = [line for _, line in played.last.lines]
    first = next(at for at, line in enumerate(lines) if line.startswith("shown "))
    assert breaches(played) == []
    assert any(line.startswith("wifi home, address ") for line in lines[first:])


@pytest.mark.parametrize("at", [5400, 6350])
def test_a_module_that_was_deaf_to_a_question_is_started_again(at):
    """Only `connect` repaired it: a frame that asked for the time first, at the rate that it had looked for the module
    at, was answered by nobody for ever."""
    stalled = {"when": {"ms": at}, "do": "stall-modem", "ms": 4000}
    server = {"validator": "none", "framing": "close", "digest": True}
    settings = PICTURE | {"body_kb": 400, "body_s": 60}
    played = run("frame", settings, Cycle([stalled]), at="1.7.4", server=server, pictures=[7, 1])
    assert breaches(played) == []
    assert played.last.text.count("error no-modem: ") == 1 and played.last.text.count("modem ready at ") == 2


def test_the_next_picture_does_not_hide_the_code_of_the_portal():
    """A frame without its network opened the portal, and went on with its pictures over what the panel said of it."""
    away = {"when": {"ms": 300}, "do": "lose-wifi", "for_ms": 40_000}
    played = run("frame", PICTURE, Cycle(end_ms=9000), Cycle([away]), quiet_ms=25_000)
    assert breaches(played) == []
    lines = [line for _, line in played.last.lines]
    opened = next(at for at, line in enumerate(lines) if line.startswith("portal network "))
    assert any(line.startswith("shown ") for line in lines[:opened])
    assert not any(line.startswith("shown ") for line in lines[opened : opened + 3])


def test_what_the_power_left_of_a_guest_s_picture_leaves_the_card():
    """Only the top of the card was looked through at a start, and pictures of guests lie in a folder."""
    cut = {"when": {"card_bytes": 15_600}, "do": "cut-power"}
    played = run("web", {"app": "panel", "frame": "QQVGA"}, Cycle([cut], end_ms=25_000), Cycle(), seed=4)
    assert {path[-4:] for path in played.cycles[0].files if path.startswith("pics/")} == {".~jp", ".$jp"}
    assert breaches(played) == []


def test_a_receiver_that_is_none_does_not_have_the_file():
    """Its answer sent the board to a page to log in at, whose status of 200 passed for the end of an upload."""
    played = run("send", UPLOAD, Cycle([], [Lie(0, "other-location")]), planted=1)
    assert breaches(played) == [] and len(played.world.sink.stored) == 1


LINE_CHANGES = "the serial line changes what goes over it"


def flips(at):
    return {"when": {"lane": "console_rx", "byte": at}, "do": "flip", "mask": 1}


def test_a_line_that_changes_a_letter_puts_no_file_under_its_name():
    """`fill` found that out when it read everything back, and the power had gone before."""
    cut = {"when": {"lane": "console_rx", "byte": 16_800}, "do": "cut-power"}
    played = run("fill", {"app": "show"}, Cycle([flips(12_900), cut], end_ms=20_000), Cycle(), planted=0)
    assert breaches(played) == [] and LINE_CHANGES in played.world.desk.troubles[0][1]


@pytest.mark.parametrize("at", [10_900, 11_200])
def test_a_line_that_changes_a_letter_leaves_the_loader(at):
    """It was written over in place, whatever had come."""
    older = {"older_loader": True}
    played = run("deploy", {"app": "show"}, Cycle([flips(at)], end_ms=9000), Cycle(), planted=1, server=older)
    assert breaches(played) == [] and played.world.desk.troubles


def test_the_portal_opens_once_the_module_answers():
    """It was taken for open when the module had not answered, and once is enough: never again until a reset."""
    stalled = {"when": {"ms": 2350}, "do": "stall-modem", "ms": 8000}
    played = run("portal", {**PICTURE, "app": "frame", "wifi": []}, Cycle([stalled]), quiet_ms=20_000)
    assert breaches(played) == [] and "error no-modem: " in played.last.text


def test_a_card_that_takes_nothing_is_one_line_in_the_log():
    """`snap` told it, and raised it to the supervisor, which told it again."""
    locked = {"when": {"card_bytes": 3072}, "do": "lock-card"}
    played = run("snap", SNAP, Cycle([locked], end_ms=8000), Cycle())
    assert breaches(played) == []
    text = played.cycles[0].text
    assert text.count("error card-error: ") == text.count("snap starts again in ") > 1


def test_pages_come_back_with_a_card_that_was_out_for_a_moment():
    """What a page imports had gone with the card, and whoever asked was answered 500 for ever."""
    out = {"when": {"ms": 11_440}, "do": "remove-card", "for_ms": 3000}
    played = run(
        "web", {"app": "panel", "frame": "QQVGA"}, Cycle([out]), pictures=[2, 4, 7], seed=900600, quiet_ms=16_000
    )
    assert breaches(played) == []
    assert played.last.text.count("cpu:freq") == 2  # it has restarted by itself


def test_a_boot_script_that_meets_no_card_is_told_by_the_board():
    """The virtual board ended with an error of its own where MaixPy could not write its demo to a card that was out."""
    out = {"when": {"ms": 2058}, "do": "remove-card", "for_ms": 3000}
    played = run("deploy", {"app": "show"}, Cycle([out], end_ms=12_000), Cycle(), planted=1)
    assert breaches(played) == [] and "OSError: " in played.cycles[0].text


def test_a_portal_whose_module_is_given_up_is_opened_anew():
    """The module answered again, but nobody listened to its guests until the portal's time was over."""
    hangs = {"when": {"lane": "to_modem", "byte": 1764}, "do": "stall-modem", "ms": 4000}
    settings = {**PICTURE, "app": "frame", "wifi": [["gone", "12345678"]], "baud": 115200, "portal_s": 300}
    played = run("portal", settings, Cycle([hangs]), at="1.7.4", seed=902081, quiet_ms=22_843)
    assert breaches(played) == [] and played.last.text.count("portal network ") > 1
